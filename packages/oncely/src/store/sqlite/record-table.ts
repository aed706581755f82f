import {
  type ClaimRequest,
  type CompletedRecord,
  type FencingToken,
  formatToken,
  type OncelyRecord,
  type RecordEvent,
  type Transition,
  trailEvent,
  transition,
} from '../../core/index.ts'
import { nextToken, spendToken } from './instance.ts'
import { putRecord, type RecordRow, recordOf, recordValues, selectRecord } from './record-row.ts'
import type { Connection } from './sqlite-connection.ts'

/**
 * The transition, on a row: read, move, write. Every function here runs inside a transaction that its caller opened with the
 * writer in hand, and never waits, so nothing can come between the read and the write.
 */

/** Who changes a record and why, for the audit trail. */
export interface Trace {
  readonly owner: string
  readonly traceId: string
  readonly reason: string
}

export const noTrace: Trace = { owner: '', traceId: '', reason: '' }

const dayMs = 86_400_000

/** A day by whose start an outcome that ages at `atMs` has surely aged. */
function dayAfter(atMs: number): number {
  return Math.floor(atMs / dayMs) + 1
}

export function dayOf(atMs: number): number {
  return Math.floor(atMs / dayMs)
}

export function readRecord(connection: Connection, id: Uint8Array): OncelyRecord | undefined {
  const row = connection.get<RecordRow>(selectRecord, id)
  return row === undefined ? undefined : recordOf(row)
}

/** Claims with the next fencing token, which is used up only when the claim is granted. */
export function claimRow(connection: Connection, request: ClaimRequest, nowMs: number): Transition<'claim'>['answer'] {
  const before = readRecord(connection, request.id)
  const token = nextToken(connection)
  const { record, answer } = transition<'claim'>(before, { type: 'claim', request, token }, nowMs)
  if (record !== undefined && record !== before && record.token === token) spendToken(connection, token)
  writeChange(connection, before, record, nowMs, { owner: request.owner, traceId: request.traceId, reason: '' })
  return answer
}

/**
 * The claim's answer when the committed row alone decides it; undefined when something has to be written. Needs no writer, so a
 * duplicate is answered while a transaction of somebody else is open.
 */
export function decideFromCommitted(
  connection: Connection,
  request: ClaimRequest,
  nowMs: number,
): Transition<'claim'>['answer'] | undefined {
  const before = readRecord(connection, request.id)
  if (before === undefined) return undefined
  const { record, answer } = transition<'claim'>(before, { type: 'claim', request, token: noToken }, nowMs)
  return record === before ? answer : undefined
}

const noToken: FencingToken = { epoch: 0, seq: 0n }

/** Every other event of a record's life. */
export function moveRow<E extends Exclude<RecordEvent['type'], 'claim'>>(
  connection: Connection,
  id: Uint8Array,
  event: Extract<RecordEvent, { type: E }>,
  nowMs: number,
  trace: Trace,
): Transition<E>['answer'] {
  const before = readRecord(connection, id)
  const { record, answer } = transition<E>(before, event, nowMs)
  writeChange(connection, before, record, nowMs, trace)
  return answer
}

function writeChange(
  connection: Connection,
  before: OncelyRecord | undefined,
  after: OncelyRecord | undefined,
  nowMs: number,
  trace: Trace,
): void {
  if (after === undefined || after === before) return
  connection.run(putRecord, ...recordValues(after))
  if (after.state === 'completed') putOutcome(connection, after)
  else if (before?.state === 'completed') connection.run('DELETE FROM oncely_outcomes WHERE id = ?', after.id)
  const event = trailEvent(before, after)
  if (event === undefined) return
  const stated = after.state === 'uncertain' || after.state === 'quarantined' ? after.reason : ''
  addTrailEntry(connection, after, event, nowMs, trace.reason === '' ? { ...trace, reason: stated } : trace)
}

/** Takes the record with its outcome; its trail says why. */
export function eraseRow(connection: Connection, record: OncelyRecord, nowMs: number, reason: string): void {
  connection.run('DELETE FROM oncely_outcomes WHERE id = ?', record.id)
  connection.run('DELETE FROM oncely_steps WHERE id = ?', record.id)
  connection.run('DELETE FROM oncely_keys WHERE id = ?', record.id)
  addTrailEntry(connection, record, 'forgotten', nowMs, { ...noTrace, reason })
}

function putOutcome(connection: Connection, record: CompletedRecord): void {
  const { outcome, id, policy, completedAtMs } = record
  if (outcome === undefined) return
  connection.run(
    `INSERT INTO oncely_outcomes (id, expiry_day, codec, bytes, checksum) VALUES (?, ?, ?, coalesce(?, x''), coalesce(?, x''))
     ON CONFLICT (id) DO UPDATE SET expiry_day = excluded.expiry_day, codec = excluded.codec, bytes = excluded.bytes, checksum = excluded.checksum`,
    id,
    dayAfter(completedAtMs + policy.retentionMs),
    outcome.codec,
    outcome.bytes,
    outcome.checksum,
  )
}

function addTrailEntry(connection: Connection, record: OncelyRecord, event: string, nowMs: number, trace: Trace): void {
  connection.run(
    `INSERT INTO oncely_events (id, at_ms, event, token, attempt_id, owner, trace_id, operation, reason, count)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
    record.id,
    nowMs,
    event,
    formatToken(record.token),
    record.attemptId,
    trace.owner,
    trace.traceId,
    record.operation,
    trace.reason,
  )
}
