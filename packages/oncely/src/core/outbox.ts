import type { Clock } from './clock.ts'
import type { EventSink } from './event.ts'
import type { Random } from './random.ts'

/**
 * Effects that leave the database. A handler's messages are rows of its own transaction; a relay sends them afterwards, at least
 * once and under a stable id.
 *
 *   send ──▶ buffered in the attempt ──commit──▶ waiting ──sent────▶ deleted
 *                     └─roll back─▶ nothing         ├──retry───▶ held until its time; only its aggregate waits behind it
 *                                                   └──refused, or tried too often──▶ parked ──redrive──▶ waiting
 *
 * Order is promised within an aggregate of one sink, between transactions that were ordered by a lock on the aggregate before they
 * sent, and no further.
 */

/** What a handler sends. */
export interface OutboxDraft {
  /** Where it goes, in the sink's own sense: a topic, a subject, the name of an endpoint. 1 to 255 bytes. */
  readonly topic: string
  /** What it is about: messages of one aggregate arrive in the order in which they were sent. Default: none, and no order is kept. */
  readonly aggregate?: string
  /** The kind of event, such as `payment.created`. */
  readonly type?: string
  /** Bytes, or a value that JSON carries without loss. */
  readonly payload: unknown
  /** What the payload's bytes are; a value is `application/json`, bytes are `application/octet-stream` where nothing is said. */
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Which sink sends it; default the first one of the relay. */
  readonly sink?: string
}

/** The handler's side of the outbox. What is sent commits with the handler's rows, or not at all. */
export interface Outbox {
  /**
   * Adds a message to the attempt and answers its id, which stays the same however often it is delivered.
   *
   * @throws ValueNotStorable at once, for a payload that would not come back equal or is too large.
   * @throws OutboxSealed when the attempt has ended.
   */
  send(draft: OutboxDraft): Promise<string>
}

/** A message as a store writes it inside the handler's transaction. */
export interface OutboxRow {
  /** A UUID, derived from the record and the message's place in its attempt: a repeated attempt makes it again. */
  readonly id: string
  /** The hash bucket of sink and aggregate, from 0 to `outboxBuckets - 1`. */
  readonly bucket: number
  /** Empty for the relay's first sink. */
  readonly sink: string
  readonly topic: string
  /** The message's own id where the handler named none. */
  readonly aggregate: string
  readonly type: string
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string
  readonly payload: Uint8Array
}

/** How many buckets the aggregates are spread over; a relay leases buckets, so this many relays can work at once. */
export const outboxBuckets = 64

/** A message as a sink gets it. */
export interface OutboxMessage {
  /** Stable over deliveries: what a receiver deduplicates by. */
  readonly id: string
  readonly topic: string
  /** The message's own id where the handler named none. */
  readonly aggregate: string
  readonly type: string
  readonly headers: Readonly<Record<string, string>>
  readonly payload: Uint8Array
  readonly contentType: string
  /** When it was written, by the store's clock. */
  readonly occurredAtMs: number
  /** 1 for the first delivery. */
  readonly attempt: number
}

/** Where messages go. Vendor sinks wrap a client that the user hands in. */
export interface OutboxSink {
  /** 1 to 64 letters, digits, dots, dashes or underscores; messages name their sink by it. */
  readonly name: string
  /**
   * Sends a batch and answers one word for each message, in order. Messages of one aggregate stand in their order: they are sent in
   * it, and none after one that was not sent (that one answers `retry` too). A throw is `retry` for all. After `signal` is aborted
   * nothing more may be sent: another relay may have the messages.
   */
  send(messages: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly SinkAnswer[]>
}

/**
 * `sent`: the receiver confirmed it. `retry`: not confirmed, it may have arrived all the same. `refused`: a repeat would not help,
 * so its aggregate is parked. The reason is kept for the operator: no bodies, keys or credentials.
 */
export type SinkAnswer =
  | 'sent'
  | 'retry'
  | 'refused'
  | { readonly word: 'retry'; readonly reason: string; readonly afterMs?: number }
  | { readonly word: 'refused'; readonly reason: string }

/** The port of a store that keeps an outbox beside its records. `Tx` is the handle of the user's data layer. */
export interface OutboxStore<Tx> {
  /** Writes messages inside a transaction, in their order; one statement. The engine writes its own with the completion. */
  enqueue(tx: Tx, rows: readonly OutboxRow[]): Promise<void>
  /** Leases free buckets that hold something due for one of the sinks. Buckets that nobody served for long come first. */
  lease(request: OutboxLeaseRequest): Promise<readonly BucketLease[]>
  /**
   * The next messages of a leased bucket in their order, and the lease prolonged from now. Aggregates that are held or parked are
   * left out. `lost`: somebody else has the bucket.
   */
  read(lease: BucketLease, request: OutboxReadRequest): Promise<readonly StoredMessage[] | 'lost'>
  /** Deletes what was sent and holds or parks what was not, in one commit; changes nothing when the lease is lost. */
  settle(lease: BucketLease, settlement: OutboxSettlement): Promise<'done' | 'lost'>
  /** Gives a bucket back at once; a lease that is lost is left alone. */
  release(lease: BucketLease): Promise<void>
  stats(): Promise<OutboxStats>
  /** Aggregates that an operator has to look at, oldest first. */
  parked(limit: number): Promise<readonly ParkedAggregate[]>
  /** Lets a parked or held aggregate be tried again, from its first message, as if it were new. Answers whether there was one. */
  redrive(aggregate: OutboxAggregate): Promise<boolean>
}

export interface OutboxLeaseRequest {
  /** Names the relay. */
  readonly owner: string
  readonly leaseMs: number
  readonly bucketsMax: number
  /** Sinks that the relay has; the empty name stands for messages that name none. */
  readonly sinks: readonly string[]
}

/** Proof of a leased bucket: every write carries owner and token and changes nothing when they are not the newest. */
export interface BucketLease {
  readonly bucket: number
  readonly owner: string
  readonly token: bigint
}

export interface OutboxReadRequest {
  readonly leaseMs: number
  readonly messagesMax: number
  readonly sinks: readonly string[]
}

/** A message in its store: what is deleted once it is sent. */
export interface StoredMessage extends OutboxMessage {
  /** Grows in the order of the outbox. */
  readonly position: bigint
  readonly sink: string
}

/** An aggregate of one sink. */
export interface OutboxAggregate {
  readonly sink: string
  readonly aggregate: string
}

/** What became of one batch. */
export interface OutboxSettlement {
  readonly sent: readonly bigint[]
  /** Aggregates whose first message was sent after it had failed before. */
  readonly freed: readonly OutboxAggregate[]
  /** Aggregates whose first message was not sent. */
  readonly held: readonly HeldAggregate[]
}

export interface HeldAggregate extends OutboxAggregate {
  /** Where the first message is. */
  readonly position: bigint
  /** Deliveries of the first message so far. */
  readonly attempts: number
  /** How long to wait before the next one; undefined parks the aggregate. */
  readonly delayMs: number | undefined
  readonly error: string
}

export interface ParkedAggregate extends OutboxAggregate {
  readonly attempts: number
  readonly error: string
  readonly parkedAtMs: number
  /** Messages that wait in it. */
  readonly messages: number
}

export interface OutboxStats {
  /** Messages not sent yet, parked ones included. */
  readonly backlog: number
  /** Age of the oldest message that is not parked; 0 when there is none. */
  readonly oldestMs: number
  /** Messages that wait behind a parked one, and it. */
  readonly parked: number
}

/** Background work that sends what the outbox holds. */
export interface Relay {
  /** Looks again at once: something was just written. */
  wake(): void
  /** Takes nothing new, lets the batches that are out settle for at most `limitMs`, and gives its buckets back. */
  stop(limitMs: number): Promise<void>
}

/** How a relay works; everything has a default. */
export interface RelayOptions {
  /** Deliveries of a message before its aggregate is parked. Default 10. */
  readonly attemptsMax?: number
  /** Wait after the first failed delivery; doubles with each, with full jitter, up to `backoffMaxMs`. Default 500 ms and one minute. */
  readonly backoffMs?: number
  readonly backoffMaxMs?: number
  /** Shortest and longest pause between two looks that find nothing. Default 50 ms and 2 s. */
  readonly pollMinMs?: number
  readonly pollMaxMs?: number
  /** How long a bucket stays with a relay that is gone. Default 30 s. */
  readonly leaseMs?: number
  /** Longest wait for a sink's answer to one batch; shorter than the lease. Default 10 s. */
  readonly sendTimeoutMs?: number
  /** Messages in one batch, and batches that are out at once. Default 100 and 8. */
  readonly batchMax?: number
  readonly bucketsMax?: number
}

/** What a relay is started with. */
export interface RelayParts {
  readonly store: Omit<OutboxStore<never>, 'enqueue'>
  readonly sinks: readonly OutboxSink[]
  readonly clock: Clock
  readonly random: Random
  readonly owner: string
  readonly storeTimeoutMs: number
  readonly events: EventSink | undefined
  readonly options: RelayOptions
}

export type StartRelay = (parts: RelayParts) => Promise<Relay>
