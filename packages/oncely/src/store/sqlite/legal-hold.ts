import { type ErasureBatch, type Hold, type HoldTarget, heldTombstoneMs, holdParts } from '../../core/index.ts'
import type { Connection } from './sqlite-connection.ts'

/** Erasure by principal and legal hold; every function runs inside a transaction that its caller opened with the writer in hand. */

const covered = `(k.id IN (SELECT digest FROM oncely_holds WHERE kind = 'record')
  OR k.principal IN (SELECT digest FROM oncely_holds WHERE kind = 'principal'))`

/** Gives what holds cover its long tombstone; records come to a held principal, and claims write their policy anew. */
export function freezeHeld(connection: Connection): void {
  if (connection.get('SELECT 1 AS any_hold FROM oncely_holds LIMIT 1') === undefined) return
  const unfrozen = `FROM oncely_keys k WHERE ${covered} AND k.tombstone_ms <> ${heldTombstoneMs}`
  connection.run(`INSERT INTO oncely_held (id, tombstone_ms) SELECT k.id, k.tombstone_ms ${unfrozen}
    ON CONFLICT (id) DO UPDATE SET tombstone_ms = excluded.tombstone_ms`)
  connection.run(`UPDATE oncely_keys SET tombstone_ms = ${heldTombstoneMs},
    removable_at_ms = CASE WHEN removable_at_ms IS NULL THEN NULL ELSE removable_at_ms - tombstone_ms + ${heldTombstoneMs} END
    WHERE id IN (SELECT k.id ${unfrozen})`)
}

/** Places or lifts a hold; answers whether anything changed. */
export function changeHold(
  connection: Connection,
  target: HoldTarget,
  change: { readonly held: boolean; readonly by: string; readonly reason: string },
  nowMs: number,
): boolean {
  const { kind, digest } = holdParts(target)
  if (change.held) {
    const sql = `INSERT INTO oncely_holds (kind, digest, placed_at_ms, placed_by, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
    if (connection.run(sql, kind, digest, nowMs, change.by, change.reason) === 0) return false
    freezeHeld(connection)
    return true
  }
  if (connection.run('DELETE FROM oncely_holds WHERE kind = ? AND digest = ?', kind, digest) === 0) return false
  const released = `SELECT h.id FROM oncely_held h LEFT JOIN oncely_keys k ON k.id = h.id WHERE k.id IS NULL OR NOT ${covered}`
  connection.run(`UPDATE oncely_keys SET
    removable_at_ms = CASE WHEN removable_at_ms IS NULL THEN NULL
      ELSE removable_at_ms - tombstone_ms + (SELECT h.tombstone_ms FROM oncely_held h WHERE h.id = oncely_keys.id) END,
    tombstone_ms = (SELECT h.tombstone_ms FROM oncely_held h WHERE h.id = oncely_keys.id)
    WHERE id IN (${released})`)
  connection.run(`DELETE FROM oncely_held WHERE id IN (${released})`)
  return true
}

export function readHolds(connection: Connection): Hold[] {
  const rows = connection.all<{ kind: string; digest: Uint8Array; placedAtMs: number; placedBy: string; reason: string }>(
    'SELECT kind, digest, placed_at_ms AS placedAtMs, placed_by AS placedBy, reason FROM oncely_holds ORDER BY placed_at_ms, digest',
  )
  return rows.map(({ kind, digest, placedAtMs, placedBy, reason }) => {
    const bytes = new Uint8Array(digest)
    return { target: kind === 'record' ? { record: bytes } : { principal: bytes }, placedAtMs, by: placedBy, reason }
  })
}

export function isHeld(connection: Connection, id: Uint8Array): boolean {
  return connection.get(`SELECT 1 AS held FROM oncely_keys k WHERE k.id = ? AND ${covered}`, id) !== undefined
}

/** Erases at most `batchMax` ended records of a principal; each is passed to `erase`. */
export function eraseOf(connection: Connection, principal: Uint8Array, batchMax: number, erase: (id: Uint8Array) => void): ErasureBatch {
  const due = connection.all<{ id: Uint8Array }>(
    `SELECT k.id FROM oncely_keys k WHERE k.principal = ? AND k.state IN ('completed', 'released') AND NOT ${covered}
     ORDER BY k.created_at_ms, k.id LIMIT ?`,
    principal,
    batchMax,
  )
  const erased = due.map(({ id }) => new Uint8Array(id))
  for (const id of erased) erase(id)
  const left = connection.get<{ held: number; kept: number }>(
    `SELECT count(*) FILTER (WHERE ${covered}) AS held, count(*) FILTER (WHERE NOT ${covered}) AS kept FROM oncely_keys k WHERE k.principal = ?`,
    principal,
  )
  return { erased, held: left?.held ?? 0, kept: left?.kept ?? 0 }
}
