import type { Migration } from './migration.ts'

/**
 * Codes: state 1 running, 2 completed, 3 released, 4 uncertain, 5 quarantined; bind 1 transaction, 2 steps, 3 lease.
 * Times are milliseconds since the Unix epoch, as policies count in them; `day` is a date in UTC.
 */
export const tables: Migration = {
  number: 1,
  name: 'tables',
  breaking: true,
  statements: [
    // One row: which database this is, the region of its records, and the epoch of its fencing tokens. `origin` (system identifier
    // and timeline) and `started` tell a restart, a promotion and a restore from an ordinary start of a client.
    `CREATE TABLE {instance} (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  instance uuid NOT NULL,
  region smallint NOT NULL,
  epoch integer NOT NULL,
  started timestamptz NOT NULL,
  origin text NOT NULL
)`,
    `INSERT INTO {instance} (instance, region, epoch, started, origin) VALUES (gen_random_uuid(), 0, 0, '-infinity', '')`,
    `CREATE SEQUENCE {fence} AS bigint`,

    `CREATE TABLE {operations} (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  CONSTRAINT {#operations_name} UNIQUE (name)
)`,
    // The numbers of a policy as a record keeps them: a changed configuration is another row.
    `CREATE TABLE {policies} (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  retention_ms bigint NOT NULL,
  tombstone_ms bigint NOT NULL,
  attempts_max integer NOT NULL,
  takeover boolean NOT NULL,
  effect_timeout_ms bigint NOT NULL,
  CONSTRAINT {#policies_numbers} UNIQUE (name, retention_ms, tombstone_ms, attempts_max, takeover, effect_timeout_ms)
)`,

    // The record. Indexes name columns that never change in one life of a key, so that completion is a heap-only update; there is
    // room for it on the page, and the version that it leaves behind is soon room again. Checks of the codes would be parsed anew
    // by every statement: only the functions write here.
    `CREATE TABLE {keys} (
  seq bigint NOT NULL,
  created bigint NOT NULL,
  since bigint,
  lease_end bigint,
  resolver_until bigint,
  principal_head bigint NOT NULL,
  epoch integer NOT NULL,
  operation integer NOT NULL,
  policy integer NOT NULL,
  attempt integer NOT NULL,
  begun_attempt integer NOT NULL,
  outcome_day date,
  fp_version smallint NOT NULL,
  fp_key_id smallint NOT NULL,
  region smallint NOT NULL,
  state smallint NOT NULL,
  bind smallint NOT NULL,
  attempt_id uuid NOT NULL,
  id bytea NOT NULL,
  fp bytea NOT NULL,
  principal bytea NOT NULL,
  actor bytea NOT NULL,
  recovery_point text,
  reason text,
  CONSTRAINT {#keys_pkey} PRIMARY KEY (id, region)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05)`,
    `CREATE INDEX {#keys_policy} ON {keys} (policy, created)`,
    `CREATE INDEX {#keys_principal} ON {keys} (principal_head, created)`,
    `COMMENT ON COLUMN {keys}.state IS '1 running, 2 completed, 3 released, 4 uncertain, 5 quarantined'`,
    `COMMENT ON COLUMN {keys}.bind IS '1 transaction, 2 steps, 3 lease'`,
    `COMMENT ON COLUMN {keys}.principal_head IS 'the first eight bytes of principal: the index is half as large, and a search compares principal as well'`,
    `COMMENT ON COLUMN {keys}.since IS 'when a record that has ended (state 2 to 5) did; milliseconds since 1970, as every time here'`,

    // Outcomes go by dropping the partition of the day on which they may be forgotten. The default partition holds what no
    // partition was made for in time, so that nothing is ever lost. The seq of the token tells the lives of one key apart.
    `CREATE TABLE {outcomes} (
  day date NOT NULL,
  id bytea NOT NULL,
  region smallint NOT NULL,
  seq bigint NOT NULL,
  codec integer NOT NULL,
  checksum bytea NOT NULL,
  bytes bytea NOT NULL,
  CONSTRAINT {#outcomes_pkey} PRIMARY KEY (id, region, seq, day)
) PARTITION BY RANGE (day)`,
    `CREATE TABLE {outcomes_default} PARTITION OF {outcomes} DEFAULT`,

    // What waits for its owner, a resolver or an operator. Never written while a transaction-bound record takes its usual way.
    // lease_end is the lease as claimed: a renewal writes only the record, and readers of this list look there.
    `CREATE TABLE {open} (
  id bytea NOT NULL,
  region smallint NOT NULL,
  state smallint NOT NULL,
  since bigint NOT NULL,
  lease_end bigint,
  CONSTRAINT {#open_pkey} PRIMARY KEY (id, region)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)`,

    // The audit trail: state changes, and per-minute counts of refused duplicates (event 'duplicates', count > 0). A record that was
    // claimed and completed in one transaction has one row for both; its claimed column says when it was claimed.
    `CREATE TABLE {events} (
  day date NOT NULL,
  at timestamptz NOT NULL,
  id bytea NOT NULL,
  region smallint NOT NULL,
  event text NOT NULL,
  epoch integer,
  seq bigint,
  attempt_id uuid,
  claimed timestamptz,
  count integer NOT NULL DEFAULT 0,
  owner text NOT NULL DEFAULT '',
  trace_id text NOT NULL DEFAULT '',
  reason text NOT NULL DEFAULT ''
) PARTITION BY RANGE (day)`,
    `CREATE INDEX {#events_id} ON {events} (id)`,
    `CREATE UNIQUE INDEX {#events_duplicates} ON {events} (id, region, at, reason, day) WHERE event = 'duplicates'`,
    `CREATE TABLE {events_default} PARTITION OF {events} DEFAULT`,
  ],
}
