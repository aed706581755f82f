import { type Bind, FINGERPRINT_VERSION, type Limits, type OperationDefinition, type Phase, type Policy } from '../core/index.ts'
import { defaultProblemBase, type ProblemKind, type ProblemName, problemKinds } from './problem.ts'
import { replayedHeaders } from './replay-header.ts'
import { type HttpOutcome, type HttpRoute, routesOfOperation, turnedAway } from './route.ts'

/** Where the document is published. */
export const specificationPath = '/.well-known/idempotency'

/** What an instance shows of itself: the rest of it is nobody else's business. */
export interface Published {
  readonly limits: Limits
  readonly operations: readonly OperationDefinition[]
}

/** The idempotency specification of a service: what a client has to know, made from what runs. */
export interface Specification {
  readonly profile_of: string
  readonly key: {
    readonly header: string
    readonly forms: string
    readonly bytes_min: number
    readonly bytes_max: number
    readonly case_sensitive: true
  }
  readonly scope: string
  readonly fingerprint: {
    readonly version: number
    readonly covers: readonly string[]
    readonly body_bytes_max: number
    readonly json_depth_max: number
  }
  readonly replay: { readonly marker: string; readonly headers: readonly string[]; readonly response_bytes_max: number }
  readonly operations: readonly OperationSpecification[]
  readonly problems: readonly ProblemSpecification[]
}

export interface OperationSpecification {
  readonly name: string
  readonly bind: Bind
  readonly key: 'required' | 'optional' | 'observed' | 'the payload within the retention, where none is sent'
  readonly keyspace: 'key' | 'operation'
  readonly policy: string
  /** From completion; floors. */
  readonly retention_seconds: number
  readonly tombstone_seconds: number
  readonly fingerprint_excludes: readonly string[]
  readonly in_flight: { readonly answer: 409 } | { readonly answer: 'wait'; readonly wait_seconds: number; readonly otherwise: 409 }
  readonly replay_to: Policy['replayTo']
  readonly stores: 'outcome' | 'nothing'
  readonly lost_lease: Policy['onLostLease']
  readonly store_down: Policy['onStoreDown']
  readonly unrecorded: Policy['onUnrecorded']
  readonly routes: readonly RouteSpecification[]
}

export interface RouteSpecification {
  readonly methods: readonly string[] | 'all but safe'
  readonly key_syntax: 'lenient' | 'strict'
  /** A JSON pointer into the body, where the key may be instead of in its header; empty for none. */
  readonly key_field: string
  readonly fingerprint_headers: readonly string[]
  readonly replay_headers: readonly string[]
  /** Statuses whose meaning differs from the default: below 500 complete, else failed. */
  readonly outcomes: Readonly<Record<string, HttpOutcome>>
  readonly problem_base: string
}

export interface ProblemSpecification {
  readonly type: string
  readonly status: number
  readonly title: string
  readonly retryable: boolean
  readonly same_key: boolean
  readonly safe_new_key: boolean
}

/** The document for `specificationPath` (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2). */
export function specification(published: Published, options: { readonly problemBase?: string } = {}): Specification {
  const { limits, operations } = published
  const base = options.problemBase ?? defaultProblemBase
  return {
    profile_of: 'draft-ietf-httpapi-idempotency-key-header-07',
    key: {
      header: 'Idempotency-Key',
      forms: 'one field line with one RFC 9651 string, or (lenient) one bare token',
      bytes_min: limits.keyBytesMin,
      bytes_max: limits.keyBytesMax,
      case_sensitive: true,
    },
    scope: 'a key belongs to the authenticated caller that sends it',
    fingerprint: {
      version: FINGERPRINT_VERSION,
      covers: [
        'operation',
        'method',
        'route',
        'parameters',
        'query',
        'declared headers',
        'body (JSON by its members, multipart by its parts, else by its bytes; content codings undone)',
      ],
      body_bytes_max: limits.bodyBytesMax,
      json_depth_max: limits.jsonDepthMax,
    },
    replay: { marker: 'Idempotent-Replayed: true', headers: replayedHeaders, response_bytes_max: limits.responseBytesMax },
    operations: operations.map(operationSpecification),
    problems: Object.entries(problemKinds).map(([name, kind]) => problemSpecification(base, name as ProblemName, kind)),
  }
}

const payloadWord = 'the payload within the retention, where none is sent'
const keyWords: Readonly<Record<Phase, OperationSpecification['key']>> = { enforce: 'required', optional: 'optional', observe: 'observed' }

/** One operation of the document. */
export function operationSpecification(definition: OperationDefinition): OperationSpecification {
  const { policy } = definition
  return {
    name: definition.name,
    bind: definition.bind,
    key: definition.payloadKey && definition.phase !== 'observe' ? payloadWord : keyWords[definition.phase],
    keyspace: definition.keyspace,
    policy: policy.name,
    retention_seconds: policy.retentionMs / 1_000,
    tombstone_seconds: policy.tombstoneMs / 1_000,
    fingerprint_excludes: definition.exclude,
    in_flight: policy.onConcurrent === 'wait' ? { answer: 'wait', wait_seconds: policy.waitMs / 1_000, otherwise: 409 } : { answer: 409 },
    replay_to: policy.replayTo,
    stores: definition.store,
    lost_lease: policy.onLostLease,
    store_down: policy.onStoreDown,
    unrecorded: policy.onUnrecorded,
    routes: routesOfOperation(definition).map(routeSpecification),
  }
}

function routeSpecification(route: HttpRoute<unknown>): RouteSpecification {
  return {
    methods: route.methods ?? 'all but safe',
    key_syntax: route.keyOptions.syntax,
    key_field: route.keyField ?? '',
    fingerprint_headers: route.fingerprintHeaders,
    replay_headers: [...route.storedHeaderNames],
    outcomes: { ...Object.fromEntries(turnedAway.map((status) => [status, 'failed' as const])), ...route.outcomes },
    problem_base: route.problemBase,
  }
}

function problemSpecification(base: string, name: ProblemName, kind: ProblemKind): ProblemSpecification {
  return {
    type: base + name,
    status: kind.status,
    title: kind.title,
    retryable: kind.retryable,
    same_key: kind.sameKey,
    safe_new_key: kind.safeNewKey,
  }
}
