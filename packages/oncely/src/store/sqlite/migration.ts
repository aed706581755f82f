import { type Random, StoreSchemaMismatch, toHex } from '../../core/index.ts'
import { nodeHasher } from '../../platform/index.ts'
import { inboxTables } from './inbox-migration.ts'
import { outboxSchema } from './outbox-table.ts'
import type { Connection } from './sqlite-connection.ts'
import { isMissingTable } from './sqlite-error.ts'
import { stepTable } from './step-table.ts'

/** One step of the schema. A published step is never changed: the next one has the next number. */
export interface Migration {
  readonly number: number
  readonly name: string
  /** A process that does not know this step must not go on. */
  readonly breaking: boolean
  readonly sql: string
}

/**
 * `oncely_keys` holds one row a record; `removable_at_ms` is when its own policy lets it go. Outcomes stand apart, because they are large, age earlier, and would make every claim read more pages.
 * A legal hold gives a record a
 * tombstone of a hundred years and keeps its own in `oncely_held`. `oncely_instance` has the fencing tokens' counter, which is committed before a handler runs under a lease.
 */
export const migrations: readonly Migration[] = [
  {
    number: 1,
    name: 'records, outcomes, audit trail',
    breaking: true,
    sql: `
CREATE TABLE oncely_instance (
  singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
  instance_id TEXT NOT NULL,
  file_identity TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL
) STRICT;

CREATE TABLE oncely_keys (
  id BLOB NOT NULL PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('running', 'released', 'uncertain', 'quarantined', 'completed')),
  operation TEXT NOT NULL,
  bind TEXT NOT NULL CHECK (bind IN ('transaction', 'steps', 'lease')),
  principal BLOB NOT NULL,
  actor BLOB NOT NULL,
  fingerprint_version INTEGER NOT NULL,
  fingerprint_key_id INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,
  policy TEXT NOT NULL,
  retention_ms INTEGER NOT NULL,
  tombstone_ms INTEGER NOT NULL,
  attempts_max INTEGER NOT NULL,
  on_lost_lease TEXT NOT NULL CHECK (on_lost_lease IN ('uncertain', 'takeover')),
  effect_timeout_ms INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  attempt_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  begun_attempt INTEGER NOT NULL,
  lease_end_ms INTEGER,
  changed_at_ms INTEGER,
  reason TEXT,
  resolver_until_ms INTEGER,
  removable_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX oncely_keys_removable ON oncely_keys (removable_at_ms) WHERE removable_at_ms IS NOT NULL;

CREATE TABLE oncely_outcomes (
  id BLOB NOT NULL PRIMARY KEY,
  expiry_day INTEGER NOT NULL,
  codec INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  checksum BLOB NOT NULL
) STRICT;

CREATE INDEX oncely_outcomes_expiry ON oncely_outcomes (expiry_day);

CREATE TABLE oncely_events (
  number INTEGER NOT NULL PRIMARY KEY,
  id BLOB NOT NULL,
  at_ms INTEGER NOT NULL,
  event TEXT NOT NULL,
  token TEXT NOT NULL,
  attempt_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  reason TEXT NOT NULL,
  count INTEGER NOT NULL
) STRICT;

CREATE INDEX oncely_events_record ON oncely_events (id, at_ms);
CREATE INDEX oncely_events_age ON oncely_events (at_ms);
CREATE UNIQUE INDEX oncely_events_minute ON oncely_events (id, at_ms, reason) WHERE count > 0;
`,
  },
  {
    number: 2,
    name: 'erasure by principal, legal hold',
    breaking: true,
    sql: `
CREATE INDEX oncely_keys_principal ON oncely_keys (principal);

CREATE TABLE oncely_holds (
  kind TEXT NOT NULL CHECK (kind IN ('record', 'principal')),
  digest BLOB NOT NULL,
  placed_at_ms INTEGER NOT NULL,
  placed_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE oncely_held (
  id BLOB NOT NULL PRIMARY KEY,
  tombstone_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`,
  },
  { number: 3, name: 'outbox', breaking: false, sql: outboxSchema },
  { number: 4, name: 'inbox', breaking: false, sql: inboxTables },
  { number: 5, name: 'recovery points', breaking: false, sql: stepTable },
]

const createMigrations = `
CREATE TABLE IF NOT EXISTS oncely_migrations (
  number INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  breaking INTEGER NOT NULL,
  applied_at_ms INTEGER NOT NULL
) STRICT`

interface AppliedRow {
  readonly number: number
  readonly name: string
  readonly checksum: string
  readonly breaking: number
}

/** SHA-256 over the step's statements. */
export function checksumOf(migration: Migration): string {
  return toHex(nodeHasher.sha256(new TextEncoder().encode(migration.sql)))
}

/**
 * The steps the file still lacks. Throws `StoreSchemaMismatch` when the file was written by a version this one does not
 * understand, or when a step was changed after it ran.
 */
export function pendingMigrations(connection: Connection, known: readonly Migration[] = migrations): readonly Migration[] {
  const applied = new Map(appliedRows(connection).map((row) => [row.number, row]))
  const newest = known.at(-1)?.number ?? 0
  for (const row of applied.values()) {
    if (row.number > newest && row.breaking !== 0) {
      throw new StoreSchemaMismatch(
        `The SQLite file has migration ${row.number} ("${row.name}"), this version knows ${newest} and cannot read it; update oncely in this process.`,
      )
    }
  }
  for (const migration of known) {
    const row = applied.get(migration.number)
    if (row !== undefined && row.checksum !== checksumOf(migration)) {
      throw new StoreSchemaMismatch(
        `Migration ${migration.number} ("${row.name}") ran in this file with checksum ${row.checksum.slice(0, 12)}, this version has ${checksumOf(migration).slice(0, 12)}; the file was written by a build that is not this one's ancestor.`,
      )
    }
  }
  return known.filter(({ number }) => !applied.has(number))
}

function appliedRows(connection: Connection): AppliedRow[] {
  try {
    return connection.all<AppliedRow>('SELECT number, name, checksum, breaking FROM oncely_migrations ORDER BY number')
  } catch (error) {
    if (isMissingTable(error)) return []
    throw error
  }
}

/**
 * Runs the missing steps. The caller holds the writer, so of several processes that start at once one does it and the others
 * find nothing to do.
 */
export function runMigrations(connection: Connection, nowMs: number, random: Random, known: readonly Migration[] = migrations): void {
  connection.handle.exec(createMigrations)
  for (const migration of pendingMigrations(connection, known)) {
    connection.handle.exec(migration.sql)
    connection.run(
      'INSERT INTO oncely_migrations (number, name, checksum, breaking, applied_at_ms) VALUES (?, ?, ?, ?, ?)',
      migration.number,
      migration.name,
      checksumOf(migration),
      migration.breaking ? 1 : 0,
      nowMs,
    )
  }
  connection.run(
    "INSERT INTO oncely_instance (singleton, instance_id, file_identity, epoch, seq) VALUES (1, ?, '', 1, 0) ON CONFLICT (singleton) DO NOTHING",
    random.uuid(),
  )
}
