import { type InboxEnd, type InboxStart, type InboxState, type InboxStore, type Random, StoreUnavailable } from '../core/index.ts'
import type { Gate } from './gate.ts'
import type { InboxSettings } from './inbox-settings.ts'
import type { Identified } from './message-id.ts'
import type { MessageOutcome } from './message-outcome.ts'
import type { MessageRunner, MessageStep } from './message-run.ts'

interface MarksParts<Tx> {
  readonly settings: InboxSettings
  readonly store: InboxStore<Tx>
  readonly runner: MessageRunner<Tx>
  readonly random: Random
  readonly gate: Gate
}

/**
 * Starts and ends of messages. A start that never ended says that its process died; of everything that ran in it, each message is
 * then run alone, and the one that kills again is named by it.
 */
export class Marks<Tx> {
  readonly #parts: MarksParts<Tx>
  /** Ends that are not written yet. A store that is away must not make them look like crashes. */
  #owed = new Map<string, InboxEnd>()

  constructor(parts: MarksParts<Tx>) {
    this.#parts = parts
  }

  /** Counts the starts of a batch, after what is owed; undefined when the store is away. */
  async start(items: readonly Identified[], kind: InboxStart['kind']): Promise<ReadonlyMap<string, InboxState> | undefined> {
    const unique = [...new Map(items.map((item) => [item.idHex, item])).values()]
    try {
      await this.flush()
      const starts = unique.map(({ id, lane, ordered }): InboxStart => ({ id, lane: ordered ? lane : undefined, kind }))
      const states = await this.#parts.store.start(this.#parts.settings.consumer, starts)
      return new Map(unique.map((item, index) => [item.idHex, states[index] as InboxState]))
    } catch (error) {
      if (error instanceof StoreUnavailable) return undefined
      throw error
    }
  }

  ended(idHex: string, end: InboxEnd): void {
    this.#owed.set(idHex, end)
  }

  /** Writes the ends of what ran since the last time, in one commit. */
  async flush(): Promise<void> {
    if (this.#owed.size === 0) return
    const owed = this.#owed
    this.#owed = new Map()
    try {
      await this.#parts.store.finish([...owed.values()])
    } catch (error) {
      for (const [idHex, end] of owed) if (!this.#owed.has(idHex)) this.#owed.set(idHex, end)
      throw error
    }
  }

  /** Runs a message beside others, or alone when an earlier start of it never ended. */
  async attempt(item: Identified, state: InboxState, step: MessageStep): Promise<MessageOutcome> {
    const { gate, runner, settings } = this.#parts
    const suspect = state.started - state.finished > 1
    if (!suspect) return gate.share(() => runner.run(item, step))
    return gate.alone(async () => {
      const marked = await this.start([item], 'alone')
      const alone = marked?.get(item.idHex)?.alone
      if (alone === undefined) return { kind: 'undecided', retryAfterMs: 1_000, because: 'unavailable' }
      if (alone > settings.crashesMax) {
        const error = `its process ended ${alone - 1} times while nothing else ran in it`
        return { kind: 'hopeless', reason: 'crashes', error }
      }
      return runner.run(item, step)
    })
  }

  /** Full jitter: anything up to the exponential wait, so that what failed together does not come back together. */
  backoffMs(failed: number): number {
    const { settings, random } = this.#parts
    const { backoffFirstMs, backoffCeilingMs } = settings
    return Math.ceil(Math.min(backoffCeilingMs, backoffFirstMs * 2 ** Math.min(failed, 40)) * random.fraction())
  }
}
