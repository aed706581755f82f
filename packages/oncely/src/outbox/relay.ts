import {
  type BucketLease,
  bounded,
  type Clock,
  type OutboxMessage,
  type OutboxSink,
  type Relay,
  type RelayParts,
  type SinkAnswer,
  type StoredMessage,
  timedOut,
  withTimeout,
} from '../core/index.ts'
import { checkRelayOptions, graceMs, sinksByName } from './relay-options.ts'
import { type Answered, settlementOf } from './settlement.ts'

/** Batches of one bucket in a row before others get their turn. */
const roundsMax = 20

/**
 * Starts to send what the outbox holds.
 *
 * @throws ConfigurationError for options or sinks that cannot work.
 */
export async function startRelay(parts: RelayParts): Promise<Relay> {
  const relay = new BucketRelay(parts)
  relay.start()
  return relay
}

/**
 *   look ──nothing due──▶ pause, 50 ms to 2 s, ended by wake() ──▶ look
 *     └─buckets──▶ each: read ──▶ sinks ──▶ settle ──▶ read … ──empty, lost, or its turn is over──▶ release
 *
 * A bucket is served by one relay at a time and its batches one after the other, so an aggregate has one batch out. No lock is held
 * while a sink works: the lease is proven again when the batch is settled.
 */
class BucketRelay implements Relay {
  readonly #parts: RelayParts
  readonly #clock: Clock
  readonly #options: ReturnType<typeof checkRelayOptions>
  readonly #sinks: ReadonlyMap<string, OutboxSink>
  readonly #names: readonly string[]
  readonly #owner: string
  readonly #serving = new Set<Promise<void>>()
  /** Aborted when what is out must end. */
  readonly #halt = new AbortController()
  #stopping = false
  #woken = false
  #endPause: () => void = () => {}
  #looking: Promise<void> = Promise.resolve()

  constructor(parts: RelayParts) {
    this.#parts = parts
    this.#clock = parts.clock
    this.#options = checkRelayOptions(parts.options)
    this.#sinks = sinksByName(parts.sinks)
    this.#names = [...this.#sinks.keys()]
    this.#owner = `${parts.owner} ${parts.random.uuid()}`
  }

  start(): void {
    this.#looking = this.#look()
  }

  wake(): void {
    this.#woken = true
    this.#endPause()
  }

  async stop(limitMs: number): Promise<void> {
    this.#stopping = true
    this.#endPause()
    const ended = Promise.all([this.#looking, this.#settled()])
    if ((await withTimeout(this.#clock, limitMs, ended)) !== timedOut) return
    this.#halt.abort(new Error('The relay is being stopped.'))
    await withTimeout(this.#clock, 2 * graceMs, ended)
  }

  async #settled(): Promise<void> {
    await this.#looking
    await Promise.all(this.#serving)
  }

  async #look(): Promise<void> {
    const { pollMinMs, pollMaxMs, bucketsMax } = this.#options
    let pauseMs = pollMinMs
    while (!this.#stopping) {
      if (this.#woken) pauseMs = pollMinMs
      this.#woken = false
      const free = bucketsMax - this.#serving.size
      const leases = free > 0 ? await this.#lease(free) : []
      for (const lease of leases) this.#serve(lease)
      if (leases.length > 0) pauseMs = pollMinMs
      // With every hand busy, the next look comes when one is free; with hands free, everything due is being served.
      await this.#pause(pauseMs)
      if (leases.length === 0 && free > 0) pauseMs = Math.min(pollMaxMs, pauseMs * 2)
    }
  }

  async #lease(bucketsMax: number): Promise<readonly BucketLease[]> {
    const { leaseMs } = this.#options
    const request = { owner: this.#owner, leaseMs, bucketsMax, sinks: this.#names }
    try {
      return await this.#bounded('a lease of the outbox', () => this.#parts.store.lease(request))
    } catch (error) {
      this.#tell('relay-failed', 0, 'the outbox could not be read', error)
      return []
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#woken || this.#stopping) return resolve()
      const cancel = this.#clock.after(delayMs, resolve, 'background')
      this.#endPause = () => {
        cancel()
        resolve()
      }
    })
  }

  #serve(lease: BucketLease): void {
    const work = this.#rounds(lease)
      .then(
        (lost) => (lost ? undefined : this.#bounded('a release of the outbox', () => this.#parts.store.release(lease))),
        (error: unknown) => this.#tell('relay-failed', 0, 'the outbox could not be written', error),
      )
      .catch((error: unknown) => this.#tell('relay-failed', 0, 'a bucket was not given back', error))
      .finally(() => {
        this.#serving.delete(work)
        if (this.#serving.size === this.#options.bucketsMax - 1) this.#endPause()
      })
    this.#serving.add(work)
  }

  /** Answers whether the lease was lost. */
  async #rounds(lease: BucketLease): Promise<boolean> {
    const { leaseMs, batchMax: messagesMax } = this.#options
    const { store } = this.#parts
    for (let round = 0; round < roundsMax && !this.#stopping; round++) {
      // Counted from before the lease is prolonged: whoever was stopped meanwhile must not believe in time that has passed.
      const leaseEndMs = this.#clock.monotonicMs() + leaseMs
      const messages = await this.#bounded('a read of the outbox', () => store.read(lease, { leaseMs, messagesMax, sinks: this.#names }))
      if (messages === 'lost') return true
      if (messages.length === 0) return false
      const answered = await this.#send(messages, leaseEndMs - 2 * graceMs)
      const settlement = settlementOf(answered, { ...this.#options, fraction: () => this.#parts.random.fraction() })
      for (const { attempts, delayMs, error, sink } of settlement.held)
        this.#tell(delayMs === undefined ? 'relay-parked' : 'relay-failed', attempts, `${this.#sinkName(sink)}: ${error}`)
      if ((await this.#bounded('a settlement of the outbox', () => store.settle(lease, settlement))) === 'lost') return true
      if (messages.length < messagesMax) return false
    }
    return false
  }

  async #send(messages: readonly StoredMessage[], untilMs: number): Promise<readonly Answered[]> {
    const bySink = grouped(messages)
    const answered = await Promise.all([...bySink].map(([sink, batch]) => this.#sendTo(sink, batch, untilMs)))
    return answered.flat()
  }

  async #sendTo(name: string, batch: readonly StoredMessage[], untilMs: number): Promise<readonly Answered[]> {
    const limitMs = Math.min(this.#options.sendTimeoutMs, untilMs - this.#clock.monotonicMs())
    const retryAll = (reason: string): readonly Answered[] => batch.map((message) => ({ message, answer: { word: 'retry', reason } }))
    if (limitMs <= 0) return retryAll('the lease had ended before it was sent')
    const stop = new AbortController()
    const halted = (): void => stop.abort(this.#halt.signal.reason)
    this.#halt.signal.addEventListener('abort', halted, { once: true })
    try {
      if (this.#halt.signal.aborted) halted()
      const sending = this.#call(name, batch, stop.signal)
      let answers = await withTimeout(this.#clock, limitMs, sending)
      if (answers === timedOut) {
        stop.abort(new Error(`The batch was out for ${limitMs} ms.`))
        answers = await withTimeout(this.#clock, graceMs, sending)
      }
      if (answers === timedOut) return retryAll(`no answer within ${Math.round(limitMs)} ms`)
      const said = answers
      return batch.map((message, index) => ({ message, answer: said[index] ?? { word: 'retry', reason: 'the sink did not say' } }))
    } catch (error) {
      return retryAll(error instanceof Error ? error.name : typeof error)
    } finally {
      this.#halt.signal.removeEventListener('abort', halted)
      stop.abort(new Error('The batch is over.'))
    }
  }

  async #call(name: string, batch: readonly StoredMessage[], signal: AbortSignal): Promise<readonly SinkAnswer[]> {
    try {
      return await (this.#sinks.get(name) as OutboxSink).send(batch.map(messageOf), signal)
    } catch (error) {
      this.#tell('relay-failed', 0, `${this.#sinkName(name)}: threw`, error)
      throw error
    }
  }

  #sinkName(name: string): string {
    return this.#sinks.get(name)?.name ?? name
  }

  #bounded<T>(what: string, call: () => Promise<T>): Promise<T> {
    return bounded(this.#clock, this.#parts.storeTimeoutMs, what, call)
  }

  #tell(type: 'relay-failed' | 'relay-parked', attempt: number, reason: string, error?: unknown): void {
    this.#parts.events?.({ type, operation: '', record: '', client: '', attempt, reason, error })
  }
}

function grouped(messages: readonly StoredMessage[]): Map<string, StoredMessage[]> {
  const groups = new Map<string, StoredMessage[]>()
  for (const message of messages) {
    const group = groups.get(message.sink)
    if (group === undefined) groups.set(message.sink, [message])
    else group.push(message)
  }
  return groups
}

/** Without what only the store needs. */
function messageOf({ id, topic, aggregate, type, headers, payload, contentType, occurredAtMs, attempt }: StoredMessage): OutboxMessage {
  return { id, topic, aggregate, type, headers, payload, contentType, occurredAtMs, attempt }
}
