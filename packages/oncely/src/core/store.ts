import type { InboxStore } from './inbox.ts'
import type { Outcome } from './outcome.ts'
import type { Bind, FencingToken, OncelyRecord, RecordPolicy, RecordState } from './record.ts'

/**
 * The port every store implements. A store is the only arbiter of who may run: each method is one atomic step of
 * `transition.ts`, in one round trip, at the store's own time. Expected answers are words; a method throws `StoreUnavailable`
 * when it cannot know whether its step happened, and never otherwise for a reason the caller could have expected.
 */
export interface Store {
  /** The store's short name, for messages and metrics. */
  readonly name: string
  readonly capabilities: StoreCapabilities
  /** Reads what the running server promises and refuses a schema it does not know. Called once before the first claim. */
  open(): Promise<StoreInfo>
  /** Brings the schema up to date; safe when several processes call it at once. */
  migrate(): Promise<void>
  claim(request: ClaimRequest): Promise<ClaimAnswer>
  /** Prolongs the lease from now by `leaseMs`; with `begun`, also persists that effects may have started. */
  renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<RenewAnswer>
  complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer>
  /** Frees the key: proven not applied. `declared` means the handler (or upstream) said so although it had begun. */
  release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer>
  seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer>
  /** Compare-and-set on (state, token) by a resolver or an operator. */
  resolve(id: Uint8Array, resolution: Resolution): Promise<ResolveAnswer>
  read(id: Uint8Array): Promise<OncelyRecord | undefined>
  /** Erases the record and its outcome, whatever its state; its trail stays. Answers whether there was one; throws `RecordHeld`. */
  forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean>
  /**
   * Erases records of a principal, given by its digest, a batch at a time: what has ended and is not held goes with its outcome, its
   * trail stays. Left out by a store that cannot find records by their principal.
   */
  erasePrincipal?(principal: Uint8Array, change: { readonly reason: string; readonly batchMax: number }): Promise<ErasureBatch>
  /**
   * Places or lifts a legal hold: what it covers is neither swept, erased nor claimed anew. Answers whether anything changed. Left
   * out, with `holds`, by a store that cannot keep a record beyond its policy.
   */
  hold?(target: HoldTarget, change: { readonly held: boolean; readonly by: string; readonly reason: string }): Promise<boolean>
  /** The holds in force, oldest first. */
  holds?(): Promise<readonly Hold[]>
  /** Adds to the per-minute counts of the audit trail. */
  audit(counts: readonly AuditCount[]): Promise<void>
  /** The audit trail of one record, oldest first. */
  trail(id: Uint8Array): Promise<readonly TrailEntry[]>
  /** Removes what has outlived its own policy, in bounded batches. */
  sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer>
  stats(): Promise<StoreStats>
  /** What the store holds and how it came to that, for a forecast; reads the trail of eight weeks. Left out by a store that keeps no such history. */
  usage?(): Promise<StorageUsage>
  /** The `instanceId` as it is now, where reading it is cheaper than `open()`. A restore or a promotion renews it. */
  instanceId?(): Promise<string>
  /** What consumers of messages keep beside their records, where the store can. */
  readonly inbox?: InboxStore<never>
  close(): Promise<void>
}

export interface StoreCapabilities {
  /** The record commits together with the user's own rows. */
  readonly transactional: boolean
  /** Whose clock decides leases and ages: the server's, or this process's. */
  readonly clock: 'server' | 'process'
  /** Several processes share the records. */
  readonly shared: boolean
  /** A duplicate learns what runs in another process's open transaction without waiting for it. */
  readonly seesOpenTransactions: boolean
}

/** What a store survives without losing a completed record, from nothing to the loss of its machine. */
export type Survives = 'nothing' | 'restart' | 'power' | 'failover'

export interface StoreInfo {
  readonly survives: Survives
  /** Why it survives no more than that, in the words of the server's own settings. */
  readonly survivesBecause: string
  /** The random id of this database, so that a transaction of another one is noticed. */
  readonly instanceId: string
}

/** Everything a claim decides on. */
export interface ClaimRequest {
  readonly id: Uint8Array
  readonly operation: string
  readonly bind: Bind
  readonly principal: Uint8Array
  readonly actor: Uint8Array
  readonly fingerprint: ClaimFingerprint
  readonly policy: RecordPolicy
  readonly leaseMs: number
  readonly attemptId: string
  /** Effects may start with the claim itself: `begin()` is not waited for. */
  readonly begun: boolean
  /** A begun attempt whose lease ended may be repeated. */
  readonly rerunnable: boolean
  /** How long one caller may look an uncertain outcome up; 0 when the operation has no resolver. */
  readonly resolverMs: number
  /** Who claims (host, process) and in which trace, for the audit trail. */
  readonly owner: string
  readonly traceId: string
}

/** The caller's payload as digests: one for each secret in use, newest first, and the unkeyed one for locks. */
export interface ClaimFingerprint {
  readonly version: number
  readonly plain: Uint8Array
  readonly keyed: readonly { readonly keyId: number; readonly digest: Uint8Array }[]
}

/** Proof of a claim; every write carries it and changes nothing when it is not the newest. */
export interface Ownership {
  readonly id: Uint8Array
  readonly token: FencingToken
  readonly attemptId: string
}

export type ClaimAnswer =
  | {
      readonly word: 'acquired'
      readonly ownership: Ownership
      readonly attempt: number
      readonly begunAttempt: number
      readonly takeover: boolean
      readonly createdAtMs: number
      /** False from a store that decides for its region alone: another region may still win over this claim. */
      readonly settled?: false
    }
  | { readonly word: 'replay'; readonly record: RecordSummary; readonly outcome: Outcome | undefined }
  | { readonly word: 'in-progress'; readonly retryAfterMs: number }
  | { readonly word: 'mismatch' }
  /** `resolve` is true for the one caller that may run the resolver now. */
  | { readonly word: 'uncertain'; readonly record: RecordSummary; readonly resolve: boolean }
  | { readonly word: 'quarantined'; readonly record: RecordSummary }
  | { readonly word: 'expired'; readonly record: RecordSummary }
  /** The record was written by rules this process does not know (fingerprint version, lost secret): it is never run again. */
  | { readonly word: 'unreadable'; readonly reason: string }

/** The mark of what another region may still win over. */
export function unsettled(of: { readonly settled?: false } | undefined): { readonly settled?: false } {
  return of?.settled === false ? { settled: false } : {}
}

/** What a duplicate may know of the record it met. */
export interface RecordSummary {
  readonly id: Uint8Array
  readonly state: RecordState
  readonly operation: string
  readonly actor: Uint8Array
  readonly token: FencingToken
  readonly attemptId: string
  readonly attempt: number
  readonly createdAtMs: number
  readonly completedAtMs: number
  readonly reason: string
  /** False while another region may still win over this outcome; such an answer is given, and kept nowhere but in its store. */
  readonly settled?: false
}

/** `lost`: somebody holds a newer token, or the record moved on without this owner. */
export type OwnerAnswer = 'done' | 'lost'
/** The lease as the store sees it; `leaseMs` counts from the moment the store wrote it. */
export type RenewAnswer = OwnerAnswer
/** `conflict`: completed before with other bytes; the first stand. */
export type CompleteAnswer = OwnerAnswer | 'conflict'
/** `begun`: effects may have started, so the key cannot be freed; seal it. */
export type ReleaseAnswer = OwnerAnswer | 'begun'

export interface Resolution {
  readonly expected: { readonly state: 'uncertain' | 'quarantined'; readonly token: FencingToken }
  readonly verdict: { readonly applied: true; readonly outcome: Outcome } | { readonly applied: false }
  /** Who decided and why, for the audit trail. */
  readonly by: string
  readonly reason: string
}

/** `changed`: the record is no longer in the expected (state, token). `early`: an effect may still arrive. */
export type ResolveAnswer =
  | { readonly word: 'resolved' }
  | { readonly word: 'changed' }
  | { readonly word: 'early'; readonly retryAfterMs: number }

/** How often a duplicate of one record was answered in one minute. */
export interface AuditCount {
  readonly id: Uint8Array
  readonly operation: string
  readonly minuteMs: number
  readonly reason: string
  readonly count: number
}

/** One line of the audit trail: a state change, or a per-minute count of duplicates (`count` > 0). */
export interface TrailEntry {
  readonly atMs: number
  readonly event: string
  readonly token: string
  readonly attemptId: string
  readonly owner: string
  readonly traceId: string
  readonly reason: string
  readonly count: number
}

/** What one batch of an erasure did, and what is left of the principal's records. */
export interface ErasureBatch {
  readonly erased: readonly Uint8Array[]
  /** Records under a legal hold. */
  readonly held: number
  /** Records that have not ended (running, uncertain, quarantined), or that somebody is writing just now. */
  readonly kept: number
}

/** What a legal hold covers: one record, or every record of a principal, also those to come. Both are digests. */
export type HoldTarget = { readonly record: Uint8Array } | { readonly principal: Uint8Array }

/** A legal hold in force. */
export interface Hold {
  readonly target: HoldTarget
  readonly placedAtMs: number
  readonly by: string
  readonly reason: string
}

export interface SweepAnswer {
  /** Records removed in this batch; when it equals `batchMax`, more may be waiting. */
  readonly removed: number
}

/** Rows of one kind, and the bytes that they take with indexes and free space. */
export interface StorageSize {
  readonly rows: number
  readonly bytes: number
}

/** What a store holds, at the store's own time, and how many records were completed on each day before. */
export interface StorageUsage {
  readonly atMs: number
  /** Days since 1970 in UTC, each once, today among them; days without any may be left out. */
  readonly completions: readonly { readonly day: number; readonly count: number }[]
  readonly policies: readonly {
    readonly name: string
    readonly retentionMs: number
    readonly tombstoneMs: number
    /** Records under this policy that were made within the last week and are still there. */
    readonly completedRecently: number
  }[]
  /** Lines of the trail for each completed record. */
  readonly linesPerRecord: number
  readonly trailMs: number
  readonly records: StorageSize
  readonly outcomes: StorageSize
  readonly trail: StorageSize
}

export interface StoreStats {
  readonly records: number
  readonly running: number
  readonly uncertain: number
  readonly quarantined: number
  readonly completed: number
  readonly bytes: number
}
