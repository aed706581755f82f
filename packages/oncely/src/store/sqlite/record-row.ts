import type { Bind, OncelyRecord, OnLostLease, Outcome, RecordState } from '../../core/index.ts'
import type { SqliteValue } from './sqlite-connection.ts'

/** A row of `oncely_keys` with its outcome, as read. */
export interface RecordRow {
  readonly id: Uint8Array
  readonly state: RecordState
  readonly operation: string
  readonly bind: Bind
  readonly principal: Uint8Array
  readonly actor: Uint8Array
  readonly fingerprint_version: number
  readonly fingerprint_key_id: number
  readonly fingerprint: Uint8Array
  readonly policy: string
  readonly retention_ms: number
  readonly tombstone_ms: number
  readonly attempts_max: number
  readonly on_lost_lease: OnLostLease
  readonly effect_timeout_ms: number
  readonly created_at_ms: number
  readonly epoch: number
  readonly seq: number
  readonly attempt_id: string
  readonly attempt: number
  readonly begun_attempt: number
  readonly lease_end_ms: number | null
  readonly changed_at_ms: number | null
  readonly reason: string | null
  readonly resolver_until_ms: number | null
  readonly codec: number | null
  readonly bytes: Uint8Array | null
  readonly checksum: Uint8Array | null
}

export const selectRecord: string = `
SELECT k.*, o.codec, o.bytes, o.checksum
FROM oncely_keys k LEFT JOIN oncely_outcomes o ON o.id = k.id AND k.state = 'completed'
WHERE k.id = ?`

const columns = [
  'id',
  'state',
  'operation',
  'bind',
  'principal',
  'actor',
  'fingerprint_version',
  'fingerprint_key_id',
  'fingerprint',
  'policy',
  'retention_ms',
  'tombstone_ms',
  'attempts_max',
  'on_lost_lease',
  'effect_timeout_ms',
  'created_at_ms',
  'epoch',
  'seq',
  'attempt_id',
  'attempt',
  'begun_attempt',
  'lease_end_ms',
  'changed_at_ms',
  'reason',
  'resolver_until_ms',
  'removable_at_ms',
] as const

/** Writes the whole row, new or not; the caller holds the writer and has read what is there. */
export const putRecord: string = `
INSERT INTO oncely_keys (${columns.join(', ')}) VALUES (${columns.map(placeholder).join(', ')})
ON CONFLICT (id) DO UPDATE SET ${columns
  .slice(1)
  .map((column) => `${column} = excluded.${column}`)
  .join(', ')}`

/** `node:sqlite` binds some empty arrays as NULL, its own answers among them. */
function placeholder(column: (typeof columns)[number]): string {
  return column === 'principal' || column === 'actor' || column === 'fingerprint' ? "coalesce(?, x'')" : '?'
}

/** The values of `putRecord`, in its order. */
export function recordValues(record: OncelyRecord): SqliteValue[] {
  const { id, state, operation, bind, principal, actor, fingerprint, policy, createdAtMs, token, attemptId, attempt, begunAttempt } = record
  return [
    id,
    state,
    operation,
    bind,
    principal,
    actor,
    fingerprint.version,
    fingerprint.keyId,
    fingerprint.digest,
    policy.name,
    policy.retentionMs,
    policy.tombstoneMs,
    policy.attemptsMax,
    policy.onLostLease,
    policy.effectTimeoutMs,
    createdAtMs,
    token.epoch,
    token.seq,
    attemptId,
    attempt,
    begunAttempt,
    ...stateValues(record),
  ]
}

/** lease_end_ms, changed_at_ms, reason, resolver_until_ms, removable_at_ms */
function stateValues(record: OncelyRecord): SqliteValue[] {
  const { retentionMs, tombstoneMs } = record.policy
  switch (record.state) {
    case 'running':
      return [record.leaseEndMs, null, null, null, null]
    case 'released':
      return [null, record.releasedAtMs, null, null, record.releasedAtMs + tombstoneMs]
    case 'uncertain':
      return [record.leaseEndMs, record.sealedAtMs, record.reason, record.resolverUntilMs, null]
    case 'quarantined':
      return [null, record.quarantinedAtMs, record.reason, null, null]
    case 'completed':
      return [null, record.completedAtMs, null, null, record.completedAtMs + Math.max(retentionMs, tombstoneMs)]
    default:
      return record satisfies never
  }
}

export function recordOf(row: RecordRow): OncelyRecord {
  const base = {
    id: plain(row.id),
    operation: row.operation,
    bind: row.bind,
    principal: plain(row.principal),
    actor: plain(row.actor),
    fingerprint: { version: row.fingerprint_version, keyId: row.fingerprint_key_id, digest: plain(row.fingerprint) },
    policy: {
      name: row.policy,
      retentionMs: row.retention_ms,
      tombstoneMs: row.tombstone_ms,
      attemptsMax: row.attempts_max,
      onLostLease: row.on_lost_lease,
      effectTimeoutMs: row.effect_timeout_ms,
    },
    createdAtMs: row.created_at_ms,
    token: { epoch: row.epoch, seq: BigInt(row.seq) },
    attemptId: row.attempt_id,
    attempt: row.attempt,
    begunAttempt: row.begun_attempt,
  }
  const changedAtMs = row.changed_at_ms ?? 0
  const leaseEndMs = row.lease_end_ms ?? 0
  const reason = row.reason ?? ''
  switch (row.state) {
    case 'running':
      return { ...base, state: 'running', leaseEndMs }
    case 'released':
      return { ...base, state: 'released', releasedAtMs: changedAtMs }
    case 'uncertain':
      return { ...base, state: 'uncertain', leaseEndMs, sealedAtMs: changedAtMs, reason, resolverUntilMs: row.resolver_until_ms ?? 0 }
    case 'quarantined':
      return { ...base, state: 'quarantined', quarantinedAtMs: changedAtMs, reason }
    case 'completed':
      return { ...base, state: 'completed', completedAtMs: changedAtMs, outcome: outcomeOf(row) }
    default:
      return row.state satisfies never
  }
}

function outcomeOf({ codec, bytes, checksum }: RecordRow): Outcome | undefined {
  if (codec === null || bytes === null || checksum === null) return undefined
  return { codec, bytes: plain(bytes), checksum: plain(checksum) }
}

/** Some drivers answer with a Buffer, whose methods differ; everything above sees one type. */
function plain(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
