import type { Migration } from './migration.ts'

/**
 * Messages that commit with the user's rows. A relay leases buckets, never rows, and holds no lock while it sends; a sent row is
 * deleted. `held` has a row for each aggregate whose first message failed: `due` is when it is tried again, NULL when it is parked.
 */
export const outbox: Migration = {
  number: 6,
  name: 'outbox',
  breaking: false,
  statements: [
    `CREATE TABLE {outbox} (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  occurred bigint NOT NULL,
  bucket smallint NOT NULL,
  parked boolean NOT NULL DEFAULT false,
  id uuid NOT NULL,
  sink text NOT NULL,
  topic text NOT NULL,
  aggregate text NOT NULL,
  type text NOT NULL,
  content_type text NOT NULL,
  headers text NOT NULL,
  payload bytea NOT NULL,
  CONSTRAINT {#outbox_pkey} PRIMARY KEY (seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02)`,
    `CREATE INDEX {#outbox_waiting} ON {outbox} (bucket, seq) WHERE NOT parked`,
    `CREATE INDEX {#outbox_parked} ON {outbox} (bucket, sink, aggregate) WHERE parked`,
    `CREATE TABLE {outbox_buckets} (
  bucket smallint NOT NULL,
  token bigint NOT NULL DEFAULT 0,
  owner text NOT NULL DEFAULT '',
  lease_end bigint NOT NULL DEFAULT 0,
  CONSTRAINT {#outbox_buckets_pkey} PRIMARY KEY (bucket)
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 500)`,
    `INSERT INTO {outbox_buckets} (bucket) SELECT generate_series(0, 63)`,
    `CREATE TABLE {outbox_held} (
  bucket smallint NOT NULL,
  sink text NOT NULL,
  aggregate text NOT NULL,
  seq bigint NOT NULL,
  attempts integer NOT NULL,
  due bigint,
  since bigint NOT NULL,
  error text NOT NULL,
  CONSTRAINT {#outbox_held_pkey} PRIMARY KEY (bucket, sink, aggregate)
)`,
  ],
}
