import { anonymous, type Call } from './attempt.ts'
import { InvalidInput, KeyInvalid, PrincipalMissing } from './errors.ts'
import { type FingerprintSet, fingerprint } from './fingerprint.ts'
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

/** What identifies a call. What only a claim needs is made when it is asked for: a replay from this process never asks. */
export interface Prepared {
  readonly operation: OperationDefinition
  readonly call: Call
  readonly id: Uint8Array
  readonly idHex: string
  /** The payload's unkeyed digest. */
  readonly plain: Uint8Array
  /** Digest of the actor; empty when the caller names none. */
  readonly actor: Uint8Array
  /** Names the caller in events, without naming it. */
  readonly client: string
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
  return new PreparedCall(identity, operation, call, principal, id, made.fingerprint)
}

class PreparedCall implements Prepared {
  readonly operation: OperationDefinition
  readonly call: Call
  readonly id: Uint8Array
  readonly idHex: string
  readonly #identity: Identity
  readonly #principal: string
  readonly #fingerprint: FingerprintSet
  #request: Omit<ClaimRequest, 'attemptId'> | undefined

  constructor(identity: Identity, operation: OperationDefinition, call: Call, principal: string, id: Uint8Array, made: FingerprintSet) {
    this.operation = operation
    this.call = call
    this.id = id
    this.idHex = toHex(id)
    this.#identity = identity
    this.#principal = principal
    this.#fingerprint = made
  }

  get plain(): Uint8Array {
    return this.#fingerprint.plain
  }

  get actor(): Uint8Array {
    return this.call.actor === undefined ? nobody : this.#identity.hasher.sha256(encoder.encode(this.call.actor))
  }

  get client(): string {
    return clientName(this.#identity.hasher, this.#principal)
  }

  get request(): Omit<ClaimRequest, 'attemptId'> {
    this.#request ??= this.#claim()
    return this.#request
  }

  // Without a secret: a retry after a rotation must pass the same key on, or the other service would run twice.
  readonly deriveKey = (name: string): string => derivedKey(this.#identity.hasher, undefined, this.id, name)

  #claim(): Omit<ClaimRequest, 'attemptId'> {
    const { operation, call, id, actor } = this
    return {
      id,
      operation: operation.name,
      bind: operation.bind,
      principal: this.#identity.hasher.sha256(encoder.encode(this.#principal)),
      actor,
      fingerprint: this.#fingerprint,
      policy: recordPolicy(operation.policy),
      leaseMs: operation.policy.leaseMs,
      begun: operation.bind === 'lease' && operation.begin === 'at-claim',
      rerunnable: operation.rerunnable,
      resolverMs: operation.resolver === undefined ? 0 : operation.policy.leaseMs,
      owner: this.#identity.owner,
      traceId: call.traceId ?? '',
    }
  }
}

const nobody = new Uint8Array(0)

/** A principal's name in events. */
export function clientName(hasher: Hasher, principal: string): string {
  return toHex(hasher.sha256(encoder.encode(principal)).subarray(0, 6))
}
