import { anonymous, type Call } from './attempt.ts'
import { InvalidInput, KeyInvalid, PrincipalMissing } from './errors.ts'
import { fingerprint } from './fingerprint.ts'
import type { Hasher } from './hasher.ts'
import { toHex } from './hex.ts'
import { checkKey, derivedKey, recordId } from './key.ts'
import type { Limits } from './limits.ts'
import type { OperationDefinition } from './operation.ts'
import { recordPolicy } from './policy.ts'
import type { ClaimRequest } from './store.ts'

/** A secret of the instance: the newest comes first, and each stays as long as records keyed with it live. */
export interface Secret {
  /** 1 to 32767; stored with each keyed value. */
  readonly id: number
  readonly key: Uint8Array
}

/** What identifies a call and what it claims with, computed once before anything is looked up. */
export interface Prepared {
  readonly operation: OperationDefinition
  readonly call: Call
  readonly id: Uint8Array
  readonly idHex: string
  readonly request: Omit<ClaimRequest, 'attemptId'>
  deriveKey(name: string): string
}

/** The part of an instance that identifies calls. */
export interface Identity {
  readonly namespace: string
  readonly hasher: Hasher
  readonly secrets: readonly Secret[]
  readonly limits: Limits
  readonly owner: string
}

const encoder = new TextEncoder()

/** Identifies a call; throws the typed error of whatever is wrong with it. Nothing has run and no key is used up. */
export function prepare(identity: Identity, operation: OperationDefinition, call: Call): Prepared {
  const { hasher, secrets, limits, namespace } = identity
  if (call.principal !== anonymous && (typeof call.principal !== 'string' || call.principal === ''))
    throw new PrincipalMissing(operation.name)
  if (typeof call.key !== 'string') throw new KeyInvalid(`The key is of type ${typeof call.key}; it must be a string.`)
  const keyProblem = checkKey(call.key, limits)
  if (keyProblem !== 'ok') {
    throw new KeyInvalid(
      `The key has ${encoder.encode(call.key).length} bytes and is refused (${keyProblem}); a key is ${limits.keyBytesMin} to ${limits.keyBytesMax} bytes of UTF-8 without control characters.`,
    )
  }
  // A byte that no principal of a user can begin with keeps anonymous callers apart from a caller named "anonymous".
  const principal = call.principal === anonymous ? '\u0000anonymous' : call.principal
  const space = operation.phase === 'observe' ? `\u0000observe/${namespace}` : namespace
  const id = recordId(
    { namespace: space, principal, key: call.key, ...(operation.keyspace === 'operation' ? { operation: operation.name } : {}) },
    hasher,
  )
  const made = fingerprint(
    { ...call.facts, operation: operation.name },
    { hasher, secrets, exclude: operation.exclude, jsonDepthMax: limits.jsonDepthMax },
  )
  if (!made.ok) {
    throw new InvalidInput(`The payload cannot be fingerprinted (${made.reason}); send well-formed content that fits its type.`, [
      made.reason,
    ])
  }
  return {
    operation,
    call,
    id,
    idHex: toHex(id),
    request: {
      id,
      operation: operation.name,
      bind: operation.bind,
      principal: hasher.sha256(encoder.encode(principal)),
      actor: call.actor === undefined ? new Uint8Array(0) : hasher.sha256(encoder.encode(call.actor)),
      fingerprint: made.fingerprint,
      policy: recordPolicy(operation.policy),
      leaseMs: operation.policy.leaseMs,
      begun: operation.bind === 'lease' && operation.begin === 'at-claim',
      rerunnable: operation.rerunnable,
      resolverMs: operation.resolver === undefined ? 0 : operation.policy.leaseMs,
      owner: identity.owner,
      traceId: call.traceId ?? '',
    },
    // Without a secret: a retry after a rotation must pass the same key on, or the other service would run twice.
    deriveKey: (name) => derivedKey(hasher, undefined, id, name),
  }
}
