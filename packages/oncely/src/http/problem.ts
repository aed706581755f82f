import { acceptedCodings } from './content-coding.ts'
import type { HeaderLine } from './header-line.ts'
import type { HttpResponse } from './response.ts'

/** What every problem of one name has in common. */
export interface ProblemKind {
  readonly status: number
  readonly title: string
  /** What to do about it, where the occurrence has nothing more to say. */
  readonly detail: string
  /** The same request can succeed later without a change. */
  readonly retryable: boolean
  /** A repeat must carry the same key. */
  readonly sameKey: boolean
  /** A new key cannot make an effect happen twice. */
  readonly safeNewKey: boolean
  /** What `Idempotency-Status` says. */
  readonly word?: 'conflict' | 'mismatch'
}

/** The problems of the layer, by name. */
export type ProblemName =
  | 'key-missing'
  | 'key-malformed'
  | 'body-malformed'
  | 'signature-invalid'
  | 'input-invalid'
  | 'replay-forbidden'
  | 'in-progress'
  | 'uncertain'
  | 'quarantined'
  | 'result-not-stored'
  | 'expired'
  | 'body-too-large'
  | 'coding-unsupported'
  | 'mismatch'
  | 'over-budget'
  | 'unrecorded'
  | 'unavailable'

const correct = { retryable: false, sameKey: false, safeNewKey: true } as const
const again = { retryable: true, sameKey: true, safeNewKey: false } as const
const final = { retryable: false, sameKey: true, safeNewKey: false } as const

/**
 * Everything the layer itself answers instead of the handler. Names are the last part of the `type` URI; they are stable and
 * never reused.
 */
export const problemKinds: Readonly<Record<ProblemName, ProblemKind>> = {
  'key-missing': {
    ...correct,
    status: 400,
    title: 'Idempotency-Key is missing',
    detail: 'Send an Idempotency-Key header: one new key for each intent, the same key on each retry of it.',
  },
  'key-malformed': {
    ...correct,
    status: 400,
    title: 'Idempotency-Key is malformed',
    detail: 'Send one Idempotency-Key line with one string, such as "8e03978e-40d5-43e8-bc93-6894a57f9324".',
  },
  'body-malformed': {
    ...correct,
    status: 400,
    title: 'The body cannot be read',
    detail: 'Send content that is well-formed for its content type and content encoding. The key is not used up.',
  },
  'signature-invalid': {
    ...correct,
    status: 400,
    title: 'The signature does not fit',
    detail: 'The message is not proven to come from its sender. Nothing ran and nothing was recorded.',
  },
  'input-invalid': { ...correct, status: 400, title: 'The input does not fit', detail: 'Correct the input. The key is not used up.' },
  'replay-forbidden': {
    ...final,
    status: 403,
    title: 'The stored answer is not for this caller',
    detail: 'The key was used by another actor, or the right to read its answer was withdrawn.',
    word: 'conflict',
  },
  'in-progress': {
    ...again,
    status: 409,
    title: 'A request with this Idempotency-Key is in progress',
    detail: 'Repeat the same request with the same key after Retry-After.',
    word: 'conflict',
  },
  uncertain: {
    ...final,
    status: 409,
    title: 'The outcome of this Idempotency-Key is not known',
    detail: 'An earlier attempt may have taken effect. Nothing runs again until that is resolved; do not send the request under a new key.',
    word: 'conflict',
  },
  quarantined: {
    ...final,
    status: 409,
    title: 'This Idempotency-Key failed too often',
    detail: 'An operator has to look at it. Do not send the request under a new key.',
    word: 'conflict',
  },
  'result-not-stored': {
    ...final,
    status: 409,
    title: 'The request was processed and its answer was not kept',
    detail: 'The effect stands and the first answer was given once. Look the result up; do not send the request again.',
    word: 'conflict',
  },
  expired: {
    ...final,
    status: 410,
    title: 'The stored answer has expired',
    detail: 'The request was processed and its answer is no longer kept. Look the result up; do not send the request again.',
    word: 'conflict',
  },
  'body-too-large': {
    ...correct,
    status: 413,
    title: 'The body is too large',
    detail: 'A body with an Idempotency-Key is compared whole and has a limit. Nothing ran and the key is not used up.',
  },
  'coding-unsupported': {
    ...correct,
    status: 415,
    title: 'The content encoding is not supported',
    detail: `Send the body plain or in one of: ${acceptedCodings}.`,
  },
  mismatch: {
    ...final,
    sameKey: false,
    status: 422,
    title: 'Idempotency-Key is already used',
    detail: 'The key was used for another request. If this is a retry, send what was sent first; if it is a new intent, use a new key.',
    word: 'mismatch',
  },
  'over-budget': {
    ...again,
    status: 429,
    title: 'Too many new Idempotency-Keys',
    detail:
      'The caller has used up its budget of new or running keys. Nothing ran. Repeat the same request with the same key after Retry-After; keys that were used before are still answered.',
  },
  unrecorded: {
    ...again,
    status: 503,
    title: 'The outcome could not be recorded',
    detail: 'The request may have taken effect. Repeat it with the same key after Retry-After; a new key could make it happen twice.',
  },
  unavailable: {
    ...again,
    status: 503,
    title: 'Duplicates cannot be told apart at the moment',
    detail: 'Nothing ran. Repeat the same request with the same key after Retry-After.',
  },
}

/** What one occurrence adds to its kind. Never a key or a body. */
export interface ProblemFacts {
  /** Which of several causes it was, as a word. */
  readonly reason?: string | undefined
  readonly detail?: string | undefined
  readonly issues?: readonly string[] | undefined
  readonly retryAfterMs?: number | undefined
  /** Where this occurrence differs from its kind. */
  readonly retryable?: boolean | undefined
  readonly operationState?: string | undefined
  /** A short keyed hash that names the record in logs. */
  readonly record?: string | undefined
  /** Where the first answer pointed. */
  readonly resource?: string | undefined
  readonly originalStatus?: number | undefined
  /** Where a caller can have the outcome looked up or resolved. */
  readonly resolution?: string | undefined
}

/** Where the `type` URIs live unless a route says otherwise. */
export const defaultProblemBase = 'https://oncely.dev/problems/'

const encoder = new TextEncoder()

/** The problem as a response: RFC 9457, with the machine fields a client needs to decide about a retry. */
export function problem(base: string, name: ProblemName, facts: ProblemFacts = {}): HttpResponse {
  const kind = problemKinds[name]
  const body = {
    type: base + name,
    title: kind.title,
    status: kind.status,
    detail: facts.detail ?? kind.detail,
    reason: facts.reason,
    issues: facts.issues,
    retryable: facts.retryable ?? kind.retryable,
    same_key: kind.sameKey,
    safe_new_key: kind.safeNewKey,
    operation_state: facts.operationState,
    record: facts.record === '' ? undefined : facts.record,
    original_status: facts.originalStatus,
    resource: facts.resource,
    resolution: facts.resolution,
  }
  const headers: HeaderLine[] = [
    ['content-type', 'application/problem+json'],
    ['content-language', 'en'],
    ['cache-control', 'no-store'],
  ]
  if (facts.retryAfterMs !== undefined) headers.push(['retry-after', retryAfter(facts.retryAfterMs)])
  if (name === 'coding-unsupported') headers.push(['accept-encoding', acceptedCodings])
  if (kind.word !== undefined) headers.push(['idempotency-status', kind.word])
  return { status: kind.status, headers, body: encoder.encode(JSON.stringify(body)) }
}

/** Whole seconds, at least one: RFC 9110 §10.2.3. */
export function retryAfter(delayMs: number): string {
  return String(Math.max(1, Math.ceil(delayMs / 1_000)))
}
