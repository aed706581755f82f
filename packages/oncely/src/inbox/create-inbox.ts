import {
  type AssignedPartition,
  ConfigurationError,
  type DeadLetter,
  type Engine,
  type InboxPartition,
  type InboxStats,
  type InboxStore,
  type Operation,
  type PartitionPosition,
  type ReceivedMessage,
  StoreUnavailable,
  sleep,
  type TransactionalStore,
} from '../core/index.ts'
import { type InboxParts, Lane, lanesOf, later } from './batch.ts'
import type { Delivery } from './delivery.ts'
import { Gate } from './gate.ts'
import type { Decision, Inbox, ProcessOptions } from './inbox.ts'
import type { InboxContext, InboxOptions } from './inbox-options.ts'
import { checkInbox, type InboxSettings } from './inbox-settings.ts'
import { Marks } from './marks.ts'
import { type Identified, identify } from './message-id.ts'
import { type MessageHandler, MessageRunner } from './message-run.ts'
import { ParkedMessages } from './parked.ts'
import { Ownership } from './partition-ownership.ts'
import { Quarantine } from './quarantine.ts'

/**
 * The consumer of one operation's messages, for any broker: each message's effect is applied once, however often it is delivered.
 * A broker driver hands batches in and acknowledges by the words it gets; `oncely/consumer/*` has drivers.
 *
 * Opens nothing and starts no timer before `start()` or the first batch.
 *
 * @throws ConfigurationError for options that cannot work; Unsupported for a store without an inbox.
 *
 * @example
 * const bookings = createInbox(bookInvoice, { consumer: 'kafka:billing' }, async ({ message, tx }) => {
 *   await book(tx, JSON.parse(new TextDecoder().decode(message.payload)))
 * })
 * const words = await bookings.process(batch)
 */
export function createInbox<Input, Output, Tx, B extends 'transaction' | 'lease'>(
  operation: Operation<Input, Output, Tx, B>,
  options: InboxOptions,
  handler: (context: InboxContext<Input, Tx, B>) => Promise<unknown> | unknown,
): Inbox {
  const settings = checkInbox(operation as unknown as Parameters<typeof checkInbox>[0], options)
  return new MessageInbox<Tx>(operation.engine, settings, handler as MessageHandler)
}

const parkedEveryMs = 1_000
const pageMax = 1_000

class MessageInbox<Tx> implements Inbox {
  readonly consumer: string
  readonly mode: 'message-id' | 'offset'
  readonly #engine: Engine<Tx>
  readonly #settings: InboxSettings
  readonly #store: InboxStore<Tx>
  readonly #parts: InboxParts<Tx>
  readonly #parked: ParkedMessages<Tx>
  readonly #running = new Map<Promise<unknown>, readonly ReceivedMessage[]>()
  #stopping = false
  #endLoop: () => void = () => {}

  constructor(engine: Engine<Tx>, settings: InboxSettings, handler: MessageHandler) {
    this.consumer = settings.consumer
    this.mode = settings.mode
    this.#engine = engine
    this.#settings = settings
    this.#store = (engine.parts.store as TransactionalStore<Tx>).inbox as InboxStore<Tx>
    const { random } = engine.parts
    const runner = new MessageRunner(engine, settings, handler)
    const store = this.#store
    this.#parts = {
      engine,
      settings,
      store,
      runner,
      quarantine: new Quarantine(engine, settings, runner),
      marks: new Marks({ settings, store, runner, random, gate: gateOf(engine) }),
      ownership: new Ownership(settings, store, () => random.uuid()),
      stopping: () => this.#stopping,
    }
    this.#parked = new ParkedMessages(this.#parts, ({ parked }) => this.#identified(parked.message))
  }

  async start(): Promise<void> {
    if (!this.#engine.parts.opened()) await this.#engine.parts.open()
    this.#stopping = false
    this.#loop(0)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#endLoop()
    await this.#settled([...this.#running.keys()])
    await this.#parts.marks.flush().catch(onlyOutage)
  }

  async process(batch: readonly ReceivedMessage[], options: ProcessOptions = {}): Promise<readonly Delivery[]> {
    return this.#tracked(batch, this.#process(batch, options))
  }

  async assigned(partitions: readonly AssignedPartition[]): Promise<readonly PartitionPosition[]> {
    if (!this.#engine.parts.opened()) await this.#engine.parts.open()
    return this.#parts.ownership.assign(partitions)
  }

  async revoked(partitions: readonly InboxPartition[]): Promise<void> {
    this.#parts.ownership.revoke(partitions)
    const touches = (batch: readonly ReceivedMessage[]): boolean =>
      batch.some((message) =>
        partitions.some(({ source, partition }) => message.source === source && (message.partition ?? 0) === partition),
      )
    await this.#settled([...this.#running].filter(([, batch]) => touches(batch)).map(([work]) => work))
  }

  async redeliver(): Promise<number> {
    if (!this.#engine.parts.opened()) await this.#engine.parts.open()
    return this.#tracked([], this.#parked.redeliver())
  }

  async quarantined(page: { readonly limit?: number; readonly after?: DeadLetter } = {}): Promise<readonly DeadLetter[]> {
    const limit = Math.min(pageMax, Math.max(1, page.limit ?? 100))
    return this.#store.letters(this.consumer, page.after === undefined ? { limit } : { limit, after: page.after })
  }

  async letter(id: Uint8Array): Promise<DeadLetter | undefined> {
    const letter = await this.#store.letter(id)
    return letter?.consumer === this.consumer ? letter : undefined
  }

  /** The record first, its message after: a crash between the two leaves a letter that is redriven again. */
  async redrive(id: Uint8Array, decision: Decision): Promise<'redriven' | 'absent' | 'refused' | 'early'> {
    checkDecision(decision)
    const letter = await this.letter(id)
    if (letter === undefined) return 'absent'
    if (letter.reason === 'mismatch' || letter.reason === 'unidentified') return 'refused'
    if (this.mode === 'message-id') {
      const { store } = this.#engine.parts
      const record = await store.read(id)
      if (record?.state === 'completed') return 'refused'
      if (record?.state === 'quarantined' || record?.state === 'uncertain') {
        const answer = await store.resolve(id, {
          expected: { state: record.state, token: record.token },
          verdict: { applied: false },
          ...decision,
        })
        if (answer.word === 'early') return 'early'
      }
    }
    return (await this.#store.exhume(id, { park: true })) ? 'redriven' : 'absent'
  }

  async discard(id: Uint8Array, decision: Decision): Promise<boolean> {
    checkDecision(decision)
    if ((await this.letter(id)) === undefined) return false
    return this.#store.exhume(id, { park: false })
  }

  async resetOffset(partition: InboxPartition, applied: bigint | undefined): Promise<void> {
    if (applied !== undefined && applied < -1n)
      throw new ConfigurationError(`resetOffset got ${applied}; offsets begin at 0, and -1 stands for "nothing is applied".`)
    await this.#store.resetOffset(this.consumer, partition, applied)
  }

  async stats(): Promise<InboxStats> {
    return this.#store.stats(this.consumer)
  }

  async #process(batch: readonly ReceivedMessage[], { answered, signal }: ProcessOptions): Promise<readonly Delivery[]> {
    const { marks } = this.#parts
    if (!this.#engine.parts.opened()) await this.#engine.parts.open()?.catch(onlyOutage)
    const items = batch.map((message) => this.#identified(message))
    const states = (await marks.start(items, 'fetched')) ?? new Map()
    const words = new Map<Identified, Delivery>()
    const lanes = lanesOf(this.#settings, items).map((lane) => async (): Promise<void> => {
      const run = new Lane(this.#parts, states)
      for (const item of lane) {
        const delivery: Delivery = signal?.aborted ? { word: 'abandoned' } : await run.next(item)
        if (signal?.aborted && delivery.word === 'abandoned') marks.ended(item.idHex, { id: item.id, end: 'undecided' })
        words.set(item, delivery)
        await answered?.(item.message, delivery)
      }
    })
    await together(lanes, this.#settings.concurrency)
    await marks.flush().catch(onlyOutage)
    return items.map((item) => words.get(item) ?? later(1_000, 'unavailable'))
  }

  #identified(message: ReceivedMessage): Identified {
    return identify(this.#engine.parts, this.#settings, message)
  }

  async #tracked<R>(batch: readonly ReceivedMessage[], work: Promise<R>): Promise<R> {
    this.#running.set(work, batch)
    try {
      return await work
    } finally {
      this.#running.delete(work)
    }
  }

  /** Bounded: what runs longer than the limit is refused by its record or by the partition's row. */
  async #settled(running: readonly Promise<unknown>[]): Promise<void> {
    const { clock } = this.#engine.parts
    const limit = new AbortController()
    await Promise.race([Promise.allSettled(running), sleep(clock, this.#settings.revokeMs, limit.signal)])
    limit.abort()
  }

  #loop(delayMs: number): void {
    this.#endLoop = this.#engine.parts.clock.after(
      delayMs,
      () => {
        if (this.#stopping) return
        const next = (): void => {
          if (!this.#stopping) this.#loop(parkedEveryMs)
        }
        // A mistake in the configuration reaches the driver through its next batch.
        void this.redeliver().then(next, next)
      },
      'background',
    )
  }
}

/** One gate for all inboxes of an instance: a process dies whole. */
const gates = new WeakMap<object, Gate>()

function gateOf(engine: object): Gate {
  const found = gates.get(engine) ?? new Gate()
  gates.set(engine, found)
  return found
}

/** Runs all, at most `limit` at once. After a failure nothing new begins; the first error is thrown once everything has ended. */
async function together(runs: readonly (() => Promise<void>)[], limit: number): Promise<void> {
  const left = [...runs]
  let failure: { readonly error: unknown } | undefined
  const work = async (): Promise<void> => {
    for (let run = left.shift(); run !== undefined && failure === undefined; run = left.shift()) {
      try {
        await run()
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, runs.length) }, work))
  if (failure !== undefined) throw failure.error
}

function checkDecision({ by, reason }: Decision): void {
  if (by === '' || reason === '') throw new ConfigurationError('A decision needs "by" and "reason": both go into the audit trail.')
}

function onlyOutage(error: unknown): void {
  if (!(error instanceof StoreUnavailable)) throw error
}
