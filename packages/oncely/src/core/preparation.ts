import { anonymous, byPayload, type Call } from './attempt.ts'
import { InvalidInput, KeyInvalid, PrincipalMissing } from './errors.ts'
import { type FingerprintSet, fingerprint } from './fingerprint.ts'
import type { Hasher } from './hasher.ts'
import { toHex } from './hex.ts'
import { checkKey, derivedKey, recordId } from './key.ts'
import { lengthPrefixed } from './length-prefix.ts'
import type { Limits } from './limits.ts'
import type { OperationDefinition } from './operation.ts'
import { recordPolicy } from './policy.ts'
import { sameFacts } from './same-facts.ts'
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
  readonly call: KeyedCall
  readonly id: Uint8Array
  readonly idHex: string
  /** The payload's unkeyed digest. */
  readonly plain: Uint8Array
  /** Digest of the actor; empty when the caller names none. */
  readonly actor: Uint8Array
  /** Names the caller in events, without naming it. */
  readonly client: string
  readonly request: Omit<ClaimRequest, 'attemptId'>
  /** Names principal and key within this process, for `Recall`; never stored or told. */
  readonly address: string
  readonly known: KnownCall
  deriveKey(name: string): string
}

/** A call whose key is known. */
type KeyedCall = Call & { readonly key: string }

/** The part of an instance that identifies calls. */
export interface Identity {
  readonly namespace: string
  readonly hasher: Hasher
  readonly secrets: readonly Secret[]
  readonly limits: Limits
  readonly owner: string
}

const encoder = new TextEncoder()

/** A call that this process identified before. The digests are functions of the facts: equal facts, equal digests. */
export interface KnownCall {
  readonly operation: OperationDefinition
  readonly facts: Call['facts']
  readonly id: Uint8Array
  readonly idHex: string
  readonly fingerprint: FingerprintSet
}

/** Finds a known call by its address, which names principal and key and is not hashed. */
export type Recall = (address: string) => KnownCall | undefined

/** Identifies a call; throws the typed error of whatever is wrong with it. Nothing has run and no key is used up. */
export function prepare(identity: Identity, operation: OperationDefinition, call: Call, recall?: Recall): Prepared {
  if (call.principal !== anonymous && (typeof call.principal !== 'string' || call.principal === ''))
    throw new PrincipalMissing(operation.name)
  if (call.key === byPayload) return prepareByPayload(identity, operation, call)
  return prepareKeyed(identity, operation, call as KeyedCall, recall)
}

/** The payload is the key: its digest names the operation, so that equal payloads of two operations are two calls. */
function prepareByPayload(identity: Identity, operation: OperationDefinition, call: Call): Prepared {
  if (!operation.payloadKey)
    throw new KeyInvalid(`The key is byPayload, and operation "${operation.name}" has no payloadKey; declare its window, or pass a key.`)
  const made = fingerprinted(identity, operation, call)
  const key = `payload:${toHex(made.plain)}`
  const principal = principalText(call.principal)
  return new PreparedCall(identity, { ...call, key }, principal, addressOf(operation, principal, key), {
    operation,
    facts: call.facts,
    ...identified(identity, operation, principal, key),
    fingerprint: made,
  })
}

function prepareKeyed(identity: Identity, operation: OperationDefinition, call: KeyedCall, recall?: Recall): Prepared {
  const { limits } = identity
  if (typeof call.key !== 'string') throw new KeyInvalid(`The key is of type ${typeof call.key}; it must be a string.`)
  const keyProblem = checkKey(call.key, limits)
  if (keyProblem !== 'ok') {
    throw new KeyInvalid(
      `The key has ${encoder.encode(call.key).length} bytes and is refused (${keyProblem}); a key is ${limits.keyBytesMin} to ${limits.keyBytesMax} bytes of UTF-8 without control characters.`,
    )
  }
  const principal = principalText(call.principal)
  const address = addressOf(operation, principal, call.key)
  const known = recall?.(address)
  if (known !== undefined && known.operation === operation && sameFacts(known.facts, call.facts)) {
    return new PreparedCall(identity, call, principal, address, { ...known, facts: call.facts })
  }
  return new PreparedCall(identity, call, principal, address, {
    operation,
    facts: call.facts,
    ...identified(identity, operation, principal, call.key),
    fingerprint: fingerprinted(identity, operation, call),
  })
}

function addressOf(operation: OperationDefinition, principal: string, key: string): string {
  return `${operation.name.length}/${principal.length}/${operation.name}/${principal}/${key}`
}

function identified(
  { hasher, namespace }: Identity,
  operation: OperationDefinition,
  principal: string,
  key: string,
): Pick<KnownCall, 'id' | 'idHex'> {
  const space = operation.phase === 'observe' ? `\u0000observe/${namespace}` : namespace
  const id = recordId(
    { namespace: space, principal, key, ...(operation.keyspace === 'operation' ? { operation: operation.name } : {}) },
    hasher,
  )
  return { id, idHex: toHex(id) }
}

function fingerprinted({ hasher, secrets, limits }: Identity, operation: OperationDefinition, { facts }: Call): FingerprintSet {
  const made = fingerprint(
    { ...facts, operation: operation.name },
    { hasher, secrets, exclude: operation.exclude, jsonDepthMax: limits.jsonDepthMax },
  )
  if (made.ok) return made.fingerprint
  throw new InvalidInput(`The payload cannot be fingerprinted (${made.reason}); send well-formed content that fits its type.`, [
    made.reason,
  ])
}

/** The principal as it is hashed. A byte that no principal of a user can begin with keeps anonymous callers apart from one of that name. */
export function principalText(principal: string | typeof anonymous): string {
  return principal === anonymous ? '\u0000anonymous' : principal
}

/**
 * The principal as records keep it. The namespace is in it: the caller of that name of another application in the same store is
 * somebody else.
 */
export function principalDigest({ hasher, namespace }: Pick<Identity, 'hasher' | 'namespace'>, principal: string): Uint8Array {
  return hasher.sha256(lengthPrefixed(['oncely principal 1', namespace, principal]))
}

class PreparedCall implements Prepared {
  readonly call: KeyedCall
  readonly address: string
  readonly known: KnownCall
  readonly #identity: Identity
  readonly #principal: string
  #request: Omit<ClaimRequest, 'attemptId'> | undefined

  constructor(identity: Identity, call: KeyedCall, principal: string, address: string, known: KnownCall) {
    this.call = call
    this.address = address
    this.known = known
    this.#identity = identity
    this.#principal = principal
  }

  get operation(): OperationDefinition {
    return this.known.operation
  }

  get id(): Uint8Array {
    return this.known.id
  }

  get idHex(): string {
    return this.known.idHex
  }

  get plain(): Uint8Array {
    return this.known.fingerprint.plain
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
      principal: principalDigest(this.#identity, this.#principal),
      actor,
      fingerprint: this.known.fingerprint,
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
