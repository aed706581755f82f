import type {
  BucketLease,
  Clock,
  HeldAggregate,
  OutboxAggregate,
  OutboxLeaseRequest,
  OutboxReadRequest,
  OutboxRow,
  OutboxSettlement,
  OutboxStats,
  OutboxStore,
  ParkedAggregate,
  StoredMessage,
} from '../../core/index.ts'
import { nodeClock } from '../../platform/index.ts'

/**
 * An outbox in this process, for tests of sinks: it commits with nothing, so what is enqueued is there at once. `tx` is ignored.
 */
export function memoryOutbox(options: { readonly clock?: Clock } = {}): OutboxStore<unknown> {
  return new MemoryOutbox(options.clock ?? nodeClock)
}

interface Bucket {
  owner: string
  token: bigint
  leaseEndMs: number
}

type Waiting = StoredMessage & { readonly bucket: number }
type Held = HeldAggregate & { readonly dueMs: number | undefined; readonly sinceMs: number }

class MemoryOutbox implements OutboxStore<unknown> {
  readonly #clock: Clock
  readonly #buckets = new Map<number, Bucket>()
  readonly #held = new Map<string, Held>()
  #messages: Waiting[] = []
  #position = 0n

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async enqueue(_tx: unknown, rows: readonly OutboxRow[]): Promise<void> {
    const occurredAtMs = this.#clock.nowMs()
    for (const row of rows) this.#messages.push({ ...row, occurredAtMs, attempt: 1, position: ++this.#position })
  }

  async lease({ owner, leaseMs, bucketsMax, sinks }: OutboxLeaseRequest): Promise<readonly BucketLease[]> {
    const nowMs = this.#clock.nowMs()
    const leases: BucketLease[] = []
    for (const { bucket } of this.#due(sinks)) {
      const known = this.#buckets.get(bucket) ?? { owner: '', token: 0n, leaseEndMs: 0 }
      if (leases.length >= bucketsMax || known.leaseEndMs > nowMs) continue
      const token = known.token + 1n
      this.#buckets.set(bucket, { owner, token, leaseEndMs: nowMs + leaseMs })
      leases.push({ bucket, owner, token })
    }
    return leases
  }

  async read(lease: BucketLease, { leaseMs, messagesMax, sinks }: OutboxReadRequest): Promise<readonly StoredMessage[] | 'lost'> {
    const bucket = this.#owned(lease)
    if (bucket === undefined) return 'lost'
    bucket.leaseEndMs = this.#clock.nowMs() + leaseMs
    return this.#due(sinks)
      .filter((message) => message.bucket === lease.bucket)
      .slice(0, messagesMax)
      .map(({ bucket: _, ...message }) => {
        const held = this.#held.get(keyOf(message))
        return held?.position === message.position ? { ...message, attempt: held.attempts + 1 } : message
      })
  }

  async settle(lease: BucketLease, { sent, freed, held }: OutboxSettlement): Promise<'done' | 'lost'> {
    if (this.#owned(lease) === undefined) return 'lost'
    const gone = new Set(sent)
    this.#messages = this.#messages.filter(({ position }) => !gone.has(position))
    const sinceMs = this.#clock.nowMs()
    for (const aggregate of freed) this.#held.delete(keyOf(aggregate))
    for (const one of held)
      this.#held.set(keyOf(one), { ...one, sinceMs, dueMs: one.delayMs === undefined ? undefined : sinceMs + one.delayMs })
    return 'done'
  }

  async release(lease: BucketLease): Promise<void> {
    const bucket = this.#owned(lease)
    if (bucket !== undefined) this.#buckets.set(lease.bucket, { owner: '', token: bucket.token, leaseEndMs: 0 })
  }

  async stats(): Promise<OutboxStats> {
    const parked = this.#messages.filter((message) => this.#isParked(message))
    const oldest = this.#messages.find((message) => !this.#isParked(message))
    return {
      backlog: this.#messages.length,
      oldestMs: oldest === undefined ? 0 : Math.max(0, this.#clock.nowMs() - oldest.occurredAtMs),
      parked: parked.length,
    }
  }

  async parked(limit: number): Promise<readonly ParkedAggregate[]> {
    return [...this.#held.values()]
      .filter(({ dueMs }) => dueMs === undefined)
      .sort((a, b) => a.sinceMs - b.sinceMs)
      .slice(0, limit)
      .map(({ sink, aggregate, attempts, error, sinceMs }) => {
        const messages = this.#messages.filter((message) => keyOf(message) === keyOf({ sink, aggregate })).length
        return { sink, aggregate, attempts, error, parkedAtMs: sinceMs, messages }
      })
  }

  async redrive(aggregate: OutboxAggregate): Promise<boolean> {
    return this.#held.delete(keyOf(aggregate))
  }

  #due(sinks: readonly string[]): readonly Waiting[] {
    const nowMs = this.#clock.nowMs()
    return this.#messages.filter((message) => {
      const held = this.#held.get(keyOf(message))
      return sinks.includes(message.sink) && (held === undefined || (held.dueMs !== undefined && held.dueMs <= nowMs))
    })
  }

  #isParked(message: OutboxAggregate): boolean {
    const held = this.#held.get(keyOf(message))
    return held !== undefined && held.dueMs === undefined
  }

  #owned({ bucket, owner, token }: BucketLease): Bucket | undefined {
    const known = this.#buckets.get(bucket)
    return known?.owner === owner && known.token === token ? known : undefined
  }
}

function keyOf({ sink, aggregate }: OutboxAggregate): string {
  return JSON.stringify([sink, aggregate])
}
