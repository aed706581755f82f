import type { AuditCount, StoreStats, TrailEntry } from '../../core/index.ts'
import { nextTurn } from './event-loop.ts'
import { freezeHeld } from './legal-hold.ts'
import { dayOf } from './record-table.ts'
import type { Connection } from './sqlite-connection.ts'
import { sweepSteps } from './step-table.ts'

/** What a store does beside the record's life: the audit trail, counting, and letting go of what has aged. */

/** Adds to the counts of a minute; a row a (record, minute, reason). */
export function addCounts(connection: Connection, counts: readonly AuditCount[]): void {
  for (const { id, operation, minuteMs, reason, count } of counts) {
    connection.run(
      `INSERT INTO oncely_events (id, at_ms, event, token, attempt_id, owner, trace_id, operation, reason, count)
       VALUES (?, ?, 'duplicates', '', '', '', '', ?, ?, ?)
       ON CONFLICT (id, at_ms, reason) WHERE count > 0 DO UPDATE SET count = count + excluded.count`,
      id,
      minuteMs,
      operation,
      reason,
      count,
    )
  }
}

export function readTrail(connection: Connection, id: Uint8Array): TrailEntry[] {
  const rows = connection.all<TrailEntry>(
    `SELECT at_ms AS atMs, event, token, attempt_id AS attemptId, owner, trace_id AS traceId, reason, count
     FROM oncely_events WHERE id = ? ORDER BY at_ms, number`,
    id,
  )
  return rows.map((row) => ({ ...row }))
}

/** Rows removed in one transaction; more would hold the event loop and the writer for too long. */
export const sweepChunk = 250

/** Removes records past their own policy, oldest first. Answers how many. */
function sweepRecords(connection: Connection, nowMs: number, limit: number): number {
  const due = 'SELECT id FROM oncely_keys WHERE removable_at_ms <= ? ORDER BY removable_at_ms, id LIMIT ?'
  connection.run(`DELETE FROM oncely_outcomes WHERE id IN (${due})`, nowMs, limit)
  return connection.run(`DELETE FROM oncely_keys WHERE id IN (${due})`, nowMs, limit)
}

/** Removes outcomes whose retention has ended, and lines of the trail past `trailMs` whose record is gone. */
function sweepAged(connection: Connection, nowMs: number, trailMs: number, limit: number): number {
  const outcomes = connection.run(
    `DELETE FROM oncely_outcomes WHERE rowid IN (
       SELECT rowid FROM oncely_outcomes WHERE expiry_day <= ? AND id NOT IN (SELECT id FROM oncely_held) LIMIT ?)`,
    dayOf(nowMs),
    limit,
  )
  const lines = connection.run(
    `DELETE FROM oncely_events WHERE number IN (
       SELECT number FROM oncely_events e WHERE at_ms < ? AND NOT EXISTS (SELECT 1 FROM oncely_keys k WHERE k.id = e.id)
         AND e.id NOT IN (SELECT digest FROM oncely_holds) LIMIT ?)`,
    nowMs - trailMs,
    limit,
  )
  return Math.max(outcomes, lines)
}

/** How the table is walked: one sixteenth at a time, the event loop between. Ids are digests, so the parts are equal. */
const parts = 16

interface PartRow {
  readonly state: keyof Omit<StoreStats, 'records' | 'bytes'> | 'released'
  readonly records: number
  readonly bytes: number
}

export async function readStats(read: <R>(run: (connection: Connection) => R) => Promise<R>): Promise<StoreStats> {
  const stats = { records: 0, running: 0, uncertain: 0, quarantined: 0, completed: 0, bytes: 0 }
  for (let part = 0; part < parts; part++) {
    for (const { state, records, bytes } of await read((connection) => readPart(connection, part))) {
      stats.records += records
      stats.bytes += bytes
      if (state !== 'released') stats[state] += records
    }
    if (part < parts - 1) await nextTurn()
  }
  return stats
}

function readPart(connection: Connection, part: number): PartRow[] {
  const from = Uint8Array.of((part * 256) / parts)
  // Longer than any id that begins with this part's last byte.
  const to = part === parts - 1 ? new Uint8Array(64).fill(255) : Uint8Array.of(((part + 1) * 256) / parts)
  return connection.all<PartRow>(
    `SELECT k.state, count(*) AS records, coalesce(sum(length(o.bytes)), 0) AS bytes
     FROM oncely_keys k LEFT JOIN oncely_outcomes o ON o.id = k.id
     WHERE k.id >= ? AND k.id < ? GROUP BY k.state`,
    from,
    to,
  )
}

/** Lets go of what has aged, in steps of `sweepChunk` rows with a turn of the event loop between them. Answers how many records. */
export async function sweepFile(
  write: <R>(step: (connection: Connection) => R) => Promise<R>,
  nowMs: number,
  trailMs: number,
  batchMax: number,
): Promise<number> {
  const chunked = async (remove: (connection: Connection, limit: number) => number): Promise<number> => {
    let removed = 0
    for (;;) {
      const limit = Math.min(sweepChunk, batchMax - removed)
      const now = limit === 0 ? 0 : await write((connection) => remove(connection, limit))
      removed += now
      if (limit === 0 || now < limit) return removed
      await nextTurn()
    }
  }
  await write(freezeHeld)
  const removed = await chunked((connection, limit) => sweepRecords(connection, nowMs, limit))
  await chunked(sweepSteps)
  await chunked((connection, limit) => sweepAged(connection, nowMs, trailMs, limit))
  return removed
}
