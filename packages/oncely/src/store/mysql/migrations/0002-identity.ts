import { type Migration, procedure } from './migration.ts'

/**
 * Raises the epoch when the server was started, promoted or restored since the epoch was last settled, and renews the instance id
 * when another server answers than before, as the database may have lost its newest records then. Two calls at once raise it twice
 * at most, which harms nobody.
 */
const settleEpoch = procedure(
  'settle_epoch',
  '',
  `BEGIN
  DECLARE v_here VARCHAR(255) DEFAULT LEFT(CONCAT_WS('/', @@hostname, @@port, @@server_id, @@datadir), 255);
  DECLARE v_origin VARCHAR(255);
  DECLARE v_epoch INT;
  DECLARE v_same_start TINYINT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  ROLLBACK;
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT i.epoch, i.origin INTO v_epoch, v_origin FROM {instance} i FOR UPDATE;
  SELECT COUNT(*) INTO v_same_start FROM {start} s WHERE s.epoch = v_epoch;
  IF v_same_start = 0 OR v_origin <> v_here THEN
    UPDATE {instance} i SET i.epoch = v_epoch + 1, i.origin = v_here,
      i.instance = IF(v_origin <> '' AND v_origin <> v_here, UUID(), i.instance);
    COMMIT;
    INSERT INTO {start} (epoch) VALUES (v_epoch + 1) ON DUPLICATE KEY UPDATE epoch = VALUES(epoch);
  END IF;
  COMMIT;
END`,
)

/** Answers the numbers of the operation and of the policy. */
const register = procedure(
  'register',
  `IN p_operation VARBINARY(1024), IN p_name VARBINARY(1024), IN p_retention_ms BIGINT, IN p_tombstone_ms BIGINT, IN p_attempts_max INT,
  IN p_takeover TINYINT, IN p_effect_timeout_ms BIGINT`,
  `BEGIN
  DECLARE v_operation, v_policy INT;
  DECLARE CONTINUE HANDLER FOR 1062 BEGIN END;
  ROLLBACK;
  WHILE v_operation IS NULL DO
    SELECT n.id INTO v_operation FROM {operations} n WHERE n.name = p_operation;
    IF v_operation IS NULL THEN
      INSERT INTO {operations} (name) VALUES (p_operation);
    END IF;
    COMMIT;
  END WHILE;
  WHILE v_policy IS NULL DO
    SELECT p.id INTO v_policy FROM {policies} p
      WHERE p.name = p_name AND p.retention_ms = p_retention_ms AND p.tombstone_ms = p_tombstone_ms AND p.attempts_max = p_attempts_max
        AND p.takeover = p_takeover AND p.effect_timeout_ms = p_effect_timeout_ms;
    IF v_policy IS NULL THEN
      INSERT INTO {policies} (name, retention_ms, tombstone_ms, attempts_max, takeover, effect_timeout_ms)
        VALUES (p_name, p_retention_ms, p_tombstone_ms, p_attempts_max, p_takeover, p_effect_timeout_ms);
    END IF;
    COMMIT;
  END WHILE;
  SELECT CONCAT(v_operation, ' ', v_policy) AS answer;
END`,
)

export const identity: Migration = { number: 2, name: 'identity', breaking: true, statements: [...settleEpoch, ...register] }
