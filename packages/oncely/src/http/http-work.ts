import type { AttemptContext, EncodedValue, Outbox } from '../core/index.ts'
import type { HttpOutcome } from './route.ts'

/** What runs when a request is the first, and how its value is judged and stored. */
export interface HttpWork<R, Tx> {
  run(context: AttemptContext, tx: Tx | undefined, input: () => unknown, outbox?: Outbox): Promise<R>
  statusOf(value: R): number
  /** What is known about the effect besides the status; undefined lets the status decide. */
  outcomeOf?(value: R): HttpOutcome | undefined
  encode(value: R): EncodedValue
  /** A request that needs no record passes by unrun: whoever asked lets it through untouched. */
  readonly letsPass?: boolean
}
