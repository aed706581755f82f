import type { Migration } from './migration.ts'

/**
 * Recovery points: one row a step, and one with path '' for version (name), payload and input. Kind 0 start, 1 transaction, 2 effect,
 * 3 rejection; state 1 intended, 2 withdrawn, 3 done. `life` is the record's `created`, which tells the lives of one key apart;
 * `writes` makes every write count as a change. Written only by statements that lock the record's row and compare its token.
 */
export const stepping: Migration = {
  number: 9,
  name: 'steps',
  breaking: false,
  statements: [
    `CREATE TABLE IF NOT EXISTS {steps} (
  id VARBINARY(64) NOT NULL,
  region SMALLINT NOT NULL,
  life BIGINT NOT NULL,
  path VARBINARY(255) NOT NULL,
  name VARBINARY(1024) NOT NULL,
  kind TINYINT NOT NULL,
  state TINYINT NOT NULL,
  writes INT NOT NULL DEFAULT 1,
  generation INT NOT NULL DEFAULT 0,
  remote_key VARBINARY(255),
  called BIGINT,
  expires BIGINT,
  epoch INT NOT NULL,
  seq BIGINT NOT NULL,
  attempt_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload VARBINARY(64),
  codec INT,
  checksum VARBINARY(64),
  bytes LONGBLOB,
  PRIMARY KEY (id, region, life, path)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC`,
  ],
}
