import type {
  BucketLease,
  CompleteAnswer,
  OutboxAggregate,
  OutboxLeaseRequest,
  OutboxReadRequest,
  OutboxRow,
  OutboxSettlement,
  OutboxStats,
  Outcome,
  Ownership,
  ParkedAggregate,
  StoredMessage,
} from '../../core/index.ts'
import { outboxBuckets } from '../../core/index.ts'
import { outboxStats, parkedAggregate, type Row, storedMessage } from '../../sql/index.ts'
import { moveRow, noTrace } from './record-table.ts'
import type { Connection } from './sqlite-connection.ts'

/** Every function here runs inside a transaction that its caller opened with the writer in hand, or only reads. */

const insertMessage = `INSERT INTO oncely_outbox (occurred, bucket, parked, id, sink, topic, aggregate, type, content_type, headers, payload)
VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, coalesce(?, x''))`

export function addMessages(connection: Connection, rows: readonly OutboxRow[], nowMs: number): void {
  for (const { bucket, id, sink, topic, aggregate, type, contentType, headers, payload } of rows)
    connection.run(
      insertMessage,
      Math.floor(nowMs),
      bucket,
      id,
      sink,
      topic,
      aggregate,
      type,
      contentType,
      JSON.stringify(headers),
      payload,
    )
}

/** Completes a record with the messages of its attempt; a completion that is not `done` writes none. */
export function completeWith(
  connection: Connection,
  ownership: Ownership,
  outcome: Outcome,
  messages: readonly OutboxRow[],
  nowMs: number,
): CompleteAnswer {
  const answer = moveRow<'complete'>(connection, ownership.id, { type: 'complete', ownership, outcome }, nowMs, noTrace)
  if (answer === 'done') addMessages(connection, messages, nowMs)
  return answer
}

/** Whether a bucket holds something that a relay with these sinks could send now. */
function due(sinks: readonly string[]): string {
  return `SELECT 1 FROM oncely_outbox o LEFT JOIN oncely_outbox_held h ON h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate
WHERE o.bucket = ? AND o.parked = 0 AND o.sink IN (${places(sinks)}) AND (h.bucket IS NULL OR h.due <= ?) LIMIT 1`
}

/** Without the writer: most looks find nothing. */
export function anythingDue(reader: Connection, sinks: readonly string[], nowMs: number): boolean {
  const waiting = `SELECT 1 FROM oncely_outbox o LEFT JOIN oncely_outbox_held h ON h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate
WHERE o.parked = 0 AND o.sink IN (${places(sinks)}) AND (h.bucket IS NULL OR h.due <= ?) LIMIT 1`
  return reader.get(waiting, ...sinks, nowMs) !== undefined
}

export function leaseBuckets(writer: Connection, request: OutboxLeaseRequest, nowMs: number): readonly BucketLease[] {
  const { owner, leaseMs, bucketsMax, sinks } = request
  const leased: BucketLease[] = []
  const rows = writer.all<{ bucket: number; token: number }>(
    'SELECT bucket, token FROM oncely_outbox_buckets WHERE lease_end <= ? ORDER BY lease_end, bucket',
    nowMs,
  )
  for (const { bucket, token } of rows) {
    if (leased.length >= bucketsMax) break
    if (writer.get(due(sinks), bucket, ...sinks, nowMs) === undefined) continue
    writer.run(
      'UPDATE oncely_outbox_buckets SET token = ?, owner = ?, lease_end = ? WHERE bucket = ?',
      token + 1,
      owner,
      nowMs + leaseMs,
      bucket,
    )
    leased.push({ bucket, owner, token: BigInt(token) + 1n })
  }
  return leased
}

/** Whether the lease is still the newest; prolongs it where it is. */
function prolong(writer: Connection, { bucket, owner, token }: BucketLease, leaseEndMs: number): boolean {
  return (
    writer.run(
      'UPDATE oncely_outbox_buckets SET lease_end = ? WHERE bucket = ? AND owner = ? AND token = ?',
      leaseEndMs,
      bucket,
      owner,
      token,
    ) === 1
  )
}

export function readMessages(
  writer: Connection,
  lease: BucketLease,
  { leaseMs, messagesMax, sinks }: OutboxReadRequest,
  nowMs: number,
): readonly StoredMessage[] | 'lost' {
  if (!prolong(writer, lease, nowMs + leaseMs)) return 'lost'
  const rows = writer.all<Row>(
    `SELECT o.*, h.attempts, h.seq AS held_seq FROM oncely_outbox o
  LEFT JOIN oncely_outbox_held h ON h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate
WHERE o.bucket = ? AND o.parked = 0 AND o.sink IN (${places(sinks)}) AND (h.bucket IS NULL OR h.due <= ?) ORDER BY o.seq LIMIT ?`,
    lease.bucket,
    ...sinks,
    nowMs,
    messagesMax,
  )
  return rows.map(storedMessage)
}

export function settleMessages(writer: Connection, lease: BucketLease, settlement: OutboxSettlement, nowMs: number): 'done' | 'lost' {
  const { bucket, owner, token } = lease
  if (writer.get('SELECT 1 FROM oncely_outbox_buckets WHERE bucket = ? AND owner = ? AND token = ?', bucket, owner, token) === undefined)
    return 'lost'
  for (const position of settlement.sent) writer.run('DELETE FROM oncely_outbox WHERE seq = ? AND bucket = ?', position, bucket)
  for (const { sink, aggregate } of settlement.freed)
    writer.run('DELETE FROM oncely_outbox_held WHERE bucket = ? AND sink = ? AND aggregate = ?', bucket, sink, aggregate)
  for (const { sink, aggregate, position, attempts, delayMs, error } of settlement.held) {
    const dueMs = delayMs === undefined ? null : nowMs + delayMs
    writer.run(
      'INSERT OR REPLACE INTO oncely_outbox_held (bucket, sink, aggregate, seq, attempts, due, since, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      bucket,
      sink,
      aggregate,
      position,
      attempts,
      dueMs,
      nowMs,
      error,
    )
    // Out of the index that relays read by; what comes later stays in it and is passed over.
    if (dueMs === null)
      writer.run('UPDATE oncely_outbox SET parked = 1 WHERE bucket = ? AND sink = ? AND aggregate = ?', bucket, sink, aggregate)
  }
  return 'done'
}

export function releaseBucket(writer: Connection, lease: BucketLease, nowMs: number): void {
  if (prolong(writer, lease, nowMs)) writer.run("UPDATE oncely_outbox_buckets SET owner = '' WHERE bucket = ?", lease.bucket)
}

export function readOutboxStats(reader: Connection, nowMs: number): OutboxStats {
  const row = reader.get<Row>(
    `SELECT count(*) AS backlog, coalesce(sum(s.parked), 0) AS parked, coalesce(? - min(CASE WHEN s.parked = 0 THEN s.occurred END), 0) AS oldest_ms
FROM (SELECT o.occurred, o.parked = 1 OR EXISTS (SELECT 1 FROM oncely_outbox_held h
  WHERE h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate AND h.due IS NULL) AS parked FROM oncely_outbox o) s`,
    nowMs,
  )
  return outboxStats(row ?? {})
}

export function readParked(reader: Connection, limit: number): readonly ParkedAggregate[] {
  const rows = reader.all<Row>(
    `SELECT h.*, (SELECT count(*) FROM oncely_outbox o WHERE o.bucket = h.bucket AND o.sink = h.sink AND o.aggregate = h.aggregate) AS messages
FROM oncely_outbox_held h WHERE h.due IS NULL ORDER BY h.since, h.aggregate LIMIT ?`,
    limit,
  )
  return rows.map(parkedAggregate)
}

export function redriveAggregate(writer: Connection, { sink, aggregate }: OutboxAggregate): boolean {
  const held = writer.get<{ bucket: number }>('SELECT bucket FROM oncely_outbox_held WHERE sink = ? AND aggregate = ?', sink, aggregate)
  if (held === undefined) return false
  writer.run(
    'UPDATE oncely_outbox SET parked = 0 WHERE bucket = ? AND sink = ? AND aggregate = ? AND parked = 1',
    held.bucket,
    sink,
    aggregate,
  )
  writer.run('DELETE FROM oncely_outbox_held WHERE bucket = ? AND sink = ? AND aggregate = ?', held.bucket, sink, aggregate)
  return true
}

function places(sinks: readonly string[]): string {
  return sinks.map(() => '?').join(', ')
}

export const outboxSchema: string = `
CREATE TABLE oncely_outbox (
  seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  occurred INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  parked INTEGER NOT NULL,
  id TEXT NOT NULL,
  sink TEXT NOT NULL,
  topic TEXT NOT NULL,
  aggregate TEXT NOT NULL,
  type TEXT NOT NULL,
  content_type TEXT NOT NULL,
  headers TEXT NOT NULL,
  payload BLOB NOT NULL
) STRICT;

CREATE INDEX oncely_outbox_waiting ON oncely_outbox (bucket, seq) WHERE parked = 0;
CREATE INDEX oncely_outbox_parked ON oncely_outbox (bucket, sink, aggregate) WHERE parked = 1;

CREATE TABLE oncely_outbox_buckets (
  bucket INTEGER NOT NULL PRIMARY KEY,
  token INTEGER NOT NULL,
  owner TEXT NOT NULL,
  lease_end INTEGER NOT NULL
) STRICT;

CREATE TABLE oncely_outbox_held (
  bucket INTEGER NOT NULL,
  sink TEXT NOT NULL,
  aggregate TEXT NOT NULL,
  seq INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  due INTEGER,
  since INTEGER NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (bucket, sink, aggregate)
) STRICT, WITHOUT ROWID;

WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < ${outboxBuckets - 1})
INSERT INTO oncely_outbox_buckets (bucket, token, owner, lease_end) SELECT number, 0, '', 0 FROM numbers;
`
