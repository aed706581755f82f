import { sameFingerprint } from './fingerprint.ts'
import { type Outcome, sameOutcome } from './outcome.ts'
import { ageOf, compareTokens, type FencingToken, type OncelyRecord, type StoredFingerprint } from './record.ts'
import type {
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
  OwnerAnswer,
  Ownership,
  RecordSummary,
  ReleaseAnswer,
  Resolution,
  ResolveAnswer,
} from './store.ts'

/**
 * The life of a record, as one pure function. Every store is this function again; one conformance suite holds them to it.
 *
 *   absent ──claim──▶ running ──complete──▶ completed ──retention──▶ tombstone ──▶ absent
 *                     │   ▲ takeover: the lease ended, and no attempt began or the policy lets it repeat
 *                     ├─release─▶ released ──claim──▶ running
 *                     ├─seal────▶ uncertain ──▶ completed   by the late owner while its token is newest, or by a resolution
 *                     │                     └─▶ released    by a resolution: proven not applied
 *                     └─attempts exhausted, or given up by its owner──▶ quarantined ──resolution──▶ released | completed
 *
 * Only `completed` ages. Nothing else becomes claimable by age: an uncertain record past its tombstone answers `expired`.
 */
export type RecordEvent =
  | { readonly type: 'claim'; readonly request: ClaimRequest; readonly token: FencingToken }
  | { readonly type: 'renew'; readonly ownership: Ownership; readonly leaseMs: number; readonly begun: boolean }
  | { readonly type: 'complete'; readonly ownership: Ownership; readonly outcome: Outcome }
  | { readonly type: 'release'; readonly ownership: Ownership; readonly declared: boolean }
  | { readonly type: 'seal'; readonly ownership: Ownership; readonly reason: string }
  | { readonly type: 'quarantine'; readonly ownership: Ownership; readonly reason: string }
  | { readonly type: 'resolve'; readonly resolution: Resolution }

interface Answers {
  claim: ClaimAnswer
  renew: OwnerAnswer
  complete: CompleteAnswer
  release: ReleaseAnswer
  seal: OwnerAnswer
  quarantine: OwnerAnswer
  resolve: ResolveAnswer
}

/** The record after the event and what the caller is told. The same object comes back when nothing changed. */
export interface Transition<E extends RecordEvent['type'] = RecordEvent['type']> {
  readonly record: OncelyRecord | undefined
  readonly answer: Answers[E]
}

type EventOf<E extends RecordEvent['type']> = Extract<RecordEvent, { type: E }>

/** Moves a record by one event at `nowMs`, the store's time. */
export function transition<E extends RecordEvent['type']>(
  record: OncelyRecord | undefined,
  event: EventOf<E>,
  nowMs: number,
): Transition<E> {
  return apply(record, event, nowMs) as Transition<E>
}

function apply(record: OncelyRecord | undefined, event: RecordEvent, nowMs: number): Transition {
  switch (event.type) {
    case 'claim':
      return claim(record, event.request, event.token, nowMs)
    case 'renew':
      return renew(record, event, nowMs)
    case 'complete':
      return complete(record, event, nowMs)
    case 'release':
      return release(record, event, nowMs)
    case 'seal':
      return seal(record, event, nowMs)
    case 'quarantine':
      return quarantine(record, event, nowMs)
    case 'resolve':
      return resolve(record, event.resolution, nowMs)
    default:
      return event satisfies never
  }
}

function claim(record: OncelyRecord | undefined, request: ClaimRequest, token: FencingToken, nowMs: number): Transition<'claim'> {
  if (record === undefined) return acquire(undefined, request, token, nowMs)
  if (record.state === 'completed' && ageOf(record, nowMs) === 'absent') return acquire(undefined, request, token, nowMs)
  // Proven not applied: the key is unregistered again, as after the roll-back of a transaction, so any payload may follow.
  if (record.state === 'released') {
    // A claim that arrives after its own attempt was given up grants nothing: nobody waits for its answer.
    if (record.attemptId === request.attemptId) return { record, answer: { word: 'in-progress', retryAfterMs: 1 } }
    return acquireAgain(record, request, token, nowMs)
  }

  const compared = compareFingerprint(record.fingerprint, request)
  if (compared !== 'same') return { record, answer: compared === 'other' ? { word: 'mismatch' } : { word: 'unreadable', reason: compared } }

  switch (record.state) {
    case 'completed': {
      if (ageOf(record, nowMs) === 'tombstone') return { record, answer: { word: 'expired', record: summarize(record) } }
      return { record, answer: { word: 'replay', record: summarize(record), outcome: record.outcome } }
    }
    case 'running': {
      // A transaction's claim is never visible while it runs: somebody committed it without completing it.
      if (record.bind === 'transaction')
        return sealFor(record, request, 'the transaction was committed without completing its record', nowMs)
      // Our own claim whose answer was lost on the way.
      if (record.attemptId === request.attemptId) return { record, answer: acquired(record, false) }
      if (nowMs < record.leaseEndMs) return { record, answer: { word: 'in-progress', retryAfterMs: record.leaseEndMs - nowMs } }
      if (record.begunAttempt === 0 || request.rerunnable || record.policy.onLostLease === 'takeover')
        return acquireAgain(record, request, token, nowMs)
      return sealFor(record, request, 'the lease ended after effects may have started', nowMs)
    }
    case 'uncertain': {
      if (nowMs - record.sealedAtMs >= record.policy.tombstoneMs) return { record, answer: { word: 'expired', record: summarize(record) } }
      return answerUncertain(record, request, nowMs)
    }
    case 'quarantined':
      return { record, answer: { word: 'quarantined', record: summarize(record) } }
    default:
      return record satisfies never
  }
}

function acquire(previous: OncelyRecord | undefined, request: ClaimRequest, token: FencingToken, nowMs: number): Transition<'claim'> {
  const attempt = (previous?.attempt ?? 0) + 1
  const fingerprint = request.fingerprint.keyed[0]
  const record: OncelyRecord = {
    state: 'running',
    id: request.id,
    operation: request.operation,
    bind: request.bind,
    principal: request.principal,
    actor: request.actor,
    fingerprint: {
      version: request.fingerprint.version,
      keyId: fingerprint?.keyId ?? 0,
      digest: fingerprint?.digest ?? request.fingerprint.plain,
    },
    policy: request.policy,
    createdAtMs: previous?.createdAtMs ?? nowMs,
    token,
    attemptId: request.attemptId,
    attempt,
    begunAttempt: previous?.begunAttempt || (request.begun ? attempt : 0),
    leaseEndMs: nowMs + request.leaseMs,
  }
  return { record, answer: acquired(record, previous?.state === 'running') }
}

function acquireAgain(record: OncelyRecord, request: ClaimRequest, token: FencingToken, nowMs: number): Transition<'claim'> {
  if (record.attempt < record.policy.attemptsMax) return acquire(record, request, token, nowMs)
  const quarantined: OncelyRecord = {
    ...base(record),
    state: 'quarantined',
    quarantinedAtMs: nowMs,
    reason: `${record.attempt} attempts, the policy allows ${record.policy.attemptsMax}`,
  }
  return { record: quarantined, answer: { word: 'quarantined', record: summarize(quarantined) } }
}

function acquired(record: OncelyRecord & { state: 'running' }, takeover: boolean): Extract<ClaimAnswer, { word: 'acquired' }> {
  const { id, token, attemptId, attempt, begunAttempt, createdAtMs } = record
  return { word: 'acquired', ownership: { id, token, attemptId }, attempt, begunAttempt, takeover, createdAtMs }
}

function sealFor(record: OncelyRecord & { state: 'running' }, request: ClaimRequest, reason: string, nowMs: number): Transition<'claim'> {
  const sealed: OncelyRecord = {
    ...base(record),
    state: 'uncertain',
    leaseEndMs: record.leaseEndMs,
    sealedAtMs: nowMs,
    reason,
    resolverUntilMs: 0,
  }
  return answerUncertain(sealed, request, nowMs)
}

function answerUncertain(record: OncelyRecord & { state: 'uncertain' }, request: ClaimRequest, nowMs: number): Transition<'claim'> {
  const mayResolve = request.resolverMs > 0 && nowMs >= record.resolverUntilMs
  const after = mayResolve ? { ...record, resolverUntilMs: nowMs + request.resolverMs } : record
  return { record: after, answer: { word: 'uncertain', record: summarize(record), resolve: mayResolve } }
}

function renew(record: OncelyRecord | undefined, event: EventOf<'renew'>, nowMs: number): Transition<'renew'> {
  if (record?.state !== 'running' || !owns(record, event.ownership)) return { record, answer: 'lost' }
  const begunAttempt = record.begunAttempt || (event.begun ? record.attempt : 0)
  return { record: { ...record, begunAttempt, leaseEndMs: nowMs + event.leaseMs }, answer: 'done' }
}

function complete(record: OncelyRecord | undefined, event: EventOf<'complete'>, nowMs: number): Transition<'complete'> {
  if (record === undefined || !owns(record, event.ownership)) return { record, answer: 'lost' }
  if (record.state === 'running' || record.state === 'uncertain') {
    return { record: { ...base(record), state: 'completed', completedAtMs: nowMs, outcome: event.outcome }, answer: 'done' }
  }
  if (record.state !== 'completed') return { record, answer: 'lost' }
  return { record, answer: record.outcome !== undefined && sameOutcome(record.outcome, event.outcome) ? 'done' : 'conflict' }
}

function release(record: OncelyRecord | undefined, event: EventOf<'release'>, nowMs: number): Transition<'release'> {
  if (record === undefined || !owns(record, event.ownership)) return { record, answer: 'lost' }
  if (record.state === 'released') return { record, answer: 'done' }
  if (record.state !== 'running') return { record, answer: 'lost' }
  const earlierBegan = record.begunAttempt !== 0 && record.begunAttempt !== record.attempt
  if (earlierBegan || (record.begunAttempt !== 0 && !event.declared)) return { record, answer: 'begun' }
  return { record: { ...base(record), state: 'released', begunAttempt: 0, releasedAtMs: nowMs }, answer: 'done' }
}

function seal(record: OncelyRecord | undefined, event: EventOf<'seal'>, nowMs: number): Transition<'seal'> {
  if (record === undefined || !owns(record, event.ownership)) return { record, answer: 'lost' }
  if (record.state === 'uncertain') return { record, answer: 'done' }
  if (record.state !== 'running') return { record, answer: 'lost' }
  const { leaseEndMs } = record
  return {
    record: { ...base(record), state: 'uncertain', leaseEndMs, sealedAtMs: nowMs, reason: event.reason, resolverUntilMs: 0 },
    answer: 'done',
  }
}

function quarantine(record: OncelyRecord | undefined, event: EventOf<'quarantine'>, nowMs: number): Transition<'quarantine'> {
  if (record === undefined || !owns(record, event.ownership)) return { record, answer: 'lost' }
  if (record.state === 'quarantined') return { record, answer: 'done' }
  if (record.state !== 'running') return { record, answer: 'lost' }
  return { record: { ...base(record), state: 'quarantined', quarantinedAtMs: nowMs, reason: event.reason }, answer: 'done' }
}

function resolve(record: OncelyRecord | undefined, resolution: Resolution, nowMs: number): Transition<'resolve'> {
  const { expected, verdict } = resolution
  if (record === undefined || record.state !== expected.state || compareTokens(record.token, expected.token) !== 0) {
    return { record, answer: { word: 'changed' } }
  }
  if (verdict.applied) {
    return { record: { ...base(record), state: 'completed', completedAtMs: nowMs, outcome: verdict.outcome }, answer: { word: 'resolved' } }
  }
  if (record.state === 'uncertain') {
    const settledAtMs = record.leaseEndMs + record.policy.effectTimeoutMs
    if (nowMs < settledAtMs) return { record, answer: { word: 'early', retryAfterMs: settledAtMs - nowMs } }
  }
  // An operator who frees a quarantined record gives it its attempts back; a resolver's verdict does not.
  const attempt = record.state === 'quarantined' ? 0 : record.attempt
  return { record: { ...base(record), state: 'released', attempt, begunAttempt: 0, releasedAtMs: nowMs }, answer: { word: 'resolved' } }
}

function owns(record: OncelyRecord, ownership: Ownership): boolean {
  return compareTokens(record.token, ownership.token) === 0 && record.attemptId === ownership.attemptId
}

/** `same`, `other`, or why nobody can tell. */
export function compareFingerprint(
  stored: StoredFingerprint,
  request: Pick<ClaimRequest, 'fingerprint'>,
): 'same' | 'other' | 'fingerprint-version' | 'fingerprint-secret' {
  if (stored.version !== request.fingerprint.version) return 'fingerprint-version'
  const mine = request.fingerprint.keyed.find((candidate) => candidate.keyId === stored.keyId)
  if (mine === undefined) return 'fingerprint-secret'
  return sameFingerprint(stored.digest, mine.digest) ? 'same' : 'other'
}

/** What a duplicate may know of the record. */
export function summarize(record: OncelyRecord): RecordSummary {
  const { id, state, operation, actor, token, attemptId, attempt, createdAtMs } = record
  const completedAtMs = record.state === 'completed' ? record.completedAtMs : 0
  const reason = record.state === 'uncertain' || record.state === 'quarantined' ? record.reason : ''
  return { id, state, operation, actor, token, attemptId, attempt, createdAtMs, completedAtMs, reason }
}

function base(
  record: OncelyRecord,
): Pick<
  OncelyRecord,
  | 'id'
  | 'operation'
  | 'bind'
  | 'principal'
  | 'actor'
  | 'fingerprint'
  | 'policy'
  | 'createdAtMs'
  | 'token'
  | 'attemptId'
  | 'attempt'
  | 'begunAttempt'
> {
  const { id, operation, bind, principal, actor, fingerprint, policy, createdAtMs, token, attemptId, attempt, begunAttempt } = record
  return { id, operation, bind, principal, actor, fingerprint, policy, createdAtMs, token, attemptId, attempt, begunAttempt }
}

/** The audit trail's word for the step from `before` to `after`; undefined when no state changed (a renewal). */
export function trailEvent(before: OncelyRecord | undefined, after: OncelyRecord): TrailEvent | undefined {
  if (after.state !== 'running') return after.state === before?.state ? undefined : after.state
  if (before?.state === 'running' && before.attemptId === after.attemptId)
    return before.begunAttempt === after.begunAttempt ? undefined : 'begun'
  return before?.state === 'running' ? 'taken-over' : 'claimed'
}

/** The state changes that a trail records. */
export type TrailEvent = 'claimed' | 'taken-over' | 'begun' | 'completed' | 'released' | 'uncertain' | 'quarantined' | 'forgotten'
