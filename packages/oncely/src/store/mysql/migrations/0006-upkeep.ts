import { type Migration, nowMs, procedure } from './migration.ts'

/**
 * Background work: removal in batches, each policy to its own horizon, never waiting for a row that somebody holds. One row at a
 * time is deleted, by its key: a range would lock what it passes over.
 */
const sweep = procedure(
  'sweep',
  'IN p_batch INT',
  `BEGIN
  DECLARE v_now BIGINT DEFAULT ${nowMs};
  DECLARE v_removed INT DEFAULT 0;
  DECLARE v_ended TINYINT DEFAULT 0;
  DECLARE v_policy INT;
  DECLARE v_id VARBINARY(64);
  DECLARE v_region SMALLINT;
  DECLARE v_retention, v_tombstone BIGINT;
  DECLARE found CURSOR FOR SELECT p.id, p.retention_ms, p.tombstone_ms FROM {policies} p;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_ended = 1;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  ROLLBACK;
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  OPEN found;
  policies: LOOP
    FETCH found INTO v_policy, v_retention, v_tombstone;
    IF v_ended OR v_removed >= p_batch THEN
      LEAVE policies;
    END IF;
    BEGIN
      DECLARE v_left INT DEFAULT p_batch - v_removed;
      -- No record ends before it is created, so the index on (policy, created) bounds the search.
      DECLARE aged CURSOR FOR SELECT k.id, k.region FROM {keys} k
        WHERE k.policy = v_policy AND k.created <= v_now - v_tombstone
          AND (k.state = 2 AND k.since <= v_now - GREATEST(v_retention, v_tombstone) OR k.state = 3 AND k.since <= v_now - v_tombstone)
        ORDER BY k.created LIMIT v_left FOR UPDATE SKIP LOCKED;
      OPEN aged;
      rows_of_one: LOOP
        FETCH aged INTO v_id, v_region;
        IF v_ended THEN
          LEAVE rows_of_one;
        END IF;
        DELETE FROM {keys} WHERE id = v_id AND region = v_region;
        SET v_removed = v_removed + ROW_COUNT();
      END LOOP;
      CLOSE aged;
    END;
    SET v_ended = 0;
  END LOOP;
  CLOSE found;
  COMMIT;
  SELECT v_removed AS answer;
END`,
)

/** Removes outcomes and lines of the trail whose day has passed, a batch of each at a time; -1 when another call is at it. */
const upkeep = procedure(
  'upkeep',
  'IN p_trail_days INT, IN p_batch INT',
  `main: BEGIN
  DECLARE v_trail BIGINT DEFAULT ${nowMs} - p_trail_days * 86400000;
  DECLARE v_lock VARCHAR(64) DEFAULT CONCAT('oncely upkeep ', SHA1(CONCAT(DATABASE(), '.', {=keys})));
  DECLARE v_removed INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    ROLLBACK;
    DO RELEASE_LOCK(v_lock);
    RESIGNAL;
  END;
  ROLLBACK;
  IF COALESCE(GET_LOCK(v_lock, 0), 0) = 0 THEN
    SELECT -1 AS answer;
    LEAVE main;
  END IF;
  DELETE FROM {outcomes} WHERE day < UTC_DATE() ORDER BY day LIMIT p_batch;
  SET v_removed = ROW_COUNT();
  COMMIT;
  DELETE FROM {events} WHERE at < v_trail ORDER BY at LIMIT p_batch;
  SET v_removed = v_removed + ROW_COUNT();
  COMMIT;
  DELETE FROM {duplicates} WHERE at < v_trail ORDER BY at LIMIT p_batch;
  SET v_removed = v_removed + ROW_COUNT();
  COMMIT;
  DO RELEASE_LOCK(v_lock);
  SELECT v_removed AS answer;
END`,
)

/** Answers records, running, uncertain, quarantined, completed and bytes. Counts are exact, the size is the server's estimate. */
const stats = procedure(
  'stats',
  '',
  `BEGIN
  SELECT CONCAT_WS(' ', COUNT(*), COALESCE(SUM(k.state = 1), 0), COALESCE(SUM(k.state = 4), 0), COALESCE(SUM(k.state = 5), 0),
      COALESCE(SUM(k.state = 2), 0),
      (SELECT COALESCE(SUM(t.data_length + t.index_length), 0) FROM information_schema.tables t
        WHERE t.table_schema = DATABASE() AND t.table_name IN ({=keys}, {=open}, {=outcomes}, {=events}, {=duplicates}))) AS answer
    FROM {keys} k;
END`,
)

export const upkeeping: Migration = {
  number: 6,
  name: 'upkeep',
  breaking: true,
  statements: [...sweep, ...upkeep, ...stats],
}
