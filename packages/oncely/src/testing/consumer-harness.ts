import type { ReceivedMessage } from '../core/index.ts'
import type { Inbox, InboxOptions } from '../inbox/index.ts'

/** A message as the suite publishes it. */
export interface SuiteMessage {
  readonly id: string
  readonly text: string
  /** What order is kept by. */
  readonly key?: string
}

/** What the suite's handlers get. */
export interface SuiteDelivery<Tx> {
  readonly message: ReceivedMessage
  readonly tx: Tx
  readonly attempt: number
  readonly signal: AbortSignal
}

/** A consumer that receives. */
export interface RunningConsumer {
  readonly inbox: Inbox
  /** Ends it as a crash would: nothing more is acknowledged, and what it had is delivered to somebody else. Its handlers run on. */
  kill(): Promise<void>
  /** Takes its messages away and gives them to somebody else, while it runs on and believes that it has them. */
  rebalance(): Promise<void>
  stop(): Promise<void>
}

/** A broker with a store beside it, for one case of the suite. */
export interface ConsumerHarness<Tx = unknown> {
  /** The broker delivers messages of one key in their order. */
  readonly ordered: boolean
  /** Starts a consumer of an operation bound to a transaction; every one of a case has the same name and the same handler. */
  consume(options: Omit<InboxOptions, 'consumer'>, handler: (delivery: SuiteDelivery<Tx>) => Promise<void>): Promise<RunningConsumer>
  /** Sends messages; the id goes where producers put theirs. */
  publish(messages: readonly SuiteMessage[]): Promise<void>
  /** Delivers everything again that was acknowledged, as after lost acknowledgements. */
  deliverAgain(): Promise<void>
  /** Restarts the broker; undefined where that cannot be done. */
  readonly restartBroker?: () => Promise<void>
  /** Writes a row of the user's in the handler's transaction. */
  apply(tx: Tx, value: string): Promise<void>
  /** The user's committed rows, oldest first. */
  effects(): Promise<readonly string[]>
  /** Resolves once nothing is left to deliver and nothing is parked. */
  idle(): Promise<void>
  close(ended: 'passed' | 'failed'): Promise<void>
}
