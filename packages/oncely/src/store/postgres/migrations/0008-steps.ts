import type { Migration } from './migration.ts'

/**
 * Recovery points: one row a step, and one with path '' for version (name), payload and input. Kind 0 start, 1 transaction, 2 effect,
 * 3 rejection; state 1 intended, 2 withdrawn, 3 done. `life` is the record's `created`, which tells the lives of one key apart.
 * Written only by statements that lock the record's row and compare its token.
 */
export const stepping: Migration = {
  number: 8,
  name: 'steps',
  breaking: false,
  statements: [
    `CREATE TABLE {steps} (
  life bigint NOT NULL,
  called bigint,
  expires bigint,
  seq bigint NOT NULL,
  epoch integer NOT NULL,
  generation integer NOT NULL DEFAULT 0,
  codec integer,
  region smallint NOT NULL,
  kind smallint NOT NULL,
  state smallint NOT NULL,
  attempt_id uuid NOT NULL,
  id bytea NOT NULL,
  path text COLLATE "C" NOT NULL,
  name text NOT NULL,
  remote_key text,
  payload bytea,
  checksum bytea,
  bytes bytea,
  CONSTRAINT {#steps_pkey} PRIMARY KEY (id, region, life, path)
)`,
    `CREATE INDEX {#steps_start} ON {steps} (life) WHERE path = ''`,
  ],
}
