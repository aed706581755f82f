/**
 * Messages that arrive at least once, each one's effect applied once. What has to outlive a process beside the record itself: how
 * often a message was started and ended, what was quarantined, what is parked, and how far a partition is applied.
 *
 *   received ──start──▶ started ──end: done───────▶ forgotten here: its record (or the partition's offset) knows it
 *                          │    ├─end: failed─────▶ held until its time ──start──▶ …
 *                          │    └─process killed──▶ started again, alone
 *                          ├─attempts or crashes exhausted, refused, mismatch──▶ quarantined ──redrive──▶ parked
 *                          └─its ordering key is held up──▶ parked ──in order──▶ started
 */

/** A message as a broker driver hands it in; nothing of it is decided on but what is said here. */
export interface ReceivedMessage {
  /** The topic, queue or stream it came from. */
  readonly source: string
  /** Default 0: a source without partitions is one. */
  readonly partition?: number
  /** Its place in the partition, where the broker numbers messages for good. */
  readonly offset?: bigint
  /** Tells the source from one of the same name that was made anew (a topic id, the time a stream was made), where the client knows. */
  readonly incarnation?: string
  /** The id that the producer gave it, where the broker has a property for one. */
  readonly messageId?: string
  /** What order is kept by: a record's key, a message group, a subject. */
  readonly orderingKey?: string
  readonly headers: Readonly<Record<string, string>>
  readonly payload: Uint8Array
  readonly contentType?: string
  /** When the producer sent it, milliseconds since 1970. */
  readonly sentAtMs?: number
}

/** A partition of a source as a consumer is given it; a source without partitions is partition 0. */
export interface InboxPartition {
  readonly source: string
  readonly partition: number
  readonly incarnation?: string
}

/** A partition as the broker describes it. */
export interface AssignedPartition extends InboxPartition {
  /** The offset that the next message will have, where the client can ask for it. */
  readonly logEnd?: bigint
}

/** Where to read on. */
export interface PartitionPosition extends InboxPartition {
  /** The offset of the first message to fetch; undefined where the store knows nothing, and the broker's own position holds. */
  readonly next: bigint | undefined
}

/** Why a message is quarantined. */
export type QuarantineReason =
  /** The handler failed as often as it may. */
  | 'attempts'
  /** It killed the process that ran it, alone, as often as it may. */
  | 'crashes'
  /** The handler said that it never will succeed. */
  | 'rejected'
  /** Its payload does not fit the operation's schema, or is no well-formed content of its type. */
  | 'invalid'
  /** Its id was used by another payload; it never ran. */
  | 'mismatch'
  /** It has no id and no position; it never ran. */
  | 'unidentified'
  /** An earlier attempt may have taken effect and cannot be repeated. */
  | 'uncertain'

/** How a started message ended, for its marks. */
export type InboxEnd =
  /** Its record or offset knows it: the marks go. */
  | { readonly id: Uint8Array; readonly end: 'done' }
  /** Nothing happened and nothing is wrong with it (somebody else runs it, the store was away). */
  | { readonly id: Uint8Array; readonly end: 'undecided' }
  /** The handler failed; it is not started again before `delayMs` have passed. */
  | { readonly id: Uint8Array; readonly end: 'failed'; readonly delayMs: number; readonly error: string }

/** A message that is about to be worked on. No two of one call have the same id. */
export interface InboxStart {
  readonly id: Uint8Array
  /** Its ordering key's digest, where order is kept by key. */
  readonly lane: Uint8Array | undefined
  /**
   * `fetched`: a broker delivered it; it is not counted when it is quarantined, parked, behind a parked one or not due.
   * `parked`: the store delivers it; it is counted unless it is quarantined.
   * `alone`: it is counted already, and from now on nothing else runs in the process, so a crash is this message's.
   */
  readonly kind: 'fetched' | 'parked' | 'alone'
}

/** What is known of a message after its start was counted. */
export interface InboxState {
  /** The digest of the ordering key has parked messages, this one or others. */
  readonly laneParked: boolean
  readonly parked: boolean
  readonly quarantined: QuarantineReason | undefined
  /** How long it is still held, after a failure; 0 when it is due. */
  readonly waitMs: number
  /** Starts so far, this one included, and how many of them ended. */
  readonly started: number
  readonly finished: number
  /** Ends that were failures. */
  readonly failed: number
  /** Starts alone, one after the other, none of which ended; this one included. */
  readonly alone: number
  readonly lastError: string
}

/** A quarantined message, whole: what an operator looks at and what is run again by a redrive. */
export interface DeadLetter {
  /** 32 bytes: the record's id, or another one where the record belongs to another payload or there is none. */
  readonly id: Uint8Array
  readonly consumer: string
  readonly operation: string
  readonly reason: QuarantineReason
  /** The last error's name and message. */
  readonly error: string
  readonly attempts: number
  /** The id it was deduplicated by; empty where it has none. */
  readonly messageId: string
  /** Digest of consumer and ordering key; its own id where no order is kept by key. */
  readonly lane: Uint8Array
  readonly message: ReceivedMessage
  readonly quarantinedAtMs: number
}

/** A message kept by the store instead of the broker, so that its partition goes on without it. */
export interface ParkedMessage {
  readonly id: Uint8Array
  readonly consumer: string
  /** Messages of one lane are run in the order in which they were parked. */
  readonly lane: Uint8Array
  readonly message: ReceivedMessage
}

/** The first parked message of a lane, leased. */
export interface ParkedLease {
  readonly parked: ParkedMessage
  /** Grows with the order of parking. */
  readonly position: bigint
  /** Proof of the lease; every write carries it and changes nothing when it is not the newest. */
  readonly token: bigint
}

/** How far a partition is applied. `applied` is -1 before the first message. */
export interface PartitionOffset {
  readonly applied: bigint
  /** Empty where the client could not tell. */
  readonly incarnation: string
}

export interface InboxStats {
  /** Messages started and not done. */
  readonly open: number
  readonly parked: number
  /** Age of the oldest parked message; 0 when there is none. */
  readonly oldestParkedMs: number
  readonly quarantined: number
  /** Duplicates that `seen` refused, and how many of them came when the window was over: the window is too short for those. */
  readonly duplicates: number
  readonly lateDuplicates: number
}

/**
 * The port of a store that keeps an inbox beside its records. `Tx` is the handle of the user's data layer. Each method without one is
 * one commit; with one it writes inside that transaction, and changes nothing when it is rolled back.
 */
export interface InboxStore<Tx> {
  /** Counts the starts of a fetched batch in one commit and answers what is known of each, in order. */
  start(consumer: string, starts: readonly InboxStart[]): Promise<readonly InboxState[]>
  /** Counts ends, in one commit. */
  finish(ends: readonly InboxEnd[]): Promise<void>
  /** Keeps a quarantined message and removes its marks and its parked copy. False: one with the same id was there, and stays as it is. */
  bury(tx: Tx, letter: Omit<DeadLetter, 'quarantinedAtMs'>): Promise<boolean>
  /** Keeps a message for later; one with the same id stays where it is. */
  park(tx: Tx, message: ParkedMessage, change: { readonly delayMs: number }): Promise<void>
  /** Leases the first message of each lane that is due, longest waiting first. */
  takeParked(consumer: string, lease: { readonly leaseMs: number; readonly lanesMax: number }): Promise<readonly ParkedLease[]>
  /** Removes a parked message: it is done, or quarantined. False when the lease is lost: roll back. */
  unpark(tx: Tx, lease: ParkedLease): Promise<boolean>
  /** Gives the lease back; the lane waits `delayMs`. */
  holdParked(lease: ParkedLease, change: { readonly delayMs: number }): Promise<void>
  /** Quarantined messages of a consumer, oldest first; `after` is the last one of the page before. */
  letters(consumer: string, page: { readonly limit: number; readonly after?: DeadLetter }): Promise<readonly DeadLetter[]>
  letter(id: Uint8Array): Promise<DeadLetter | undefined>
  /** Removes a quarantined message. With `park` it goes to the end of its lane in the same commit. Answers whether it was there. */
  exhume(id: Uint8Array, change: { readonly park: boolean }): Promise<boolean>
  /** Makes `owner` the partition's newest owner and answers how far it is applied. Another incarnation is answered and not adopted. */
  adopt(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset>
  /** How far a partition is applied, while `owner` still is its owner. */
  owned(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset | undefined>
  /** Compare-and-set on owner and offset, in the handler's transaction. False: roll back. */
  advance(tx: Tx, consumer: string, partition: InboxPartition, step: OffsetStep): Promise<boolean>
  /** An operator's word: the partition counts as applied up to `applied`; `undefined` forgets it. Whoever owns it is fenced. */
  resetOffset(consumer: string, partition: InboxPartition, applied: bigint | undefined): Promise<void>
  /**
   * Which ids are new, in order; the others are counted. Ids are known for two windows, so that duplicates which come late can be
   * counted; beyond that they are new again. No two ids of one call are equal.
   */
  seen(tx: Tx, consumer: string, ids: readonly Uint8Array[], window: { readonly windowMs: number }): Promise<readonly boolean[]>
  /** Removes marks that are older than `marksMs` and ids that are not known any more; answers how many rows went. */
  sweep(limits: { readonly batchMax: number; readonly marksMs: number }): Promise<number>
  stats(consumer: string): Promise<InboxStats>
}

/** One step of a partition, from what its owner read to what it has just applied. */
export interface OffsetStep {
  readonly owner: string
  readonly from: bigint
  readonly to: bigint
}
