import type { ReceivedMessage } from '../../src/core/index.ts'
import type { Delivery, Inbox } from '../../src/inbox/index.ts'
import type { ConsumerHarness, RunningConsumer, SuiteMessage } from '../../src/testing/index.ts'

interface Queued {
  readonly message: ReceivedMessage
  dueMs: number
  /** Who has it, until it is acknowledged or taken away. */
  holder: Loop | undefined
}

/**
 * A broker in this process: one partition, at least once, in order where nothing waits for its time. Whatever a consumer had when it
 * was killed or lost its partition is delivered again.
 */
export class LoopbackBroker {
  readonly #queue: Queued[] = []
  readonly #acknowledged: ReceivedMessage[] = []
  readonly #consumers = new Set<Loop>()
  readonly #newId: () => number
  down = false

  constructor() {
    let id = 0
    this.#newId = () => ++id
  }

  publish(messages: readonly SuiteMessage[]): void {
    for (const { id, text, key } of messages) {
      const message: ReceivedMessage = {
        source: 'suite',
        offset: BigInt(this.#newId()),
        incarnation: 'one',
        messageId: id,
        headers: {},
        payload: new TextEncoder().encode(text),
        ...(key === undefined ? {} : { orderingKey: key }),
      }
      this.#queue.push({ message, dueMs: 0, holder: undefined })
    }
  }

  deliverAgain(): void {
    for (const message of this.#acknowledged.splice(0)) this.#queue.push({ message, dueMs: 0, holder: undefined })
  }

  /** Everybody is disconnected: what was out comes again, and acknowledgements on their way are lost. */
  restart(): void {
    for (const each of this.#queue) each.holder = undefined
  }

  async idle(): Promise<void> {
    const deadline = performance.now() + 20_000
    for (;;) {
      const parked = await Promise.all([...this.#consumers].map(({ inbox }) => inbox.stats()))
      if (this.#queue.length === 0 && parked.every((stats) => stats.parked === 0)) return
      if (performance.now() > deadline) throw new Error(`${this.#queue.length} messages are still there after 20 s`)
      await pause(10)
    }
  }

  consume(inbox: Inbox): RunningConsumer {
    const loop = new Loop(inbox, this)
    this.#consumers.add(loop)
    return {
      inbox,
      kill: async () => {
        this.#consumers.delete(loop)
        loop.kill()
        this.giveBack(loop)
      },
      rebalance: async () => {
        loop.pause()
        this.giveBack(loop)
        await inbox.revoked([{ source: 'suite', partition: 0 }])
      },
      stop: async () => {
        await loop.stop()
        this.#consumers.delete(loop)
        this.giveBack(loop)
      },
    }
  }

  take(loop: Loop, limit: number): readonly ReceivedMessage[] {
    const nowMs = performance.now()
    const free = this.#queue.filter(({ holder, dueMs }) => holder === undefined && dueMs <= nowMs).slice(0, limit)
    for (const each of free) each.holder = loop
    return free.map(({ message }) => message)
  }

  answer(loop: Loop, message: ReceivedMessage, delivery: Delivery): void {
    const index = this.#queue.findIndex((each) => each.message === message && each.holder === loop)
    const queued = this.#queue[index]
    // The acknowledgement of a message that was taken away is refused.
    if (queued === undefined) return
    switch (delivery.word) {
      case 'ack':
      case 'dead-lettered':
        this.#queue.splice(index, 1)
        this.#acknowledged.push(message)
        return
      case 'retry-later':
        queued.dueMs = performance.now() + delivery.retryAfterMs
        queued.holder = undefined
        return
      case 'abandoned':
        queued.holder = undefined
        return
      default:
        delivery satisfies never
    }
  }

  giveBack(loop: Loop): void {
    for (const each of this.#queue) if (each.holder === loop) each.holder = undefined
  }
}

/** A driver: receives, hands in, acknowledges by the words it gets. */
class Loop {
  readonly inbox: Inbox
  readonly #broker: LoopbackBroker
  readonly #ended: Promise<void>
  #receives = true
  #alive = true

  constructor(inbox: Inbox, broker: LoopbackBroker) {
    this.inbox = inbox
    this.#broker = broker
    this.#ended = this.#run()
  }

  kill(): void {
    this.#alive = false
    void this.inbox.stop().catch(() => {})
    // What a dead process still finds out is nobody's business: its database may be gone by then.
    this.#ended.catch(() => {})
  }

  pause(): void {
    this.#receives = false
  }

  async stop(): Promise<void> {
    this.#receives = false
    this.#alive = false
    await this.inbox.stop()
    await this.#ended
  }

  async #run(): Promise<void> {
    while (this.#alive) {
      const batch = this.#receives ? this.#broker.take(this, 8) : []
      if (batch.length === 0) {
        await this.inbox.redeliver()
        await pause(5)
        continue
      }
      await this.inbox.process(batch, {
        answered: (message, delivery) => {
          if (this.#alive) this.#broker.answer(this, message, delivery)
        },
      })
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** What a harness needs besides the broker. */
export type LoopbackStore<Tx> = Pick<ConsumerHarness<Tx>, 'apply' | 'effects' | 'close'>
