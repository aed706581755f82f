import type { Migration } from './migration.ts'

const kept = 'ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC'

/**
 * Codes: state 1 running, 2 completed, 3 released, 4 uncertain, 5 quarantined; bind 1 transaction, 2 steps, 3 lease.
 * Times are milliseconds since the Unix epoch, as policies count in them; `day` is a date in UTC. What is compared is binary: text
 * collations fold case and pad with blanks.
 */
export const tables: Migration = {
  number: 1,
  name: 'tables',
  breaking: true,
  statements: [
    // One row: which database this is, the region of its records, and the epoch of its fencing tokens. `origin` tells a promotion and
    // a restore elsewhere from an ordinary start.
    `CREATE TABLE IF NOT EXISTS {instance} (
  only_row TINYINT NOT NULL PRIMARY KEY,
  instance CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  region SMALLINT NOT NULL,
  epoch INT NOT NULL,
  origin VARCHAR(255) NOT NULL
) ${kept}`,
    `INSERT INTO {instance} (only_row, instance, region, epoch, origin)
SELECT 1, UUID(), 0, 0, '' FROM (SELECT 1 AS one) AS o WHERE NOT EXISTS (SELECT 1 FROM {instance} i)`,
    // Emptied by every start of the server, which is how one is noticed.
    'CREATE TABLE IF NOT EXISTS {start} (epoch INT NOT NULL PRIMARY KEY) ENGINE = MEMORY',
    // Only counts: a row goes in the statement after its own, and no server hands a committed number out again.
    `CREATE TABLE IF NOT EXISTS {fence} (seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY) ${kept}`,

    `CREATE TABLE IF NOT EXISTS {operations} (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARBINARY(1024) NOT NULL,
  UNIQUE KEY {#operations_name} (name)
) ${kept}`,
    // The numbers of a policy as a record keeps them: a changed configuration is another row.
    `CREATE TABLE IF NOT EXISTS {policies} (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARBINARY(1024) NOT NULL,
  retention_ms BIGINT NOT NULL,
  tombstone_ms BIGINT NOT NULL,
  attempts_max INT NOT NULL,
  takeover TINYINT NOT NULL,
  effect_timeout_ms BIGINT NOT NULL,
  UNIQUE KEY {#policies_numbers} (name, retention_ms, tombstone_ms, attempts_max, takeover, effect_timeout_ms)
) ${kept}`,

    // The record. Completion changes no indexed column.
    `CREATE TABLE IF NOT EXISTS {keys} (
  id VARBINARY(64) NOT NULL,
  region SMALLINT NOT NULL,
  operation INT NOT NULL,
  policy INT NOT NULL,
  state TINYINT NOT NULL COMMENT '1 running, 2 completed, 3 released, 4 uncertain, 5 quarantined',
  bind TINYINT NOT NULL COMMENT '1 transaction, 2 steps, 3 lease',
  principal VARBINARY(255) NOT NULL,
  actor VARBINARY(255) NOT NULL,
  fp_version INT NOT NULL,
  fp_key_id INT NOT NULL,
  fp VARBINARY(64) NOT NULL,
  created BIGINT NOT NULL,
  epoch INT NOT NULL,
  seq BIGINT NOT NULL,
  attempt_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempt INT NOT NULL,
  begun_attempt INT NOT NULL,
  lease_end BIGINT,
  since BIGINT COMMENT 'when a record that has ended (state 2 to 5) did',
  resolver_until BIGINT,
  outcome_day DATE,
  recovery_point VARCHAR(255),
  reason TEXT,
  PRIMARY KEY (id, region),
  KEY {#keys_policy} (policy, created),
  KEY {#keys_principal} (principal(8), created)
) ${kept}`,

    // Outcomes go by the day on which they may be forgotten. Not partitioned: here, adding or dropping a partition commits, waits for
    // every open transaction that read the table, and makes all later claims wait behind it. The seq of the token tells the lives
    // of one key apart.
    `CREATE TABLE IF NOT EXISTS {outcomes} (
  id VARBINARY(64) NOT NULL,
  region SMALLINT NOT NULL,
  seq BIGINT NOT NULL,
  day DATE NOT NULL,
  codec INT NOT NULL,
  checksum VARBINARY(64) NOT NULL,
  bytes LONGBLOB NOT NULL,
  PRIMARY KEY (id, region, seq, day),
  KEY {#outcomes_day} (day)
) ${kept}`,

    // What waits for its owner, a resolver or an operator. Never written while a transaction-bound record takes its usual way.
    `CREATE TABLE IF NOT EXISTS {open} (
  id VARBINARY(64) NOT NULL,
  region SMALLINT NOT NULL,
  state TINYINT NOT NULL,
  since BIGINT NOT NULL,
  lease_end BIGINT,
  PRIMARY KEY (id, region)
) ${kept}`,

    // The audit trail. A record that was claimed and completed in one transaction has one row for both; its claimed column says
    // when it was claimed.
    `CREATE TABLE IF NOT EXISTS {events} (
  number BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at BIGINT NOT NULL,
  id VARBINARY(64) NOT NULL,
  region SMALLINT NOT NULL,
  event VARCHAR(32) NOT NULL,
  epoch INT NOT NULL,
  seq BIGINT NOT NULL,
  attempt_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  claimed BIGINT,
  owner TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  KEY {#events_id} (id),
  KEY {#events_at} (at)
) ${kept}`,
    // Per-minute counts of refused duplicates.
    `CREATE TABLE IF NOT EXISTS {duplicates} (
  id VARBINARY(64) NOT NULL,
  region SMALLINT NOT NULL,
  at BIGINT NOT NULL,
  reason VARBINARY(255) NOT NULL,
  count INT NOT NULL,
  PRIMARY KEY (id, region, at, reason),
  KEY {#duplicates_at} (at)
) ${kept}`,
  ],
}
