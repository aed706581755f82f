import { type Engine, type InboxEnd, type InboxState, type InboxStore, StoreUnavailable, transactPlainly } from '../core/index.ts'
import type { Delivery } from './delivery.ts'
import type { InboxSettings } from './inbox-settings.ts'
import type { Marks } from './marks.ts'
import { type Identified, partitionName, partitionOf } from './message-id.ts'
import type { MessageOutcome } from './message-outcome.ts'
import type { MessageRunner, MessageStep } from './message-run.ts'
import type { Ownership } from './partition-ownership.ts'
import type { Quarantine } from './quarantine.ts'

/** What one inbox's parts share. */
export interface InboxParts<Tx> {
  readonly engine: Engine<Tx>
  readonly settings: InboxSettings
  readonly store: InboxStore<Tx>
  readonly runner: MessageRunner<Tx>
  readonly quarantine: Quarantine<Tx>
  readonly marks: Marks<Tx>
  readonly ownership: Ownership<Tx>
  /** True once the inbox takes nothing new. */
  readonly stopping: () => boolean
}

/** The word of a message that has one, and what of its lane waits behind it. */
interface Judged {
  readonly delivery: Delivery
  readonly end: InboxEnd | undefined
  readonly blocks: boolean
}

/**
 * One lane of a batch: messages that keep an order among themselves, run one after the other.
 *
 *   next ──known (quarantined, parked, not due)──▶ its word
 *    ├─its key is parked──▶ parked behind it
 *    ├─an earlier start never ended──▶ alone, once nothing else runs ──▶ …
 *    └─run──done──▶ ack
 *        ├─failed──▶ retry-later, parked, or quarantined where its attempts are used up
 *        └─undecided──▶ retry-later; what follows waits
 */
export class Lane<Tx> {
  readonly #parts: InboxParts<Tx>
  readonly #states: ReadonlyMap<string, InboxState>
  readonly #parkedLanes = new Set<string>()
  /** How long the message waits that the rest of the lane waits behind. */
  #behindMs: number | undefined

  constructor(parts: InboxParts<Tx>, states: ReadonlyMap<string, InboxState>) {
    this.#parts = parts
    this.#states = states
  }

  /** The message's word, with its end marked. */
  async next(item: Identified): Promise<Delivery> {
    const { delivery, end, blocks } = await this.#judge(item)
    if (blocks) this.#behindMs = delivery.word === 'retry-later' ? delivery.retryAfterMs : 0
    if (end !== undefined) this.#parts.marks.ended(item.idHex, end)
    return delivery
  }

  async #judge(item: Identified): Promise<Judged> {
    const { settings, ownership, stopping } = this.#parts
    const { id } = item
    const undecided: InboxEnd = { id, end: 'undecided' }
    if (stopping() || !ownership.holds(item.message)) return { delivery: { word: 'abandoned' }, end: undecided, blocks: true }
    if (this.#behindMs !== undefined) return { delivery: later(this.#behindMs, 'behind'), end: undecided, blocks: true }
    const state = this.#states.get(item.idHex)
    if (state === undefined) return { delivery: later(1_000, 'unavailable'), end: undefined, blocks: true }
    if (ownership.isApplied(item.message))
      return { delivery: { word: 'ack', because: 'replayed' }, end: { id, end: 'done' }, blocks: false }
    const step: MessageStep = { failed: state.failed, ...ownership.step(item.message) }
    if (state.quarantined !== undefined) return this.#pass(item, step, { word: 'dead-lettered', reason: state.quarantined })
    if (state.parked) return this.#pass(item, step, { word: 'ack', because: 'parked' })
    if (item.ordered && (state.laneParked || this.#parkedLanes.has(laneOf(item)))) return this.#park(item, step, 0)
    if (state.waitMs > 0) return { delivery: later(state.waitMs, 'backing-off'), end: undefined, blocks: settings.ordering !== 'none' }
    if (item.messageId === undefined)
      return this.#bury(item, { kind: 'hopeless', reason: 'unidentified', error: 'the message has no id and no position' }, state, step)
    const outcome = await this.#parts.marks.attempt(item, state, step)
    return this.#after(item, outcome, state, step)
  }

  async #after(item: Identified, outcome: MessageOutcome, state: InboxState, step: MessageStep): Promise<Judged> {
    const { settings, marks, ownership } = this.#parts
    const { id } = item
    switch (outcome.kind) {
      case 'done':
        ownership.applied(item.message)
        return { delivery: { word: 'ack', because: outcome.because }, end: { id, end: 'done' }, blocks: false }
      case 'hopeless':
        return this.#bury(item, outcome, state, step)
      case 'failed': {
        if (state.failed + 1 >= settings.attemptsMax)
          return this.#bury(
            item,
            { kind: 'hopeless', reason: 'attempts', error: outcome.error },
            { ...state, failed: state.failed + 1 },
            step,
          )
        const delayMs = marks.backoffMs(state.failed)
        const end: InboxEnd = { id, end: 'failed', delayMs, error: outcome.error }
        if (!item.ordered) return { delivery: later(delayMs, 'failed'), end, blocks: settings.ordering !== 'none' }
        // The failure counts before the message is handed to the store, which keeps its marks.
        marks.ended(item.idHex, end)
        return this.#park(item, step, delayMs)
      }
      case 'undecided':
        return {
          delivery: later(outcome.retryAfterMs, outcome.because),
          end: { id, end: 'undecided' },
          blocks: settings.ordering !== 'none',
        }
      case 'fenced':
        return this.#fenced(item)
      default:
        return outcome satisfies never
    }
  }

  /** Somebody owns the partition now; or the row was reset while it is still ours: read it again and go on from there. */
  async #fenced({ id, message }: Identified): Promise<Judged> {
    const again = await this.#parts.ownership.adoptAgain(message)
    const delivery: Delivery = again ? later(0, 'in-progress') : { word: 'abandoned' }
    return { delivery, end: { id, end: 'undecided' }, blocks: true }
  }

  /** A message that has its word already; in offset mode its partition still has to step over it. */
  async #pass(item: Identified, step: MessageStep, delivery: Delivery): Promise<Judged> {
    if (step.advance === undefined) return { delivery, end: undefined, blocks: false }
    return this.#writing(item, async (tx) => this.#parts.runner.settle(tx, step), delivery, undefined)
  }

  async #park(item: Identified, step: MessageStep, delayMs: number): Promise<Judged> {
    const { store, settings, runner } = this.#parts
    const { id, lane, message } = item
    const parked = await this.#writing(
      item,
      async (tx) => {
        if (!(await runner.settle(tx, step))) return false
        await store.park(tx, { id, lane, consumer: settings.consumer, message }, { delayMs })
        return true
      },
      { word: 'ack', because: 'parked' },
      undefined,
    )
    if (parked.delivery.word === 'ack') this.#parkedLanes.add(laneOf(item))
    return parked
  }

  async #writing(item: Identified, write: (tx: Tx) => Promise<boolean>, delivery: Delivery, end: InboxEnd | undefined): Promise<Judged> {
    const { engine, settings, ownership } = this.#parts
    try {
      const written = await transactPlainly<Tx, boolean>(engine, settings.operation, async (tx) => {
        const value = await write(tx)
        return { end: value ? 'commit' : 'roll-back', value }
      })
      if (!written) return this.#fenced(item)
      ownership.applied(item.message)
      return { delivery, end, blocks: false }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      return { delivery: later(1_000, 'unavailable'), end: { id: item.id, end: 'undecided' }, blocks: true }
    }
  }

  async #bury(
    item: Identified,
    { reason, error }: Extract<MessageOutcome, { kind: 'hopeless' }>,
    state: InboxState,
    step: MessageStep,
  ): Promise<Judged> {
    const { quarantine, ownership, settings } = this.#parts
    const { id } = item
    const outcome = await quarantine.put(item, { reason, error, attempts: Math.max(state.failed, 1) }, step)
    switch (outcome.kind) {
      case 'quarantined':
        ownership.applied(item.message)
        return { delivery: { word: 'dead-lettered', reason: outcome.reason }, end: { id, end: 'done' }, blocks: false }
      case 'done':
        return { delivery: { word: 'ack', because: outcome.because }, end: { id, end: 'done' }, blocks: false }
      case 'undecided':
        return {
          delivery: later(outcome.retryAfterMs, outcome.because),
          end: { id, end: 'undecided' },
          blocks: settings.ordering !== 'none',
        }
      case 'fenced':
        return this.#fenced(item)
      default:
        return outcome satisfies never
    }
  }
}

/** A batch, split into what keeps an order: by partition, by key, or nothing but equal messages. */
export function lanesOf(settings: InboxSettings, items: readonly Identified[]): readonly (readonly Identified[])[] {
  const lanes = new Map<string, Identified[]>()
  for (const item of items) {
    // A partition's offset is one chain of steps, whatever waits for what.
    const whole = settings.mode === 'offset' || settings.ordering === 'partition'
    const name = whole ? partitionName(partitionOf(item.message)) : laneOf(item)
    const lane = lanes.get(name)
    if (lane === undefined) lanes.set(name, [item])
    else lane.push(item)
  }
  return [...lanes.values()]
}

function laneOf({ lane }: Identified): string {
  return lane.join(',')
}

export function later(retryAfterMs: number, because: Extract<Delivery, { word: 'retry-later' }>['because']): Delivery {
  return { word: 'retry-later', retryAfterMs, because }
}
