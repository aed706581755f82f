import { given, request } from './claim-parameters.ts'
import { type Migration, nowMs, procedure } from './migration.ts'

/** MySQL has no patience below one second, and knows NOWAIT in procedures; MariaDB is the other way round. */
const impatient = "SET SESSION innodb_lock_wait_timeout = IF(VERSION() LIKE '%MariaDB%', 0, 1);"

/** The claim inside a transaction. One that we opened gets a savepoint, by which its completion tells that it is still the same. */
const claimInside = procedure(
  'claim_inside',
  `IN p_within TINYINT, IN p_committed TINYINT, IN p_look TINYINT, IN p_instance CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
  ${request}`,
  `BEGIN
  DECLARE v_line LONGTEXT CHARACTER SET utf8mb4;
  -- The session's, which the user's next statement may ask for.
  DECLARE v_last BIGINT UNSIGNED DEFAULT LAST_INSERT_ID();
  DECLARE v_wait BIGINT DEFAULT @@SESSION.innodb_lock_wait_timeout;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    SET SESSION innodb_lock_wait_timeout = v_wait;
    RESIGNAL;
  END;
  ${impatient}
  CALL {claim}(p_within, p_committed, p_look, p_instance, ${given}, v_line);
  SET SESSION innodb_lock_wait_timeout = v_wait, SESSION last_insert_id = v_last;
  IF NOT p_within THEN
    SAVEPOINT oncely_open;
  END IF;
  SELECT v_line AS answer;
END`,
)

/**
 * What runs under a key whose row is held by an open transaction: an uncommitted read, which is used to refuse only. Never inside a
 * transaction. A wrong mismatch would be final for a client, so only a row that runs, or has just been completed, is proof of
 * another payload: such a row becomes nobody else's before it is released or has aged, which changes its state first.
 * Answers a line as the claim does, or again.
 */
const peek = procedure(
  'peek',
  `IN p_id VARBINARY(64), IN p_version INT, IN p_keyed LONGTEXT CHARACTER SET ascii,
  IN p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin, OUT a_line LONGTEXT CHARACTER SET utf8mb4`,
  `main: BEGIN
  DECLARE v_found TINYINT DEFAULT 0;
  DECLARE v_now, r_since, r_lease_end, q_floor BIGINT;
  DECLARE v_known VARCHAR(160) CHARACTER SET ascii;
  DECLARE r_state, r_bind TINYINT;
  DECLARE r_version, r_key_id INT;
  DECLARE r_fp VARBINARY(64);
  DECLARE r_attempt_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin;
  ROLLBACK;
  SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;
  START TRANSACTION;
  SELECT 1, k.state, k.bind, k.fp_version, k.fp_key_id, k.fp, k.attempt_id, k.since, k.lease_end, GREATEST(p.retention_ms, p.tombstone_ms)
    INTO v_found, r_state, r_bind, r_version, r_key_id, r_fp, r_attempt_id, r_since, r_lease_end, q_floor
    FROM {instance} i JOIN {keys} k ON k.id = p_id AND k.region = i.region JOIN {policies} p ON p.id = k.policy;
  COMMIT;
  SET v_now = ${nowMs};
  IF NOT v_found OR r_state > 2 OR r_state = 2 AND v_now - r_since >= q_floor THEN
    SET a_line = 'again';
    LEAVE main;
  END IF;
  SET v_known = CONCAT(',', r_key_id, ':');
  IF r_version <> p_version OR LOCATE(v_known, p_keyed) = 0 THEN
    SET a_line = 'in-progress f 1000';
  ELSEIF LOCATE(CONCAT(v_known, LOWER(HEX(r_fp)), ','), p_keyed) = 0 THEN
    SET a_line = 'mismatch f';
  ELSEIF r_state = 2 OR r_attempt_id = p_attempt THEN
    SET a_line = 'again';
  ELSEIF r_bind = 1 THEN
    SET a_line = 'in-progress f 1000';
  ELSEIF r_lease_end > v_now THEN
    SET a_line = CONCAT('in-progress f ', r_lease_end - v_now);
  ELSE
    SET a_line = 'again';
  END IF;
END`,
)

/** The same for a transaction that was rolled back. */
const peekAlone = procedure(
  'peek_alone',
  `IN p_id VARBINARY(64), IN p_version INT, IN p_keyed LONGTEXT CHARACTER SET ascii, IN p_attempt CHAR(36) CHARACTER SET ascii`,
  `BEGIN
  DECLARE v_line LONGTEXT CHARACTER SET utf8mb4;
  CALL {peek}(p_id, p_version, p_keyed, p_attempt, v_line);
  SELECT IF(v_line = 'again', 'in-progress f 1000', v_line) AS answer;
END`,
)

/**
 * A claim committed by itself, under READ COMMITTED. A row that somebody holds for a commit's time is tried again for about 0.2 s;
 * somebody's open transaction is told at once.
 */
const claimAlone = procedure(
  'claim_alone',
  request,
  `BEGIN
  DECLARE v_line LONGTEXT CHARACTER SET utf8mb4;
  DECLARE v_tries INT DEFAULT 0;
  DECLARE v_same_start TINYINT DEFAULT 0;
  DECLARE v_wait BIGINT DEFAULT @@SESSION.innodb_lock_wait_timeout;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    SET SESSION innodb_lock_wait_timeout = v_wait;
    ROLLBACK;
    RESIGNAL;
  END;
  SELECT COUNT(*) INTO v_same_start FROM {instance} i JOIN {start} s ON s.epoch = i.epoch;
  IF NOT v_same_start THEN
    CALL {settle_epoch}();
  END IF;
  attempt: LOOP
    ROLLBACK;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;
    ${impatient}
    CALL {claim}(0, 1, 1, NULL, ${given}, v_line);
    SET SESSION innodb_lock_wait_timeout = v_wait;
    IF v_line <> 'busy f' THEN
      COMMIT;
      LEAVE attempt;
    END IF;
    ROLLBACK;
    CALL {peek}(p_id, p_version, p_keyed, p_attempt, v_line);
    IF v_line <> 'again' THEN
      LEAVE attempt;
    END IF;
    SET v_tries = v_tries + 1;
    IF v_tries >= 40 THEN
      SET v_line = 'in-progress f 1000';
      LEAVE attempt;
    END IF;
    DO SLEEP(0.005);
  END LOOP;
  SELECT v_line AS answer;
END`,
)

export const frontDoor: Migration = {
  number: 4,
  name: 'front-door',
  breaking: true,
  statements: [...claimInside, ...peek, ...peekAlone, ...claimAlone],
}
