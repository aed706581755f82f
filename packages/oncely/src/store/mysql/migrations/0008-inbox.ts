import { type Migration, nowMs, procedure } from './migration.ts'

const kept = 'ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC'
const isOwned = 'k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt'

/** Ends a claim without an outcome, inside the transaction that claimed: done or lost. Locks the record's row. */
const quarantine = procedure(
  'quarantine',
  `IN p_id VARBINARY(64), IN p_epoch INT, IN p_seq BIGINT, IN p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
  IN p_owner TEXT CHARACTER SET utf8mb4, IN p_trace TEXT CHARACTER SET utf8mb4, IN p_reason TEXT CHARACTER SET utf8mb4`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now BIGINT;
  DECLARE v_state TINYINT;
  SELECT i.region INTO v_region FROM {instance} i;
  SELECT k.state INTO v_state FROM {keys} k WHERE ${isOwned} FOR UPDATE;
  SET v_now = ${nowMs};
  IF v_state = 1 THEN
    UPDATE {keys} k SET state = 5, since = v_now, reason = p_reason, lease_end = NULL WHERE ${isOwned};
    INSERT INTO {open} (id, region, state, since, lease_end) VALUES (p_id, v_region, 5, v_now, NULL)
      ON DUPLICATE KEY UPDATE state = 5, since = VALUES(since);
    INSERT INTO {events} (at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason)
      VALUES (v_now, p_id, v_region, 'quarantined', p_epoch, p_seq, p_attempt, p_owner, p_trace, p_reason);
  END IF;
  SELECT IF(v_state IN (1, 5), 'done', 'lost') AS answer;
END`,
)

/** What consumers of messages keep; the columns are described with PostgreSQL's. Names are bytes: nothing folds their case. */
export const inboxes: Migration = {
  number: 8,
  name: 'inbox',
  breaking: false,
  statements: [
    ...quarantine,
    `CREATE TABLE IF NOT EXISTS {inbox} (
  id VARBINARY(64) NOT NULL PRIMARY KEY,
  consumer VARBINARY(1024) NOT NULL,
  hold_until BIGINT NOT NULL,
  touched BIGINT NOT NULL,
  started INT NOT NULL,
  finished INT NOT NULL,
  failed INT NOT NULL,
  alone INT NOT NULL,
  last_error TEXT NOT NULL
) ${kept}`,
    `CREATE TABLE IF NOT EXISTS {dead_letters} (
  number BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at BIGINT NOT NULL,
  attempts INT NOT NULL,
  id VARBINARY(64) NOT NULL,
  lane VARBINARY(64) NOT NULL,
  consumer VARBINARY(1024) NOT NULL,
  operation VARBINARY(1024) NOT NULL,
  reason VARCHAR(32) NOT NULL,
  error TEXT NOT NULL,
  message_id TEXT NOT NULL,
  envelope LONGTEXT NOT NULL,
  payload LONGBLOB NOT NULL,
  UNIQUE KEY {#dead_letters_id} (id),
  KEY {#dead_letters_consumer} (consumer(255), number)
) ${kept}`,
    `CREATE TABLE IF NOT EXISTS {parked} (
  position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at BIGINT NOT NULL,
  hold_until BIGINT NOT NULL,
  lease_end BIGINT NOT NULL,
  token BIGINT NOT NULL,
  id VARBINARY(64) NOT NULL,
  lane VARBINARY(64) NOT NULL,
  consumer VARBINARY(1024) NOT NULL,
  envelope LONGTEXT NOT NULL,
  payload LONGBLOB NOT NULL,
  UNIQUE KEY {#parked_id} (id),
  KEY {#parked_lane} (lane, position)
) ${kept}`,
    `CREATE TABLE IF NOT EXISTS {inbox_offsets} (
  consumer VARBINARY(255) NOT NULL,
  source VARBINARY(255) NOT NULL,
  \`partition\` INT NOT NULL,
  applied BIGINT NOT NULL,
  incarnation VARBINARY(255) NOT NULL,
  owner VARBINARY(255) NOT NULL,
  PRIMARY KEY (consumer, source, \`partition\`)
) ${kept}`,
    `CREATE TABLE IF NOT EXISTS {seen} (
  consumer VARBINARY(255) NOT NULL,
  id VARBINARY(64) NOT NULL,
  at BIGINT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (consumer, id),
  KEY {#seen_until} (until)
) ${kept}`,
    `CREATE TABLE IF NOT EXISTS {seen_counts} (
  consumer VARBINARY(255) NOT NULL PRIMARY KEY,
  duplicates BIGINT NOT NULL,
  late BIGINT NOT NULL
) ${kept}`,
  ],
}
