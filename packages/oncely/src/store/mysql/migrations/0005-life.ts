import { dayOf, type Migration, nowMs, procedure } from './migration.ts'

/**
 * What follows a claim. Every write compares token and attempt id, and changes nothing when they are not the newest. One round
 * trip each; the first lock is the record's row, and the wait for it is the session's innodb_lock_wait_timeout. All but `complete`
 * commit by themselves, under READ COMMITTED.
 */

const begin = `DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  ROLLBACK;
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT i.region INTO v_region FROM {instance} i;`

const owned = `IN p_id VARBINARY(64), IN p_epoch INT, IN p_seq BIGINT, IN p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin`
/** The whole primary key: half of one locks the gap behind the row under REPEATABLE READ, and so the neighbours' insertions. */
const isOwned = 'k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt'
const outcome = 'IN p_codec INT, IN p_checksum VARBINARY(64), IN p_bytes LONGBLOB'
const told = 'IN p_owner TEXT CHARACTER SET utf8mb4, IN p_trace TEXT CHARACTER SET utf8mb4'

const note = (event: string, owner: string, trace: string, reason: string): string =>
  `INSERT INTO {events} (at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason)
      VALUES (v_now, p_id, v_region, ${event}, p_epoch, p_seq, p_attempt, ${owner}, ${trace}, ${reason});`

/**
 * Answers done, lost or conflict; alone for done in another transaction than the one we opened (`p_opened`), which the handler had
 * ended itself. In a transaction of the user's (`p_strict`) lost and conflict raise, so that a fenced transaction can never commit.
 */
const complete = procedure(
  'complete',
  `IN p_strict TINYINT, IN p_opened TINYINT, ${owned}, ${outcome}, ${told}, OUT a_word VARCHAR(16)`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now, v_created, v_retention BIGINT;
  DECLARE v_bind, v_state TINYINT;
  DECLARE v_policy INT;
  DECLARE v_day DATE;
  DECLARE v_same, v_alone, v_left TINYINT DEFAULT 0;
  IF p_opened THEN
    BEGIN
      DECLARE CONTINUE HANDLER FOR 1305 SET v_alone = 1;
      RELEASE SAVEPOINT oncely_open;
    END;
  END IF;
  SELECT i.region INTO v_region FROM {instance} i;
  SELECT k.state, k.bind, k.created, k.policy, k.outcome_day INTO v_state, v_bind, v_created, v_policy, v_day
    FROM {keys} k WHERE ${isOwned} FOR UPDATE;
  SET v_now = ${nowMs}, a_word = 'lost';
  IF v_state IN (1, 4) THEN
    SELECT p.retention_ms INTO v_retention FROM {policies} p WHERE p.id = v_policy LOCK IN SHARE MODE;
    SET v_day = ${dayOf('v_now + v_retention')};
    UPDATE {keys} k SET state = 2, since = v_now, outcome_day = v_day, lease_end = NULL, resolver_until = NULL, reason = NULL WHERE ${isOwned};
    INSERT INTO {outcomes} (day, id, region, seq, codec, checksum, bytes) VALUES (v_day, p_id, v_region, p_seq, p_codec, p_checksum, p_bytes);
    IF v_state = 1 AND v_bind = 1 THEN
      -- One row of the trail for claim and completion.
      INSERT INTO {events} (at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason, claimed)
        VALUES (v_now, p_id, v_region, 'completed', p_epoch, p_seq, p_attempt, p_owner, p_trace, '', v_created);
    ELSE
      DELETE FROM {open} WHERE id = p_id AND region = v_region;
      ${note("'completed'", 'p_owner', 'p_trace', "''")}
    END IF;
    SET a_word = IF(v_alone, 'alone', 'done');
  ELSEIF v_state = 2 THEN
    SELECT COUNT(*) INTO v_same FROM {outcomes} o
      WHERE o.id = p_id AND o.region = v_region AND o.seq = p_seq AND o.day = v_day AND o.codec = p_codec AND o.bytes = p_bytes LOCK IN SHARE MODE;
    SET a_word = IF(v_same, 'done', 'conflict');
  END IF;
  IF p_strict AND a_word IN ('lost', 'conflict') THEN
    SELECT COUNT(*) INTO v_left FROM {keys} k WHERE k.id = p_id AND k.region = v_region LOCK IN SHARE MODE;
    IF v_left = 0 THEN
      SIGNAL SQLSTATE 'ONC03' SET MESSAGE_TEXT = 'the record that this transaction claimed is gone';
    ELSEIF a_word = 'conflict' THEN
      SIGNAL SQLSTATE 'ONC04' SET MESSAGE_TEXT = 'this attempt was completed before with another outcome';
    END IF;
    SIGNAL SQLSTATE 'ONC01' SET MESSAGE_TEXT = 'this attempt is not the newest of its record any more';
  END IF;
END`,
)

/** The completion inside a transaction: one that we opened, or the user's. */
const completeInside = procedure(
  'complete_inside',
  `IN p_opened TINYINT, ${owned}, ${outcome}, ${told}`,
  `BEGIN
  DECLARE v_word VARCHAR(16);
  DECLARE v_last BIGINT UNSIGNED DEFAULT LAST_INSERT_ID();
  CALL {complete}(1, p_opened, p_id, p_epoch, p_seq, p_attempt, p_codec, p_checksum, p_bytes, p_owner, p_trace, v_word);
  SET SESSION last_insert_id = v_last;
  SELECT v_word AS answer;
END`,
)

const completeAlone = procedure(
  'complete_alone',
  `${owned}, ${outcome}, ${told}`,
  `BEGIN
  DECLARE v_word VARCHAR(16);
  DECLARE v_region SMALLINT;
  ${begin}
  CALL {complete}(0, 0, p_id, p_epoch, p_seq, p_attempt, p_codec, p_checksum, p_bytes, p_owner, p_trace, v_word);
  COMMIT;
  SELECT v_word AS answer;
END`,
)

const renew = procedure(
  'renew',
  `${owned}, IN p_lease_ms BIGINT, IN p_begun TINYINT`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now BIGINT;
  DECLARE v_begun INT;
  ${begin}
  SELECT k.begun_attempt INTO v_begun FROM {keys} k WHERE ${isOwned} AND k.state = 1 FOR UPDATE;
  SET v_now = ${nowMs};
  IF v_begun IS NOT NULL THEN
    UPDATE {keys} k SET k.lease_end = v_now + p_lease_ms, k.begun_attempt = IF(p_begun AND k.begun_attempt = 0, k.attempt, k.begun_attempt)
      WHERE ${isOwned};
    IF p_begun AND v_begun = 0 THEN
      ${note("'begun'", "''", "''", "''")}
    END IF;
  END IF;
  COMMIT;
  SELECT IF(v_begun IS NULL, 'lost', 'done') AS answer;
END`,
)

const release = procedure(
  'release',
  `${owned}, IN p_declared TINYINT, IN p_reason TEXT CHARACTER SET utf8mb4`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now BIGINT;
  DECLARE v_state TINYINT;
  DECLARE v_attempt, v_begun INT;
  DECLARE v_word VARCHAR(16) DEFAULT 'lost';
  ${begin}
  SELECT k.state, k.attempt, k.begun_attempt INTO v_state, v_attempt, v_begun FROM {keys} k WHERE ${isOwned} FOR UPDATE;
  SET v_now = ${nowMs};
  IF v_state = 1 AND (v_begun = 0 OR v_begun = v_attempt AND p_declared) THEN
    UPDATE {keys} k SET state = 3, since = v_now, begun_attempt = 0, lease_end = NULL WHERE ${isOwned};
    DELETE FROM {open} WHERE id = p_id AND region = v_region;
    ${note("'released'", "''", "''", 'p_reason')}
    SET v_word = 'done';
  ELSEIF v_state = 1 THEN
    SET v_word = 'begun';
  ELSEIF v_state = 3 THEN
    SET v_word = 'done';
  END IF;
  COMMIT;
  SELECT v_word AS answer;
END`,
)

/** Seals inside whatever transaction is open. */
const sealing = `UPDATE {keys} k SET state = 4, since = v_now, reason = p_reason, resolver_until = 0 WHERE ${isOwned};
    INSERT INTO {open} (id, region, state, since, lease_end) VALUES (p_id, v_region, 4, v_now, v_lease_end)
      ON DUPLICATE KEY UPDATE state = 4, since = VALUES(since);
    ${note("'uncertain'", 'p_owner', 'p_trace', 'p_reason')}`

const seal = procedure(
  'seal',
  `${owned}, ${told}, IN p_reason TEXT CHARACTER SET utf8mb4`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now, v_lease_end BIGINT;
  DECLARE v_state TINYINT;
  ${begin}
  SELECT k.state, k.lease_end INTO v_state, v_lease_end FROM {keys} k WHERE ${isOwned} FOR UPDATE;
  SET v_now = ${nowMs};
  IF v_state = 1 THEN
    ${sealing}
  END IF;
  COMMIT;
  SELECT IF(v_state IN (1, 4), 'done', 'lost') AS answer;
END`,
)

/** Compare-and-set on (state, token) by a resolver or an operator; `p_codec` is NULL for "not applied". Answers resolved, changed, or early with the time to wait. */
const resolve = procedure(
  'resolve',
  `IN p_id VARBINARY(64), IN p_state TINYINT, IN p_epoch INT, IN p_seq BIGINT, ${outcome},
  IN p_by TEXT CHARACTER SET utf8mb4, IN p_reason TEXT CHARACTER SET utf8mb4`,
  `main: BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now, v_lease_end, v_retention, v_effect BIGINT;
  DECLARE v_policy, v_attempt INT;
  DECLARE p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin;
  ${begin}
  SELECT k.lease_end, k.policy, k.attempt, k.attempt_id INTO v_lease_end, v_policy, v_attempt, p_attempt
    FROM {keys} k WHERE k.id = p_id AND k.region = v_region AND k.state = p_state AND k.epoch = p_epoch AND k.seq = p_seq FOR UPDATE;
  IF v_policy IS NULL THEN
    COMMIT;
    SELECT 'changed' AS answer;
    LEAVE main;
  END IF;
  SELECT p.retention_ms, p.effect_timeout_ms INTO v_retention, v_effect FROM {policies} p WHERE p.id = v_policy;
  SET v_now = ${nowMs};
  IF p_codec IS NOT NULL THEN
    UPDATE {keys} k SET state = 2, since = v_now, outcome_day = ${dayOf('v_now + v_retention')}, lease_end = NULL, resolver_until = NULL, reason = NULL
      WHERE ${isOwned};
    INSERT INTO {outcomes} (day, id, region, seq, codec, checksum, bytes)
      VALUES (${dayOf('v_now + v_retention')}, p_id, v_region, p_seq, p_codec, p_checksum, p_bytes);
  ELSEIF p_state = 4 AND v_now < v_lease_end + v_effect THEN
    COMMIT;
    SELECT CONCAT('early ', v_lease_end + v_effect - v_now) AS answer;
    LEAVE main;
  ELSE
    UPDATE {keys} k SET state = 3, since = v_now, begun_attempt = 0, lease_end = NULL, resolver_until = NULL, reason = NULL,
        attempt = IF(p_state = 5, 0, v_attempt)
      WHERE ${isOwned};
  END IF;
  DELETE FROM {open} WHERE id = p_id AND region = v_region;
  ${note("IF(p_codec IS NULL, 'released', 'completed')", 'p_by', "''", 'p_reason')}
  COMMIT;
  SELECT 'resolved' AS answer;
END`,
)

const forget = procedure(
  'forget',
  `IN p_id VARBINARY(64), IN p_reason TEXT CHARACTER SET utf8mb4`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now, p_seq BIGINT;
  DECLARE p_epoch INT;
  DECLARE p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin;
  ${begin}
  SELECT k.epoch, k.seq, k.attempt_id INTO p_epoch, p_seq, p_attempt FROM {keys} k WHERE k.id = p_id AND k.region = v_region FOR UPDATE;
  SET v_now = ${nowMs};
  IF p_seq IS NOT NULL THEN
    DELETE FROM {keys} WHERE id = p_id AND region = v_region;
    DELETE FROM {outcomes} WHERE id = p_id AND region = v_region;
    DELETE FROM {open} WHERE id = p_id AND region = v_region;
    ${note("'forgotten'", "''", "''", 'p_reason')}
  END IF;
  COMMIT;
  SELECT IF(p_seq IS NULL, 'absent', 'forgotten') AS answer;
END`,
)

/**
 * After a roll-back that the handler asked for: absent, or escaped when the handler had committed by itself. Then the effect stands
 * and its outcome is unknown, so the record is sealed in the same call.
 */
const afterRollback = procedure(
  'after_rollback',
  `IN p_id VARBINARY(64), IN p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin, ${told}, IN p_reason TEXT CHARACTER SET utf8mb4`,
  `BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_now, v_lease_end, p_seq BIGINT;
  DECLARE p_epoch INT;
  DECLARE v_state TINYINT;
  ${begin}
  SELECT k.state, k.lease_end, k.epoch, k.seq INTO v_state, v_lease_end, p_epoch, p_seq
    FROM {keys} k WHERE k.id = p_id AND k.region = v_region AND k.attempt_id = p_attempt FOR UPDATE;
  SET v_now = ${nowMs};
  IF v_state = 1 THEN
    ${sealing}
  END IF;
  COMMIT;
  SELECT IF(v_state IS NULL, 'absent', 'escaped') AS answer;
END`,
)

/**
 * After a COMMIT whose answer was lost: committed, absent (it never will be), or unknown. The lost transaction holds its row until
 * it has ended, so a row that can be locked tells the end of it; another server than the one that was asked to commit tells nothing.
 */
const afterCommit = procedure(
  'after_commit',
  `IN p_id VARBINARY(64), IN p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin`,
  `BEGIN
  DECLARE v_wait BIGINT DEFAULT @@SESSION.innodb_lock_wait_timeout;
  DECLARE v_region SMALLINT;
  DECLARE v_same_server, v_busy TINYINT DEFAULT 0;
  DECLARE v_tries INT DEFAULT 0;
  DECLARE v_state TINYINT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    SET SESSION innodb_lock_wait_timeout = v_wait;
    ROLLBACK;
    RESIGNAL;
  END;
  look: LOOP
    ROLLBACK;
    SET SESSION innodb_lock_wait_timeout = IF(VERSION() LIKE '%MariaDB%', 0, 1);
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;
    SET v_busy = 0, v_state = NULL;
    SELECT i.region INTO v_region FROM {instance} i;
    BEGIN
      DECLARE CONTINUE HANDLER FOR 1205, 3572 SET v_busy = 1;
      SELECT IF(k.attempt_id = p_attempt, k.state, NULL) INTO v_state FROM {keys} k WHERE k.id = p_id AND k.region = v_region FOR UPDATE /*!80000 NOWAIT */;
    END;
    SET SESSION innodb_lock_wait_timeout = v_wait;
    COMMIT;
    SET v_tries = v_tries + 1;
    IF NOT v_busy OR v_tries >= 50 THEN
      LEAVE look;
    END IF;
    DO SLEEP(0.01);
  END LOOP;
  SELECT COUNT(*) INTO v_same_server FROM {instance} i
    WHERE i.origin = LEFT(CONCAT_WS('/', @@hostname, @@port, @@server_id, @@datadir), 255);
  SELECT CASE WHEN v_busy THEN 'unknown' WHEN v_state = 2 THEN 'committed' WHEN v_state IS NULL AND v_same_server THEN 'absent' ELSE 'unknown' END AS answer;
END`,
)

export const life: Migration = {
  number: 5,
  name: 'life',
  breaking: true,
  statements: [
    ...complete,
    ...completeInside,
    ...completeAlone,
    ...renew,
    ...release,
    ...seal,
    ...resolve,
    ...forget,
    ...afterRollback,
    ...afterCommit,
  ],
}
