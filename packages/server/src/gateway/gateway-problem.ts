import { type HttpResponse, type ReplyHeaders, reply } from 'oncely/http'

/** What the gateway itself answers, besides the problems of the contract. */
export type GatewayProblemName =
  | 'request-refused'
  | 'principal-missing'
  | 'key-set-unavailable'
  | 'loop-detected'
  | 'upgrade-unsupported'
  | 'upstream-unreachable'
  | 'upstream-failed'
  | 'upstream-timeout'
  | 'gateway-failed'
  | 'draining'
  | 'busy'

interface Kind {
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly retryable: boolean
  readonly sameKey: boolean
  readonly safeNewKey: boolean
  readonly state?: string
}

const correct = { retryable: false, sameKey: false, safeNewKey: true } as const
const again = { retryable: true, sameKey: true, safeNewKey: false } as const
const doubt = { retryable: false, sameKey: true, safeNewKey: false, state: 'uncertain' } as const

const kinds: Readonly<Record<GatewayProblemName, Kind>> = {
  'request-refused': { ...correct, status: 400, title: 'The request is refused', detail: 'Nothing was forwarded.' },
  'principal-missing': {
    ...correct,
    status: 401,
    title: 'The caller is not known',
    detail: 'A request with an Idempotency-Key needs the credential that proves its caller, exactly once. Nothing was forwarded.',
  },
  'key-set-unavailable': {
    ...again,
    status: 503,
    title: 'The caller cannot be verified at the moment',
    detail: 'The keys of the token issuer cannot be read. Nothing was forwarded. Repeat the request with the same key.',
  },
  'loop-detected': { ...correct, status: 508, title: 'The request goes in a circle', detail: 'It passed this gateway before.' },
  'upgrade-unsupported': { ...correct, status: 501, title: 'The upgrade is not supported', detail: 'Only WebSocket passes the gateway.' },
  'upstream-unreachable': {
    ...again,
    status: 502,
    title: 'The service cannot be reached',
    detail: 'No byte of the request was sent on, so nothing happened and the key is free. Repeat the request with the same key.',
  },
  'upstream-failed': {
    ...doubt,
    status: 502,
    title: 'The service broke off its answer',
    detail: 'The request may have taken effect. Nothing runs again under this key until that is resolved; do not send it under a new key.',
  },
  'upstream-timeout': {
    ...doubt,
    status: 504,
    title: 'The service did not answer in time',
    detail: 'The request may have taken effect. Nothing runs again under this key until that is resolved; do not send it under a new key.',
  },
  'gateway-failed': { ...again, status: 500, title: 'The gateway failed', detail: 'Repeat the request with the same key.' },
  busy: {
    ...again,
    status: 503,
    title: 'The gateway holds too many bodies',
    detail: 'Nothing of the body was read, and the key is free. Repeat the request with the same key.',
  },
  draining: { ...again, status: 503, title: 'The gateway is shutting down', detail: 'Repeat the request with the same key.' },
}

/** A problem (RFC 9457) with the machine fields of the contract. */
export function gatewayProblem(base: string, name: GatewayProblemName, detail?: string): HttpResponse {
  const kind = kinds[name]
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'content-language': 'en',
    'cache-control': 'no-store',
  }
  if (kind.retryable) headers['retry-after'] = '1'
  const body = {
    type: base + name,
    title: kind.title,
    status: kind.status,
    detail: detail ?? kind.detail,
    retryable: kind.retryable,
    same_key: kind.sameKey,
    safe_new_key: kind.safeNewKey,
    operation_state: kind.state,
  }
  return reply(kind.status, body, headers satisfies ReplyHeaders)
}
