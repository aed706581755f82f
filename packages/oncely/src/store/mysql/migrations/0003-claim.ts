import { request } from './claim-parameters.ts'
import { type Migration, nowMs, procedure } from './migration.ts'

const columns = `1, k.operation, k.policy, k.state, k.bind, k.actor, k.fp_version, k.fp_key_id, k.fp, k.created, k.epoch, k.seq, k.attempt_id,
        k.attempt, k.begun_attempt, k.lease_end, k.since, k.resolver_until, k.outcome_day, k.reason
      INTO v_found, r_operation, r_policy, r_state, r_bind, r_actor, r_version, r_key_id, r_fp, r_created, r_epoch, r_seq, r_attempt_id,
        r_attempt, r_begun, r_lease_end, r_since, r_resolver_until, r_day, r_reason
      FROM {keys} k WHERE k.id = p_id AND k.region = v_region`

const policy = `p.retention_ms, p.tombstone_ms, p.attempts_max, p.takeover INTO q_retention, q_tombstone, q_attempts, q_takeover
        FROM {policies} p WHERE p.id = r_policy`

/**
 * The claim, for leases and for transactions, inside whatever transaction is open; every branch is one of `claim` in core's
 * transition. Under READ COMMITTED each statement sees anew; under the stricter levels a locking read does.
 *
 * Locks: none when the committed row decides. To write anything the row is locked, read again and decided again. Nothing waits: a
 * row that somebody holds is given up at once, as is a key that somebody inserts.
 * The caller has set the session's patience, which is put back by it. A missing row is never locked before its insertion, as a gap
 * lock held by two claims of neighbouring keys is a deadlock: p_look is 1 under READ COMMITTED, where such a look takes none, 2
 * under SERIALIZABLE, where even a plain read would (the insertion comes first), else 0.
 *
 * Answers one line of words, free text and bytes in hexadecimal:
 *   acquired WROTE epoch seq attempt begun takeover created
 *   replay | expired | uncertain | quarantined WROTE resolve state epoch seq attempt-id attempt created since .actor .operation .reason
 *     and after replay, where the outcome is there: codec .checksum .bytes
 *   in-progress WROTE retry-after | mismatch WROTE | unreadable WROTE reason
 *   busy f: another transaction holds the row or is inserting it; 'peek' may tell more once this one is rolled back
 *   bound f attempt-id: a running record bound to a transaction, ours or a committed one; asked from outside, then said in p_committed
 * WROTE is t when the answer must be committed.
 */
const claim = procedure(
  'claim',
  `IN p_within TINYINT, IN p_committed TINYINT, IN p_look TINYINT, IN p_instance CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
  ${request}, OUT a_line LONGTEXT CHARACTER SET utf8mb4`,
  `main: BEGIN
  DECLARE v_region SMALLINT;
  DECLARE v_epoch INT;
  DECLARE v_instance CHAR(36) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_now BIGINT;
  DECLARE v_step VARCHAR(16);
  DECLARE v_word VARCHAR(16);
  DECLARE v_reason TEXT CHARACTER SET utf8mb4;
  DECLARE v_known VARCHAR(160) CHARACTER SET ascii;
  DECLARE v_found, v_locking, v_taken, v_busy, v_resolve, v_wrote, v_takeover TINYINT DEFAULT 0;
  DECLARE v_seq, v_created BIGINT;
  DECLARE v_attempt INT DEFAULT 1;
  DECLARE v_begun INT;
  DECLARE r_operation, r_policy, r_version, r_key_id, r_epoch, r_attempt, r_begun INT;
  DECLARE r_state, r_bind TINYINT;
  DECLARE r_actor VARBINARY(255);
  DECLARE r_fp VARBINARY(64);
  DECLARE r_created, r_seq, r_lease_end, r_since, r_resolver_until BIGINT;
  DECLARE r_attempt_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE r_day DATE;
  DECLARE r_reason TEXT CHARACTER SET utf8mb4;
  DECLARE q_retention, q_tombstone BIGINT;
  DECLARE q_attempts INT;
  DECLARE q_takeover TINYINT;

  IF p_within THEN
    -- Fails outside of a transaction, where every statement below would commit by itself.
    SAVEPOINT oncely_probe;
    RELEASE SAVEPOINT oncely_probe;
  END IF;
  SELECT i.region, i.epoch, i.instance INTO v_region, v_epoch, v_instance FROM {instance} i;
  IF p_instance <> v_instance THEN
    SIGNAL SQLSTATE 'ONC02' SET MESSAGE_TEXT = 'this transaction belongs to another database than the store';
  END IF;

  look: LOOP
    SET v_found = 0, v_step = NULL;
    BEGIN
      -- Under SERIALIZABLE a plain read locks, too.
      DECLARE CONTINUE HANDLER FOR 1205, 3572 SET v_busy = 1;
      IF v_locking THEN
        SELECT ${columns} FOR UPDATE /*!80000 NOWAIT */;
      ELSEIF p_look <> 2 OR v_seq IS NOT NULL THEN
        SELECT ${columns};
      END IF;
    END;
    IF v_busy THEN
      SET a_line = 'busy f';
      LEAVE main;
    END IF;

    IF NOT v_found THEN
      SET v_step = 'insert';
      SET v_now = ${nowMs};
    ELSE
      IF v_locking THEN
        SELECT ${policy} LOCK IN SHARE MODE;
      ELSE
        SELECT ${policy};
      END IF;
      SET v_now = ${nowMs};
      IF r_state = 2 AND v_now - r_since >= GREATEST(q_retention, q_tombstone) THEN
        SET v_step = 'reuse';
      ELSEIF r_state = 3 AND r_attempt_id = p_attempt THEN
        SET a_line = 'in-progress f 1';
        LEAVE main;
      ELSEIF r_state = 3 THEN
        SET v_step = 'again';
      ELSE
        SET v_known = CONCAT(',', r_key_id, ':');
        IF r_version <> p_version THEN
          SET a_line = 'unreadable f fingerprint-version';
          LEAVE main;
        ELSEIF LOCATE(v_known, p_keyed) = 0 THEN
          SET a_line = 'unreadable f fingerprint-secret';
          LEAVE main;
        ELSEIF LOCATE(CONCAT(v_known, LOWER(HEX(r_fp)), ','), p_keyed) = 0 THEN
          SET a_line = 'mismatch f';
          LEAVE main;
        END IF;
        CASE r_state
          WHEN 1 THEN
            IF r_bind = 1 AND p_within AND NOT p_committed THEN
              SET a_line = CONCAT('bound f ', r_attempt_id);
              LEAVE main;
            ELSEIF r_bind = 1 THEN
              SET v_step = 'seal', v_reason = 'the transaction was committed without completing its record';
            ELSEIF r_attempt_id = p_attempt THEN
              SET a_line = CONCAT_WS(' ', 'acquired f', r_epoch, r_seq, r_attempt, r_begun, 'f', r_created);
              LEAVE main;
            ELSEIF v_now < r_lease_end THEN
              SET a_line = CONCAT('in-progress f ', r_lease_end - v_now);
              LEAVE main;
            ELSEIF r_begun = 0 OR p_rerunnable OR q_takeover THEN
              SET v_step = 'again';
            ELSE
              SET v_step = 'seal', v_reason = 'the lease ended after effects may have started';
            END IF;
          WHEN 2 THEN
            SET v_word = IF(v_now - r_since < q_retention, 'replay', 'expired');
            LEAVE look;
          WHEN 4 THEN
            SET v_reason = r_reason;
            IF v_now - r_since >= q_tombstone THEN
              SET v_word = 'expired';
              LEAVE look;
            ELSEIF p_resolver_ms <= 0 OR v_now < r_resolver_until THEN
              SET v_word = 'uncertain';
              LEAVE look;
            END IF;
            SET v_step = 'lend';
          ELSE
            SET v_word = 'quarantined', v_reason = r_reason;
            LEAVE look;
        END CASE;
      END IF;
      IF v_step = 'again' AND r_attempt >= q_attempts THEN
        SET v_step = 'quarantine';
      END IF;
    END IF;

    IF NOT v_locking AND (v_step <> 'insert' OR p_look = 1 OR v_taken) THEN
      SET v_locking = 1;
      ITERATE look;
    END IF;

    IF v_step IN ('insert', 'reuse', 'again') AND v_seq IS NULL THEN
      INSERT INTO {fence} (seq) VALUES (NULL);
      SET v_seq = LAST_INSERT_ID();
      DELETE FROM {fence} WHERE seq = v_seq;
    END IF;

    IF v_step = 'insert' THEN
      SET v_begun = IF(p_begun, 1, 0), v_created = v_now, v_taken = 0;
      BEGIN
        DECLARE CONTINUE HANDLER FOR 1062 SET v_taken = 1;
        DECLARE CONTINUE HANDLER FOR 1205 SET v_busy = 1;
        INSERT INTO {keys} (id, region, operation, bind, principal, actor, fp_version, fp_key_id, fp, policy, created,
            epoch, seq, attempt_id, attempt, begun_attempt, state, lease_end)
          VALUES (p_id, v_region, p_operation, p_bind, p_principal, p_actor, p_version, p_key_id, p_digest, p_policy, v_now,
            v_epoch, v_seq, p_attempt, 1, v_begun, 1, v_now + p_lease_ms);
      END;
      IF v_busy THEN
        SET a_line = 'busy f';
        LEAVE main;
      ELSEIF v_taken THEN
        -- Committed meanwhile: a plain read sees it under READ COMMITTED, else the locking one that follows it does.
        SET v_locking = 0;
        ITERATE look;
      END IF;
    ELSEIF v_step IN ('reuse', 'again') THEN
      SET v_takeover = v_step = 'again' AND r_state = 1;
      SET v_attempt = IF(v_step = 'again', r_attempt + 1, 1);
      SET v_begun = CASE WHEN v_step = 'again' AND r_begun <> 0 THEN r_begun WHEN p_begun THEN v_attempt ELSE 0 END;
      SET v_created = IF(v_step = 'again', r_created, v_now);
      UPDATE {keys} k SET operation = p_operation, bind = p_bind, principal = p_principal, actor = p_actor, fp_version = p_version,
          fp_key_id = p_key_id, fp = p_digest, policy = p_policy, created = v_created, epoch = v_epoch, seq = v_seq,
          attempt_id = p_attempt, attempt = v_attempt, begun_attempt = v_begun, state = 1, lease_end = v_now + p_lease_ms, since = NULL,
          resolver_until = NULL, reason = NULL, outcome_day = NULL
        WHERE k.id = p_id AND k.region = v_region;
    ELSEIF v_step = 'lend' THEN
      UPDATE {keys} k SET resolver_until = v_now + p_resolver_ms WHERE k.id = p_id AND k.region = v_region;
      SET v_word = 'uncertain', v_resolve = 1, v_wrote = 1;
      LEAVE look;
    ELSE
      SET v_wrote = 1;
      IF v_step = 'seal' THEN
        SET v_word = 'uncertain', v_resolve = p_resolver_ms > 0, r_state = 4;
        SET r_resolver_until = IF(v_resolve, v_now + p_resolver_ms, 0);
      ELSE
        SET v_word = 'quarantined', v_reason = CONCAT(r_attempt, ' attempts, the policy allows ', q_attempts), r_state = 5;
        SET r_lease_end = NULL, r_resolver_until = NULL;
      END IF;
      UPDATE {keys} k SET state = r_state, since = v_now, reason = v_reason, lease_end = r_lease_end, resolver_until = r_resolver_until
        WHERE k.id = p_id AND k.region = v_region;
      INSERT INTO {open} (id, region, state, since, lease_end) VALUES (p_id, v_region, r_state, v_now, r_lease_end)
        ON DUPLICATE KEY UPDATE state = VALUES(state), since = VALUES(since);
      INSERT INTO {events} (at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason)
        VALUES (v_now, p_id, v_region, v_word, r_epoch, r_seq, r_attempt_id, p_owner, p_trace, v_reason);
      LEAVE look;
    END IF;

    -- Acquired. What is bound to a transaction is seen by nobody before it is completed, so neither list nor trail mentions it.
    IF p_bind <> 1 THEN
      INSERT INTO {open} (id, region, state, since, lease_end) VALUES (p_id, v_region, 1, v_now, v_now + p_lease_ms)
        ON DUPLICATE KEY UPDATE state = 1, since = VALUES(since), lease_end = VALUES(lease_end);
      INSERT INTO {events} (at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason)
        VALUES (v_now, p_id, v_region, IF(v_takeover, 'taken-over', 'claimed'), v_epoch, v_seq, p_attempt, p_owner, p_trace, '');
    ELSEIF v_takeover THEN
      DELETE FROM {open} WHERE id = p_id AND region = v_region;
    END IF;
    SET a_line = CONCAT_WS(' ', 'acquired t', v_epoch, v_seq, v_attempt, v_begun, IF(v_takeover, 't', 'f'), v_created);
    LEAVE main;
  END LOOP;

  -- Refused by the record in r: what a duplicate may know of it.
  SET a_line = CONCAT_WS(' ', v_word, IF(v_wrote, 't', 'f'), IF(v_resolve, 't', 'f'), r_state, r_epoch, r_seq, r_attempt_id, r_attempt,
    r_created, IF(r_state = 2, r_since, 0), CONCAT('.', HEX(r_actor)),
    (SELECT CONCAT('.', HEX(n.name)) FROM {operations} n WHERE n.id = r_operation), CONCAT('.', COALESCE(HEX(v_reason), '')));
  IF v_word = 'replay' THEN
    IF v_locking THEN
      SET a_line = CONCAT_WS(' ', a_line, (SELECT CONCAT(o.codec, ' .', HEX(o.checksum), ' .', HEX(o.bytes)) FROM {outcomes} o
        WHERE o.id = p_id AND o.region = v_region AND o.seq = r_seq AND o.day = r_day LOCK IN SHARE MODE));
    ELSE
      SET a_line = CONCAT_WS(' ', a_line, (SELECT CONCAT(o.codec, ' .', HEX(o.checksum), ' .', HEX(o.bytes)) FROM {outcomes} o
        WHERE o.id = p_id AND o.region = v_region AND o.seq = r_seq AND o.day = r_day));
    END IF;
  END IF;
END`,
)

export const claiming: Migration = { number: 3, name: 'claim', breaking: true, statements: claim }
