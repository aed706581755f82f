import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import type {
  ClaimAnswer,
  ClaimFingerprint,
  ClaimRequest,
  FencingToken,
  Outcome,
  Ownership,
  RecordPolicy,
  Store,
} from '../../core/index.ts'
import { codecIds, compareTokens, FINGERPRINT_VERSION, formatToken, sealOutcome } from '../../core/index.ts'
import { nodeHasher } from '../../platform/index.ts'

/** The lease, the wait of a resolver and the ages that the cases use, in milliseconds. */
export const leaseMs = 30_000
export const resolverMs = 20_000
export const suitePolicy: RecordPolicy = {
  name: 'suite',
  retentionMs: 86_400_000,
  tombstoneMs: 259_200_000,
  attemptsMax: 100,
  onLostLease: 'uncertain',
  effectTimeoutMs: 60_000,
}

export type Acquired = Extract<ClaimAnswer, { word: 'acquired' }>

/** A new record's id: the digest of (namespace, principal, key) is 32 bytes that nobody can choose. */
export function newId(): Uint8Array {
  return new Uint8Array(randomBytes(32))
}

function sha256(text: string): Uint8Array {
  return nodeHasher.sha256(new TextEncoder().encode(text))
}

/** A payload's fingerprint under the given secrets, newest first; without one, under no secret (key id 0). */
export function payload(text: string, ...secrets: readonly number[]): ClaimFingerprint {
  const plain = sha256(text)
  const keyed = secrets.map((keyId) => ({ keyId, digest: nodeHasher.hmacSha256(sha256(`secret ${keyId}`), plain) }))
  return { version: FINGERPRINT_VERSION, plain, keyed: keyed.length === 0 ? [{ keyId: 0, digest: plain }] : keyed }
}

/** A claim with a fresh attempt id; the change names what matters to the case. */
export function claimRequest(id: Uint8Array, change: Partial<Omit<ClaimRequest, 'id'>> = {}): ClaimRequest {
  return {
    id,
    operation: 'create-payment',
    bind: 'lease',
    principal: sha256('tenant'),
    actor: sha256('actor'),
    fingerprint: payload('same'),
    policy: suitePolicy,
    leaseMs,
    attemptId: randomUUID(),
    begun: false,
    rerunnable: false,
    resolverMs: 0,
    owner: 'host:1',
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    ...change,
  }
}

/** An outcome whose checksum holds. */
export function outcomeOf(bytes: Uint8Array | string, codec: number = codecIds.bytes): Outcome {
  return sealOutcome({ codec, bytes: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes }, nodeHasher)
}

/** Claims, and fails the case when somebody else may run. */
export async function acquire(store: Store, request: ClaimRequest): Promise<Acquired> {
  const answer = await store.claim(request)
  return acquired(answer)
}

export function acquired(answer: ClaimAnswer): Acquired {
  assert.equal(answer.word, 'acquired')
  return answer as Acquired
}

/** The answer, when it has this word. */
export function answered<W extends ClaimAnswer['word']>(answer: ClaimAnswer, word: W): Extract<ClaimAnswer, { word: W }> {
  assert.equal(answer.word, word)
  return answer as Extract<ClaimAnswer, { word: W }>
}

/** Claims, begins, and leaves: the record is uncertain. */
export async function sealedRecord(store: Store, request: ClaimRequest): Promise<Ownership> {
  const { ownership } = await acquire(store, { ...request, begun: true })
  assert.equal(await store.seal(ownership, { reason: 'the answer was lost' }), 'done')
  return ownership
}

export async function completedRecord(store: Store, request: ClaimRequest, outcome: Outcome = outcomeOf('first')): Promise<Ownership> {
  const { ownership } = await acquire(store, request)
  assert.equal(await store.complete(ownership, outcome), 'done')
  return ownership
}

/** Uses up all attempts (the policy allows one): the record is quarantined. */
export async function quarantinedRecord(store: Store, id: Uint8Array): Promise<Ownership> {
  const policy = { ...suitePolicy, attemptsMax: 1 }
  const { ownership } = await acquire(store, claimRequest(id, { policy }))
  assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
  assert.equal((await store.claim(claimRequest(id, { policy }))).word, 'quarantined')
  return ownership
}

export function assertNewer(token: FencingToken, older: FencingToken): void {
  assert.ok(compareTokens(token, older) > 0, `token ${formatToken(token)} is not newer than ${formatToken(older)}`)
}

/** Deep equality in which every kind of byte array is its bytes. */
export function assertSame(actual: unknown, expected: unknown): void {
  assert.deepEqual(plain(actual), plain(expected))
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${value.length} ${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]))
}
