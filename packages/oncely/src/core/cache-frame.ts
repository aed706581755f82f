import { sameFingerprint } from './fingerprint.ts'
import type { Hasher } from './hasher.ts'
import { fromHex, toHex } from './hex.ts'
import type { Outcome } from './outcome.ts'
import type { Secret } from './preparation.ts'
import type { StoredFingerprint } from './record.ts'
import type { RecordSummary } from './store.ts'

/**
 * What lies in the cache: a completed outcome, or the hint that an attempt runs.
 *
 *   version 1 | kind 1 | secret's id 2 | length of the head 4 | head (JSON) | outcome's bytes | HMAC-SHA-256 over all before 32
 *
 * Everything that an answer is made of is under the code, so that a frame moved to another id, store, operation or policy, kept
 * for longer or changed in one bit is no frame.
 */
export type CacheFrame = OutcomeFrame | HintFrame

interface FrameBase {
  readonly id: Uint8Array
  /** The store's instance id: a restored or other database is another epoch. */
  readonly epoch: string
  readonly operation: string
  readonly policy: string
  readonly fingerprint: StoredFingerprint
  /** By the clock of who wrote it. */
  readonly expiresAtMs: number
}

export interface OutcomeFrame extends FrameBase {
  readonly kind: 'outcome'
  readonly summary: RecordSummary
  readonly outcome: Outcome
}

export interface HintFrame extends FrameBase {
  readonly kind: 'hint'
  readonly attemptId: string
  readonly leaseEndMs: number
}

const frameVersion = 1
const kinds = { outcome: 1, hint: 2 } as const
const prefixBytes = 8
const macBytes = 32
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** The fields of the head, as JSON carries them. */
interface Head {
  readonly id: string
  readonly epoch: string
  readonly operation: string
  readonly policy: string
  readonly fingerprint: readonly [version: number, keyId: number, digest: string]
  readonly expiresAtMs: number
  readonly attemptId: string
  readonly leaseEndMs?: number
  readonly completed?: {
    readonly actor: string
    readonly token: readonly [epoch: number, seq: string]
    readonly attempt: number
    readonly createdAtMs: number
    readonly completedAtMs: number
    readonly codec: number
    readonly checksum: string
  }
}

/** Seals a frame under the newest secret. */
export function sealFrame(frame: CacheFrame, secret: Secret, hasher: Hasher): Uint8Array {
  const head = encoder.encode(JSON.stringify(headOf(frame)))
  const bytes = frame.kind === 'outcome' ? frame.outcome.bytes : new Uint8Array(0)
  const sealed = new Uint8Array(prefixBytes + head.length + bytes.length + macBytes)
  const view = new DataView(sealed.buffer)
  sealed[0] = frameVersion
  sealed[1] = kinds[frame.kind]
  view.setUint16(2, secret.id)
  view.setUint32(4, head.length)
  sealed.set(head, prefixBytes)
  sealed.set(bytes, prefixBytes + head.length)
  sealed.set(hasher.hmacSha256(frameKey(secret, hasher), sealed.subarray(0, -macBytes)), sealed.length - macBytes)
  return sealed
}

/** `malformed` and `forged` are what a broken or lying cache answers; `unknown` is another version, or a secret this process lacks. */
export type FrameProblem = 'malformed' | 'forged' | 'unknown'

/** The frame, once its code is verified; nothing of it is looked at before. */
export function openFrame(sealed: Uint8Array, secrets: readonly Secret[], hasher: Hasher): CacheFrame | FrameProblem {
  if (sealed.length < prefixBytes + macBytes) return 'malformed'
  if (sealed[0] !== frameVersion) return 'unknown'
  const view = new DataView(sealed.buffer, sealed.byteOffset)
  const secret = secrets.find(({ id }) => id === view.getUint16(2))
  if (secret === undefined) return 'unknown'
  const signed = sealed.subarray(0, -macBytes)
  if (!sameFingerprint(hasher.hmacSha256(frameKey(secret, hasher), signed), sealed.subarray(-macBytes))) return 'forged'
  const headEnd = prefixBytes + view.getUint32(4)
  const head = JSON.parse(decoder.decode(signed.subarray(prefixBytes, headEnd))) as Head
  return frameOf(head, sealed[1] === kinds.hint ? 'hint' : 'outcome', signed.slice(headEnd)) ?? 'malformed'
}

/** A key of its own, so that no code of another purpose passes for one of a frame. */
function frameKey(secret: Secret, hasher: Hasher): Uint8Array {
  return hasher.hmacSha256(secret.key, purpose)
}

const purpose = encoder.encode('oncely cache frame 1')

function headOf(frame: CacheFrame): Head {
  const { version, keyId, digest } = frame.fingerprint
  const base = {
    id: toHex(frame.id),
    epoch: frame.epoch,
    operation: frame.operation,
    policy: frame.policy,
    fingerprint: [version, keyId, toHex(digest)],
    expiresAtMs: frame.expiresAtMs,
  } as const
  if (frame.kind === 'hint') return { ...base, attemptId: frame.attemptId, leaseEndMs: frame.leaseEndMs }
  const { actor, token, attemptId, attempt, createdAtMs, completedAtMs } = frame.summary
  const { codec, checksum } = frame.outcome
  return {
    ...base,
    attemptId,
    completed: {
      actor: toHex(actor),
      token: [token.epoch, String(token.seq)],
      ...{ attempt, createdAtMs, completedAtMs, codec },
      checksum: toHex(checksum),
    },
  }
}

function frameOf(head: Head, kind: CacheFrame['kind'], bytes: Uint8Array): CacheFrame | undefined {
  const [version, keyId, digest] = head.fingerprint
  const id = fromHex(head.id)
  const { epoch, operation, policy, expiresAtMs, attemptId } = head
  const base = { id, epoch, operation, policy, expiresAtMs, fingerprint: { version, keyId, digest: fromHex(digest) } }
  if (kind === 'hint') return head.leaseEndMs === undefined ? undefined : { ...base, kind, attemptId, leaseEndMs: head.leaseEndMs }
  if (head.completed === undefined) return undefined
  const { actor, token, attempt, createdAtMs, completedAtMs, codec, checksum } = head.completed
  return {
    ...base,
    kind,
    summary: {
      ...{ id, operation, attemptId, attempt, createdAtMs, completedAtMs, state: 'completed', reason: '' },
      actor: fromHex(actor),
      token: { epoch: token[0], seq: BigInt(token[1]) },
    },
    outcome: { codec, bytes, checksum: fromHex(checksum) },
  }
}
