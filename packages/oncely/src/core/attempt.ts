import type { EncodedValue } from './codec.ts'
import type { FingerprintFacts } from './fingerprint.ts'
import type { Outbox } from './outbox.ts'
import type { Outcome } from './outcome.ts'
import type { FencingToken } from './record.ts'
import type { ClaimAnswer, RecordSummary } from './store.ts'

/** One call of an operation, before anything is looked up. */
export interface Call {
  /** The verified caller, or `anonymous`. */
  readonly principal: string | typeof anonymous
  /** Who acts for the principal; replays may need the same one. */
  readonly actor?: string | undefined
  readonly key: string | typeof byPayload
  /** What the fingerprint covers; the operation's name is added. */
  readonly facts: Omit<FingerprintFacts, 'operation'>
  readonly traceId?: string | undefined
  /** The input for a resolver. */
  readonly input?: unknown
  /** Asked again before every replay; false answers `forbidden`. */
  readonly authorizeReplay?: ((record: RecordSummary) => boolean | Promise<boolean>) | undefined
}

/** Written where every caller of an operation may share keys. */
export const anonymous: unique symbol = Symbol.for('oncely.anonymous')

/** Written for the key of a call that is told apart by its payload (`payloadKey` of the operation). */
export const byPayload: unique symbol = Symbol.for('oncely.by-payload')

/** What every handler gets, whatever called it. `tx` is there when the operation is bound to a transaction. */
export interface AttemptContext {
  /** The caller's key; empty for a call without one. Never pass it on: `deriveKey` is for that. */
  readonly key: string
  /** The key for a downstream service: stable over attempts, different per name and record. */
  deriveKey(name: string): string
  /** Grows with each claim of the record; a resource that compares it refuses a late owner. */
  readonly fence: FencingToken
  /** 1 for the first claim of the record. */
  readonly attempt: number
  /**
   * Persists that effects may start. With `begin: 'explicit'` it is awaited before the first effect; when it throws, nothing may
   * be done. With `at-claim` it only throws when the lease is lost or lapsed; in a transaction it does nothing.
   */
  begin(): Promise<void>
  /** Aborted before the lease ends, when the claim was lost, and when the process drains. */
  readonly signal: AbortSignal
  /** The record's id in hexadecimal; empty for a call without a key. */
  readonly record: string
}

/** The claim behind an attempt under a lease, for whoever persists more with it than an outcome. */
export interface HeldClaim {
  readonly claim: Extract<ClaimAnswer, { word: 'acquired' }>
  /** The payload's unkeyed digest. */
  readonly payload: Uint8Array
  readonly lease: {
    readonly signal: AbortSignal
    /** Persists that effects may have started. */
    begin(): Promise<void>
    /** Prolongs the lease and compares the token, now. Throws `LeaseLost`, or `StoreUnavailable` when it cannot know. */
    renewNow(): Promise<void>
    /** Throws `LeaseLost` when somebody else may hold the record by now. */
    check(): void
    lose(reason: string): Error
    /** The record was moved on by other means: nothing is released or sealed when the attempt ends. */
    settle(): void
  }
}

/** What the engine runs and how its value is stored; each entry point (function call, HTTP) brings its own. */
export interface Work<R, Tx> {
  /** `tx` and `outbox` are there when the operation is bound to a transaction, `held` under a lease and with steps. */
  run(context: AttemptContext, tx: Tx | undefined, outbox?: Outbox, held?: HeldClaim): Promise<R>
  /** Throws `ValueNotStorable` for a value that would not come back equal. */
  encode(value: R): EncodedValue
  encodeRejection(value: unknown): EncodedValue
  /** `complete`: an outcome. `failed`: as if it had thrown. `not-applied`: the handler declares that nothing happened. */
  judge(value: R): 'complete' | 'failed' | 'not-applied'
}

/** What became of a call. Statuses are words; only bugs and outages of the caller's own are thrown. */
export type Execution<R> =
  /** Ran here, committed and recorded. */
  | { readonly status: 'done'; readonly value: R; readonly record: string; readonly attempt: number; readonly settled?: false }
  /** The handler rejected for good; recorded. */
  | { readonly status: 'rejected'; readonly value: unknown; readonly record: string; readonly attempt: number; readonly settled?: false }
  /** Ran before; the stored outcome is the answer. */
  | { readonly status: 'replayed'; readonly stored: EncodedValue; readonly summary: RecordSummary; readonly record: string }
  /** Ran here, but its value is no outcome (a failure): what became of the record is in `disposition`. */
  | { readonly status: 'failed'; readonly value: R; readonly disposition: Disposition; readonly record: string }
  /** Ran here; the effect stands but storing the outcome failed. With `answer` the value may go out, marked. */
  | {
      readonly status: 'unrecorded'
      readonly value: R | undefined
      readonly answer: boolean
      readonly retryAfterMs: number
      readonly record: string
    }
  /** Ran without protection: the store was down and the policy is open, or the phase only observes. */
  | { readonly status: 'unprotected'; readonly value: R }
  | { readonly status: 'in-progress'; readonly retryAfterMs: number; readonly record: string }
  | { readonly status: 'mismatch'; readonly record: string }
  | { readonly status: 'uncertain'; readonly summary: RecordSummary | undefined; readonly record: string }
  | { readonly status: 'quarantined'; readonly summary: RecordSummary; readonly record: string }
  | { readonly status: 'expired'; readonly summary: RecordSummary; readonly record: string }
  | { readonly status: 'forbidden'; readonly record: string }
  | {
      readonly status: 'unavailable'
      readonly reason: string
      readonly retryAfterMs: number
      readonly cause: unknown
      readonly record: string
    }

/** What a failed attempt left behind: nothing, a free key, a record that the next claim takes over, or doubt. */
export type Disposition = 'rolled-back' | 'released' | 'repeatable' | 'uncertain'

/** A completed outcome as handed to duplicates in this process. */
export interface SharedOutcome {
  readonly outcome: Outcome
  readonly summary: RecordSummary
}
