import type { AssignedPartition, DeadLetter, InboxPartition, InboxStats, PartitionPosition, ReceivedMessage } from '../core/index.ts'
import type { Delivery } from './delivery.ts'

/** What a broker driver calls. One inbox a consumer and process. */
export interface Inbox {
  readonly consumer: string
  readonly mode: 'message-id' | 'offset'
  /** Opens the store and begins to run parked messages in the background. */
  start(): Promise<void>
  /** Takes nothing new and waits, bounded, for what runs; messages that had not begun are answered `abandoned`. */
  stop(): Promise<void>
  /**
   * Works on a batch in the order given and answers one word for each message, in that order. Never rejects for a reason of a
   * message or of the store; only for a mistake in the configuration, and then nothing of the batch may be acknowledged.
   *
   * `answered` is called for each message as soon as it has its word, for drivers that acknowledge one by one; what it throws is
   * thrown in the end. An aborted `signal` answers `abandoned` for whatever has not begun.
   */
  process(batch: readonly ReceivedMessage[], options?: ProcessOptions): Promise<readonly Delivery[]>
  /**
   * To be called when partitions are assigned, before their first message is processed. In offset mode it makes this process their
   * owner and answers where to read on; in the other mode, and for drivers without partitions, it may be left out.
   *
   * @throws InboxPositionLost when the source was made anew, or its end is below what is applied: `resetOffset` is the way on.
   */
  assigned(partitions: readonly AssignedPartition[]): Promise<readonly PartitionPosition[]>
  /** To be called when partitions are taken away, and awaited before that is confirmed: what runs of them is finished or fenced. */
  revoked(partitions: readonly InboxPartition[]): Promise<void>
  /** Runs what is parked and due, each lane in its order, and answers how many messages ended; `start()` does it all the time. */
  redeliver(): Promise<number>

  /** Quarantined messages, oldest first. They hold their payloads. */
  quarantined(page?: { readonly limit?: number; readonly after?: DeadLetter }): Promise<readonly DeadLetter[]>
  letter(id: Uint8Array): Promise<DeadLetter | undefined>
  /**
   * Lets a quarantined message run again, with all its attempts: its record is released (the token stays) and the message parked at
   * the end of its lane. `refused`: a mismatch or a message without an id cannot run. `early`: an earlier attempt may still arrive.
   */
  redrive(id: Uint8Array, decision: Decision): Promise<'redriven' | 'absent' | 'refused' | 'early'>
  /** Gives a quarantined message up for good. Its record stays quarantined, so its id never runs. */
  discard(id: Uint8Array, decision: Decision): Promise<boolean>
  /** Offset mode: counts a partition as applied up to `applied`, or forgets it. Whoever owns it is fenced. */
  resetOffset(partition: InboxPartition, applied: bigint | undefined): Promise<void>
  stats(): Promise<InboxStats>
}

/** Who decides and why, for the audit trail. */
export interface Decision {
  readonly by: string
  readonly reason: string
}

export interface ProcessOptions {
  readonly answered?: (message: ReceivedMessage, delivery: Delivery) => void | Promise<void>
  readonly signal?: AbortSignal
}
