import type { Outcome } from './outcome.ts'

/**
 * The record: what is known about one key of one principal. Its life is in `transition.ts`.
 *
 * A record is addressed by the digest of (namespace, principal, key); see `key.ts`.
 */

/** How the effect is bound to the record: in the user's transaction, step by step, or under a lease. */
export type Bind = 'transaction' | 'steps' | 'lease'

/** What a claim may do with a running record whose lease ended after effects may have started. */
export type OnLostLease = 'uncertain' | 'takeover'

/**
 * The fencing token of a claim: (epoch, seq), ordered by epoch first. It never repeats for a record while anyone who saw an
 * older one may live. The epoch is raised when a store comes back from a crash, a promotion or a restore.
 */
export interface FencingToken {
  readonly epoch: number
  readonly seq: bigint
}

/** The numbers of a policy as its newest claim stored them; what the configuration says later does not change a record. */
export interface RecordPolicy {
  readonly name: string
  /** How long a completed outcome can be replayed, from completion. */
  readonly retentionMs: number
  /** How long the key stays used, from completion (or from the seal); at least `retentionMs`. */
  readonly tombstoneMs: number
  /** Claims a record may have before it is quarantined. */
  readonly attemptsMax: number
  readonly onLostLease: OnLostLease
  /** How long after the lease end an outside effect may still arrive; "not applied" counts only after it. */
  readonly effectTimeoutMs: number
}

/** The fingerprint as stored: which rules made it, under which secret (0 = none), and the digest. */
export interface StoredFingerprint {
  readonly version: number
  readonly keyId: number
  readonly digest: Uint8Array
}

interface RecordBase {
  readonly id: Uint8Array
  readonly operation: string
  readonly bind: Bind
  /** Digest of the principal; the principal itself is not stored. */
  readonly principal: Uint8Array
  /** Digest of the actor of the newest attempt; empty when the caller names none. */
  readonly actor: Uint8Array
  readonly fingerprint: StoredFingerprint
  readonly policy: RecordPolicy
  readonly createdAtMs: number
  /** The newest claim's fencing token, random id and number (1 for the first). */
  readonly token: FencingToken
  readonly attemptId: string
  readonly attempt: number
  /** The first attempt whose effects may have started; 0 when none did. It outlives its attempt. */
  readonly begunAttempt: number
}

export interface RunningRecord extends RecordBase {
  readonly state: 'running'
  readonly leaseEndMs: number
}

export interface ReleasedRecord extends RecordBase {
  readonly state: 'released'
  readonly releasedAtMs: number
}

export interface UncertainRecord extends RecordBase {
  readonly state: 'uncertain'
  readonly leaseEndMs: number
  readonly sealedAtMs: number
  readonly reason: string
  /** Until when one caller runs the operation's resolver; 0 when nobody does. */
  readonly resolverUntilMs: number
}

export interface QuarantinedRecord extends RecordBase {
  readonly state: 'quarantined'
  readonly quarantinedAtMs: number
  readonly reason: string
}

export interface CompletedRecord extends RecordBase {
  readonly state: 'completed'
  readonly completedAtMs: number
  /** Absent when the outcome's bytes have aged away. */
  readonly outcome: Outcome | undefined
}

/** One key's record. Names the state it is in; illegal combinations do not compile. */
export type OncelyRecord = RunningRecord | ReleasedRecord | UncertainRecord | QuarantinedRecord | CompletedRecord

export type RecordState = OncelyRecord['state']

/** Negative when `a` is older than `b`, 0 when they are the same claim's, positive when newer. */
export function compareTokens(a: FencingToken, b: FencingToken): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch
  return a.seq === b.seq ? 0 : a.seq < b.seq ? -1 : 1
}

/** `epoch:seq`, for logs, headers and the audit trail. */
export function formatToken(token: FencingToken): string {
  return `${token.epoch}:${token.seq}`
}

/** What a completed record still is at `nowMs`: its outcome can be replayed, only its use is known, or the key is free again. */
export function ageOf(record: CompletedRecord, nowMs: number): 'fresh' | 'tombstone' | 'absent' {
  const age = nowMs - record.completedAtMs
  if (age < record.policy.retentionMs) return 'fresh'
  return age < record.policy.tombstoneMs ? 'tombstone' : 'absent'
}
