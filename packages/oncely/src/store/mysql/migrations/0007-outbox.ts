import type { Migration } from './migration.ts'

const kept = 'ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC'

/**
 * Messages that commit with the user's rows. A relay leases buckets, never rows, and holds no lock while it sends; a sent row is
 * deleted. `held` has a row for each aggregate whose first message failed: `due` is when it is tried again, NULL when it is parked.
 */
export const outbox: Migration = {
  number: 7,
  name: 'outbox',
  breaking: false,
  statements: [
    `CREATE TABLE IF NOT EXISTS {outbox} (
  seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  occurred BIGINT NOT NULL,
  bucket SMALLINT NOT NULL,
  parked TINYINT NOT NULL DEFAULT 0,
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sink VARBINARY(64) NOT NULL,
  topic VARBINARY(255) NOT NULL,
  aggregate VARBINARY(255) NOT NULL,
  type VARBINARY(255) NOT NULL,
  content_type VARBINARY(255) NOT NULL,
  headers LONGBLOB NOT NULL,
  payload LONGBLOB NOT NULL,
  KEY {#outbox_waiting} (bucket, parked, seq)
) ${kept}`,
    `CREATE TABLE IF NOT EXISTS {outbox_buckets} (
  bucket SMALLINT NOT NULL PRIMARY KEY,
  token BIGINT NOT NULL DEFAULT 0,
  owner VARBINARY(1024) NOT NULL DEFAULT '',
  lease_end BIGINT NOT NULL DEFAULT 0
) ${kept}`,
    `INSERT INTO {outbox_buckets} (bucket)
SELECT n.number FROM (SELECT a.digit * 8 + b.digit AS number FROM ${digits('a')}, ${digits('b')}) n
WHERE NOT EXISTS (SELECT 1 FROM {outbox_buckets} o WHERE o.bucket = n.number)`,
    `CREATE TABLE IF NOT EXISTS {outbox_held} (
  bucket SMALLINT NOT NULL,
  sink VARBINARY(64) NOT NULL,
  aggregate VARBINARY(255) NOT NULL,
  seq BIGINT NOT NULL,
  attempts INT NOT NULL,
  due BIGINT NULL,
  since BIGINT NOT NULL,
  error VARBINARY(2048) NOT NULL,
  PRIMARY KEY (bucket, sink, aggregate)
) ${kept}`,
  ],
}

function digits(alias: string): string {
  return `(SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7) ${alias}`
}
