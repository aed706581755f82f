/**
 * Exceptions are for bugs and outages; expected answers are words. Each class has one stable code, which is never reused, says
 * whether a repeat can help and whether it must carry the same key, and names the fix. `docs/errors.md` lists the same set.
 */

const brand: unique symbol = Symbol.for('oncely.error')

/** The error codes of the library. */
export type OncelyErrorCode =
  | 'ONCELY_CONFIGURATION'
  | 'ONCELY_INVALID_INPUT'
  | 'ONCELY_PRINCIPAL_MISSING'
  | 'ONCELY_KEY_INVALID'
  | 'ONCELY_BODY_NOT_CAPTURED'
  | 'ONCELY_VALUE_NOT_STORABLE'
  | 'ONCELY_STORE_UNAVAILABLE'
  | 'ONCELY_STORE_TOO_WEAK'
  | 'ONCELY_STORE_SCHEMA'
  | 'ONCELY_TRANSACTION_CONFLICT'
  | 'ONCELY_TRANSACTION_DEAD'
  | 'ONCELY_TRANSACTION_ESCAPED'
  | 'ONCELY_FOREIGN_TRANSACTION'
  | 'ONCELY_LEASE_LOST'
  | 'ONCELY_OUTCOME_CORRUPT'
  | 'ONCELY_OUTCOME_CONFLICT'
  | 'ONCELY_SECRET_MISSING'
  | 'ONCELY_RECORD_HELD'
  | 'ONCELY_OUTBOX_SEALED'
  | 'ONCELY_STEP_HISTORY'
  | 'ONCELY_STEP_VERSION'
  | 'ONCELY_EFFECT_AMBIGUOUS'
  | 'ONCELY_UNSUPPORTED'
  | 'ONCELY_DRAINING'
  | 'ONCELY_INBOX_POSITION'

export interface OncelyErrorOptions {
  readonly cause?: unknown
}

/** The base of every error this library throws. Tell one from others by `isOncelyError`, also over duplicate installs. */
export class OncelyError extends Error {
  readonly code: OncelyErrorCode
  /** Whether the same call can succeed later without a change. */
  readonly retryable: boolean
  /** Whether a repeat must carry the same key; a new one could run the effect again. */
  readonly sameKey: boolean

  constructor(
    code: OncelyErrorCode,
    message: string,
    facts: { readonly retryable: boolean; readonly sameKey: boolean },
    options?: OncelyErrorOptions,
  ) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.retryable = facts.retryable
    this.sameKey = facts.sameKey
    Object.defineProperty(this, brand, { value: true })
  }
}

/** True for an error of this library, whichever copy of it threw. */
export function isOncelyError(error: unknown): error is OncelyError {
  return typeof error === 'object' && error !== null && (error as Record<symbol, unknown>)[brand] === true
}

const final = { retryable: false, sameKey: true } as const
const retryable = { retryable: true, sameKey: true } as const

/** An option, policy or combination that cannot work or is not safe; thrown when it is constructed, before anything runs. */
export class ConfigurationError extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_CONFIGURATION', message, final, options)
  }
}

/** The input does not fit the operation's schema, or cannot be fingerprinted; nothing ran and no key was used up. */
export class InvalidInput extends OncelyError {
  /** What is wrong, one line each, without the values. */
  readonly issues: readonly string[]

  constructor(message: string, issues: readonly string[] = [], options?: OncelyErrorOptions) {
    super('ONCELY_INVALID_INPUT', message, final, options)
    this.issues = issues
  }
}

/** No caller identity was resolved; keys are never shared between callers by default. */
export class PrincipalMissing extends OncelyError {
  constructor(operation: string, options?: OncelyErrorOptions) {
    super(
      'ONCELY_PRINCIPAL_MISSING',
      `Operation "${operation}" got no principal. Pass the verified caller's stable id (tenant, account, subject), or write principal: anonymous where every caller may share keys.`,
      final,
      options,
    )
  }
}

/** The key is empty, too long or malformed; nothing was looked up. */
export class KeyInvalid extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_KEY_INVALID', message, final, options)
  }
}

/** A body parser consumed the request before its bytes were captured; a parsed body is never fingerprinted. */
export class BodyNotCaptured extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_BODY_NOT_CAPTURED', message, final, options)
  }
}

/** The handler's value would not come back equal from the store, so a replay would be another answer. */
export class ValueNotStorable extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_VALUE_NOT_STORABLE', message, final, options)
  }
}

/**
 * The store did not answer, or not in time. `applied` tells whether its step can have happened: `no` is certain; `unknown` means
 * that only the store knows, so repeat with the same key.
 */
export class StoreUnavailable extends OncelyError {
  readonly applied: 'no' | 'unknown'

  constructor(message: string, facts: { readonly applied: 'no' | 'unknown' }, options?: OncelyErrorOptions) {
    super('ONCELY_STORE_UNAVAILABLE', message, retryable, options)
    this.applied = facts.applied
  }
}

/** The running server survives less than the policy needs. */
export class StoreTooWeak extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_STORE_TOO_WEAK', message, final, options)
  }
}

/** The store's tables are missing, older or newer than this version reads. */
export class StoreSchemaMismatch extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_STORE_SCHEMA', message, final, options)
  }
}

/** A serialization failure or deadlock: the whole transaction can be repeated, and was, as often as the operation allows. */
export class TransactionConflict extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_TRANSACTION_CONFLICT', message, retryable, options)
  }
}

/** A statement failed, the handler went on and returned: the database had already given the transaction up. */
export class TransactionDead extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_TRANSACTION_DEAD', message, retryable, options)
  }
}

/** The handler ended the transaction itself and then failed: its effect stands, and the record says `uncertain`. */
export class TransactionEscaped extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_TRANSACTION_ESCAPED', message, final, options)
  }
}

/** The transaction handed in belongs to another database than the store's. */
export class ForeignTransaction extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_FOREIGN_TRANSACTION', message, final, options)
  }
}

/** This attempt is no longer the newest, or its lease could not be renewed in time: stop, whatever is half done. */
export class LeaseLost extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_LEASE_LOST', message, retryable, options)
  }
}

/** The stored outcome is missing or fails its checksum: nothing is replayed and nothing runs. */
export class OutcomeCorrupt extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_OUTCOME_CORRUPT', message, final, options)
  }
}

/** What is stored was made with a secret that this instance does not have: nothing is replayed and nothing runs. */
export class SecretMissing extends OncelyError {
  /** The id that is stored beside what it protects; undefined where the store only said that none of ours fits. */
  readonly secretId: number | undefined

  constructor(secretId: number | undefined, known: readonly number[], options?: OncelyErrorOptions) {
    super(
      'ONCELY_SECRET_MISSING',
      `The stored record was made with ${secretId === undefined ? 'a secret' : `secret ${secretId}`} that this instance does not have (it has ${known.length === 0 ? 'none' : known.join(', ')}). Add it to secrets again; a secret stays until every record made with it is gone.`,
      final,
      options,
    )
    this.secretId = secretId
  }
}

/** The record is under a legal hold: it is not erased before the hold is lifted. */
export class RecordHeld extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_RECORD_HELD', message, final, options)
  }
}

/** The record was completed before with other bytes; the first stand. */
export class OutcomeConflict extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_OUTCOME_CONFLICT', message, final, options)
  }
}

/** The handler does not repeat the steps that its operation has recorded: the operation is quarantined, and nothing runs again. */
export class StepHistoryMismatch extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_STEP_HISTORY', message, final, options)
  }
}

/** No handler is defined for the version that an operation began under: it is quarantined until one is. */
export class StepVersionMissing extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_STEP_VERSION', message, final, options)
  }
}

/** An outside call may have been applied, and its answer is not known yet. The operation goes on by a repeat or by the completer. */
export class EffectAmbiguous extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_EFFECT_AMBIGUOUS', message, retryable, options)
  }
}

/** A message was sent after the attempt it belongs to had ended; it commits with nothing, so it is not sent. */
export class OutboxSealed extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_OUTBOX_SEALED', message, final, options)
  }
}

/** The store, data layer or adapter cannot do what was asked of it. */
export class Unsupported extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_UNSUPPORTED', message, final, options)
  }
}

/** This process is shutting down and takes no new work; another process answers the same key. */
export class Draining extends OncelyError {
  constructor(options?: OncelyErrorOptions) {
    super('ONCELY_DRAINING', 'This process is draining and claims nothing new; repeat with the same key.', retryable, options)
  }
}

/** A partition's messages are not the ones that its applied offset counts: the source was made anew, or has lost its end. */
export class InboxPositionLost extends OncelyError {
  constructor(message: string, options?: OncelyErrorOptions) {
    super('ONCELY_INBOX_POSITION', message, final, options)
  }
}
