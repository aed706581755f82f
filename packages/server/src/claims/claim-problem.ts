import type { OncelyErrorCode } from 'oncely'
import { defaultProblemBase, type HttpResponse, type ProblemName, problemKinds, reply } from 'oncely/http'

type Own =
  | 'unauthenticated'
  | 'key-set-unavailable'
  | 'not-found'
  | 'method-not-allowed'
  | 'media-type'
  | 'rate-limited'
  | 'lease-lost'
  | 'outcome-conflict'
  | 'begun'
  | 'changed'
  | 'early'
  | 'absent'
  | 'unreadable'
  | 'draining'
  | 'api-failed'

/** What the claims API answers instead of what was asked for. */
export type ClaimProblemName =
  | Own
  | Extract<ProblemName, 'input-invalid' | 'key-malformed' | 'replay-forbidden' | 'in-progress' | 'uncertain' | 'quarantined'>
  | Extract<ProblemName, 'expired' | 'body-too-large' | 'mismatch' | 'unavailable'>

interface Kind {
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly retryable: boolean
  readonly sameKey: boolean
  readonly safeNewKey: boolean
  readonly code?: OncelyErrorCode
}

const correct = { retryable: false, sameKey: true, safeNewKey: false } as const
const again = { retryable: true, sameKey: true, safeNewKey: false } as const

const own: Readonly<Record<Own, Kind>> = {
  unauthenticated: {
    ...correct,
    status: 401,
    title: 'The caller is not known',
    detail: 'Send the credential that the server was started for, once.',
    code: 'ONCELY_PRINCIPAL_MISSING',
  },
  'key-set-unavailable': {
    ...again,
    status: 503,
    title: 'The caller cannot be verified at the moment',
    detail: 'The keys of the token issuer cannot be read. Nothing happened.',
  },
  'not-found': { ...correct, status: 404, title: 'There is no such resource', detail: '/v1/openapi.json lists what there is.' },
  'method-not-allowed': {
    ...correct,
    status: 405,
    title: 'The method is not allowed',
    detail: 'Steps are sent with POST: keys never stand in a URL.',
  },
  'media-type': {
    ...correct,
    status: 415,
    title: 'The body is no JSON',
    detail: 'Send application/json in UTF-8, without a content encoding.',
  },
  'rate-limited': { ...again, status: 429, title: 'Too many requests', detail: 'Nothing happened. Repeat the request after Retry-After.' },
  'lease-lost': {
    ...again,
    status: 409,
    title: 'This attempt holds the key no more',
    detail: 'Stop: another attempt may run. Nothing was written. A claim tells what stands.',
    code: 'ONCELY_LEASE_LOST',
  },
  'outcome-conflict': {
    ...correct,
    status: 409,
    title: 'The key was completed with another outcome',
    detail: 'The first outcome stands. A claim answers with it.',
    code: 'ONCELY_OUTCOME_CONFLICT',
  },
  begun: {
    ...correct,
    status: 409,
    title: 'Effects may have started',
    detail: 'The key cannot be freed. Seal it, or release it as declared where you know that nothing was applied.',
  },
  changed: { ...correct, status: 409, title: 'The record is another than you expect', detail: 'Nothing was changed. Read it again.' },
  early: { ...again, status: 409, title: 'An effect can still arrive', detail: '"Not applied" counts after Retry-After. Look again then.' },
  absent: {
    ...correct,
    status: 404,
    title: 'There is no record of this key',
    detail: 'It was never used by this caller, or has outlived its policy.',
  },
  unreadable: {
    ...again,
    status: 503,
    title: 'The record cannot be judged here',
    detail: 'It was written under a secret or by rules that this server does not have. It is never run again by guess.',
  },
  draining: { ...again, status: 503, title: 'The server is shutting down', detail: 'Repeat the request.', code: 'ONCELY_DRAINING' },
  'api-failed': {
    ...again,
    status: 500,
    title: 'The claims API failed',
    detail: 'Whether the step happened is not known; repeat it with the same attempt.',
  },
}

const codes: Readonly<Partial<Record<ClaimProblemName, OncelyErrorCode>>> = {
  'input-invalid': 'ONCELY_INVALID_INPUT',
  'key-malformed': 'ONCELY_KEY_INVALID',
  unavailable: 'ONCELY_STORE_UNAVAILABLE',
}

/** Problems that are the answer of a step, as its word. */
const words: ReadonlySet<ClaimProblemName> = new Set([
  ...(['lease-lost', 'outcome-conflict', 'begun', 'changed', 'early', 'absent', 'unreadable'] as const),
  ...(['replay-forbidden', 'in-progress', 'uncertain', 'quarantined', 'expired', 'mismatch'] as const),
])

export interface ClaimProblemFacts {
  readonly detail?: string | undefined
  readonly code?: OncelyErrorCode | undefined
  readonly issues?: readonly string[] | undefined
  readonly retryAfterMs?: number | undefined
  /** The token of a record that waits for a verdict, which a resolution must name. */
  readonly token?: string | undefined
}

/** A problem (RFC 9457) with the machine fields of the contract, the word of the step, or the code of the error. */
export function claimProblem(name: ClaimProblemName, facts: ClaimProblemFacts = {}): HttpResponse {
  const kind: Kind = Object.hasOwn(own, name) ? own[name as Own] : problemKinds[name as ProblemName]
  const retryAfterMs = facts.retryAfterMs ?? (kind.retryable ? 1_000 : undefined)
  return reply(
    kind.status,
    {
      type: defaultProblemBase + name,
      title: kind.title,
      status: kind.status,
      detail: facts.detail ?? kind.detail,
      word: words.has(name) ? name : undefined,
      code: facts.code ?? kind.code ?? codes[name],
      issues: facts.issues,
      retryable: kind.retryable,
      same_key: kind.sameKey,
      safe_new_key: kind.safeNewKey,
      operation_state: name === 'uncertain' || name === 'quarantined' ? name : name === 'in-progress' ? 'running' : undefined,
      token: facts.token,
    },
    {
      'content-type': 'application/problem+json',
      'content-language': 'en',
      'cache-control': 'no-store',
      ...(retryAfterMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) }),
    },
  )
}
