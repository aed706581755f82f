import type { Duration, HandlerContext, ReceivedMessage } from '../core/index.ts'

/** How a consumer reads its messages; everything but its name has a default. */
export interface InboxOptions {
  /** Names the consumer for good, such as `kafka:billing`: what one has done says nothing about another. It is the principal. */
  readonly consumer: string
  /**
   * `message-id` (default): each message has a record of its own, so a producer's second send of one id is known too.
   * `offset`: one row a partition, advanced in the handler's transaction; cheaper, and knows redeliveries only. Kafka and the like.
   */
  readonly mode?: 'message-id' | 'offset'
  /**
   * The id that a message is deduplicated by. Default: the producer's own (`messageId`, the headers `message-id` and
   * `idempotency-key`, CloudEvents source and id), else its position in an incarnation of its source.
   */
  readonly messageId?: (message: ReceivedMessage) => string | undefined
  /** The operation's input. Default: the payload as JSON where the operation declares a schema, else none. */
  readonly decode?: (message: ReceivedMessage) => unknown
  /**
   * What waits behind a message that failed: `none` (default), its `partition`, or only its ordering `key`: then the store keeps
   * (parks) it and what follows of its key, and the partition goes on. In offset mode `partition` is the default and `none` is not
   * possible.
   */
  readonly ordering?: 'none' | 'partition' | 'key'
  /** Default: the message's own `orderingKey`. A message without one waits for nobody. */
  readonly orderingKey?: (message: ReceivedMessage) => string | undefined
  /** Failures after which a message is quarantined; default 8. */
  readonly attemptsMax?: number
  /** Crashes of the process, with nothing but this message at work, after which it is quarantined; default 3. */
  readonly crashesMax?: number
  /** Wait after the first failure, doubled after each further one, with full jitter; default 1s up to 5m. */
  readonly backoff?: { readonly first?: Duration; readonly ceiling?: Duration }
  /** Where quarantined messages are published, through the outbox and in the same commit: a topic, or a topic of a sink. */
  readonly deadLetter?: string | { readonly topic: string; readonly sink?: string }
  /** Messages that run at once in this process; default 4. Each holds a connection in transaction mode. */
  readonly concurrency?: number
  /** Longest wait, when a partition is taken away, for what runs of it; default 10s. What runs longer is fenced. */
  readonly revokeTimeout?: Duration
}

/** What the handler of a message gets: the same context as everywhere, and the message. */
export type InboxContext<Input, Tx, B extends 'transaction' | 'lease'> = HandlerContext<Input, Tx, B> & {
  readonly message: ReceivedMessage
}
