import type { Idempotency } from './idempotency.ts'

// The client is loaded into pages without a bundler too, so it does not import the core for its errors: the fields and the
// brand are the same, and `isOncelyError` knows them.
const brand: unique symbol = Symbol.for('oncely.error')

/** The error codes of the client; the first two are the library's. */
export type ClientErrorCode =
  /** An option is out of its range, or two of them contradict each other. */
  | 'ONCELY_CONFIGURATION'
  /** The key cannot be sent as one header value. */
  | 'ONCELY_KEY_INVALID'
  /** The body can be read only once, so it could not be sent again. */
  | 'ONCELY_BODY_NOT_REPLAYABLE'
  /** The stored key is older than servers remember keys: a repeat could run again. */
  | 'ONCELY_KEY_TOO_OLD'
  /** No attempt got an answer; whether the server acted is unknown. */
  | 'ONCELY_NO_ANSWER'

/** The base of every error the client throws; only `NoAnswer` comes after something was sent. */
export class ClientError extends Error {
  readonly code: ClientErrorCode
  /** Whether the same call can succeed later without a change. */
  readonly retryable: boolean
  /** Whether a repeat must carry the same key. */
  readonly sameKey: boolean = true

  constructor(code: ClientErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'ClientError'
    this.code = code
    this.retryable = code === 'ONCELY_NO_ANSWER'
    Object.defineProperty(this, brand, { value: true })
  }
}

/**
 * The last attempt got no answer and no further one is allowed. The effect may have happened: call again with
 * `idempotency.key`, or with the same intent. `cause` is what `fetch` threw.
 */
export class NoAnswer extends ClientError {
  readonly idempotency: Idempotency

  constructor(idempotency: Idempotency, cause: unknown) {
    const { attempts } = idempotency
    super(
      'ONCELY_NO_ANSWER',
      `No answer, attempts: ${attempts}; whether the server acted is unknown. Repeat with the same key, or raise retry.deadlineMs or retry.attemptsMax.`,
      { cause },
    )
    this.name = 'NoAnswer'
    this.idempotency = idempotency
  }
}
