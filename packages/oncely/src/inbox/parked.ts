import { type InboxState, type ParkedLease, StoreUnavailable } from '../core/index.ts'
import type { InboxParts } from './batch.ts'
import type { Identified } from './message-id.ts'

/** Lanes that are leased at once. */
const lanesMax = 16

/**
 * Runs what the store keeps: the first message of each lane that is due, and after it the next one. A lane is leased by one process
 * at a time; a lease that ran out costs a second try, which the record or the parked row itself refuses.
 */
export class ParkedMessages<Tx> {
  readonly #parts: InboxParts<Tx>
  readonly #identify: (lease: ParkedLease) => Identified

  constructor(parts: InboxParts<Tx>, identify: (lease: ParkedLease) => Identified) {
    this.#parts = parts
    this.#identify = identify
  }

  /** Answers how many messages left the store; none when the store is away. */
  async redeliver(): Promise<number> {
    const { store, settings, stopping } = this.#parts
    let ended = 0
    try {
      for (;;) {
        if (stopping()) return ended
        const leases = await store.takeParked(settings.consumer, { leaseMs: settings.operation.policy.leaseMs, lanesMax })
        if (leases.length === 0) return ended
        const gone = await Promise.all(leases.map((lease) => this.#run(lease)))
        ended += gone.filter(Boolean).length
      }
    } catch (error) {
      if (error instanceof StoreUnavailable) return ended
      throw error
    }
  }

  /** Whether the message is done or quarantined. */
  async #run(lease: ParkedLease): Promise<boolean> {
    const { marks, store } = this.#parts
    const item = this.#identify(lease)
    const state = (await marks.start([item], 'parked'))?.get(item.idHex)
    if (state === undefined) return false
    if (state.quarantined !== undefined) return this.#remove(lease)
    const outcome = await marks.attempt(item, state, { failed: state.failed, lease })
    switch (outcome.kind) {
      case 'done':
        marks.ended(item.idHex, { id: item.id, end: 'done' })
        await marks.flush()
        return true
      case 'failed':
        return this.#failed(item, lease, state, outcome.error)
      case 'hopeless':
        return this.#bury(item, lease, outcome, Math.max(1, state.failed))
      case 'undecided':
        marks.ended(item.idHex, { id: item.id, end: 'undecided' })
        await marks.flush()
        await store.holdParked(lease, { delayMs: Math.max(1, outcome.retryAfterMs) })
        return false
      case 'fenced':
        marks.ended(item.idHex, { id: item.id, end: 'undecided' })
        return false
      default:
        return outcome satisfies never
    }
  }

  async #failed(item: Identified, lease: ParkedLease, state: InboxState, error: string): Promise<boolean> {
    const { marks, store, settings } = this.#parts
    if (state.failed + 1 >= settings.attemptsMax) return this.#bury(item, lease, { reason: 'attempts', error }, state.failed + 1)
    const delayMs = marks.backoffMs(state.failed)
    marks.ended(item.idHex, { id: item.id, end: 'failed', delayMs, error })
    await marks.flush()
    await store.holdParked(lease, { delayMs })
    return false
  }

  async #bury(
    item: Identified,
    lease: ParkedLease,
    { reason, error }: { readonly reason: Parameters<InboxParts<Tx>['quarantine']['put']>[1]['reason']; readonly error: string },
    attempts: number,
  ): Promise<boolean> {
    const { marks, quarantine, store } = this.#parts
    const outcome = await quarantine.put(item, { reason, error, attempts }, { failed: attempts, lease })
    switch (outcome.kind) {
      case 'quarantined':
        marks.ended(item.idHex, { id: item.id, end: 'done' })
        return true
      case 'done':
        marks.ended(item.idHex, { id: item.id, end: 'done' })
        return this.#remove(lease)
      case 'undecided':
        marks.ended(item.idHex, { id: item.id, end: 'undecided' })
        await store.holdParked(lease, { delayMs: Math.max(1, outcome.retryAfterMs) })
        return false
      case 'fenced':
        return false
      default:
        return outcome satisfies never
    }
  }

  /** The copy of a message that has its word already. */
  async #remove(lease: ParkedLease): Promise<boolean> {
    return this.#parts.quarantine.removeParked(lease)
  }
}
