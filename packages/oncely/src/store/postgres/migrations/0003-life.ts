import type { Migration } from './migration.ts'

/**
 * What follows a claim. Every write compares token and attempt id, and changes nothing when they are not the newest. One round
 * trip each; the only lock is the record's row. A loop repeats where the row moved between the two statements.
 */

/**
 * Answers done, lost or conflict; alone for done in another transaction than the claim's (`p_xact`), which the handler had ended
 * itself. In a transaction of the user's (`p_strict`) lost and conflict raise, so that a fenced transaction can never commit. The
 * record with this token never runs again once it does not, so each state is looked at once.
 */
const complete = `CREATE FUNCTION {complete}(
  p_strict boolean, p_xact text, p_id bytea, p_epoch integer, p_seq bigint, p_attempt uuid, p_codec integer, p_checksum bytea, p_bytes bytea,
  p_owner text, p_trace text
) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_now bigint := {now_ms}();
  v_bind smallint;
  v_created bigint;
  v_day date;
  v_state smallint;
  v_alone boolean := coalesce(p_xact <> coalesce(pg_current_xact_id_if_assigned()::text, ''), false);
  v_word text := 'lost';
BEGIN
  UPDATE {keys} k SET state = 2, since = v_now, outcome_day = {day_of}(v_now + p.retention_ms), lease_end = NULL
    FROM {policies} p
    WHERE k.id = p_id AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 1
      AND p.id = k.policy
    RETURNING k.region, k.bind, k.created, k.outcome_day INTO v_region, v_bind, v_created, v_day;
  IF FOUND AND v_bind = 1 THEN
    -- One row of the trail for claim and completion. The transaction began with its claim, or with the user's own statements.
    INSERT INTO {events} (day, at, id, region, event, epoch, seq, attempt_id, owner, trace_id, claimed)
      VALUES ({day_of}(v_now), clock_timestamp(), p_id, v_region, 'completed', p_epoch, p_seq, p_attempt, p_owner, p_trace,
        CASE WHEN v_alone THEN to_timestamp(v_created / 1000.0) ELSE greatest(now(), to_timestamp(v_created / 1000.0)) END);
  ELSE
    IF NOT FOUND THEN
      UPDATE {keys} k SET state = 2, since = v_now, outcome_day = {day_of}(v_now + p.retention_ms), lease_end = NULL,
          resolver_until = NULL, reason = NULL
        FROM {policies} p
        WHERE k.id = p_id AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 4
          AND p.id = k.policy
        RETURNING k.region, k.outcome_day INTO v_region, v_day;
    END IF;
    IF FOUND THEN
      DELETE FROM {open} o WHERE o.id = p_id AND o.region = v_region;
      PERFORM {note}(p_id, v_region, 'completed', p_epoch, p_seq, p_attempt, p_owner, p_trace, '');
    END IF;
  END IF;
  IF v_day IS NOT NULL THEN
    INSERT INTO {outcomes} (day, id, region, seq, codec, checksum, bytes)
      VALUES (v_day, p_id, v_region, p_seq, p_codec, p_checksum, p_bytes);
    RETURN CASE WHEN v_alone THEN 'alone' ELSE 'done' END;
  END IF;

  SELECT k.region, k.state, k.outcome_day INTO v_region, v_state, v_day FROM {keys} k
    WHERE k.id = p_id AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt;
  IF v_state = 2 THEN
    PERFORM FROM {outcomes} o
      WHERE o.id = p_id AND o.region = v_region AND o.seq = p_seq AND o.day = v_day AND o.codec = p_codec AND o.bytes = p_bytes;
    v_word := CASE WHEN FOUND THEN 'done' ELSE 'conflict' END;
  END IF;
  IF p_strict AND v_word <> 'done' THEN
    PERFORM FROM {keys} k WHERE k.id = p_id;
    IF FOUND THEN
      RAISE EXCEPTION 'this attempt is not the newest of its record any more' USING ERRCODE = CASE v_word WHEN 'lost' THEN 'ONC01' ELSE 'ONC04' END;
    END IF;
    RAISE EXCEPTION 'the record that this transaction claimed is gone' USING ERRCODE = 'ONC03';
  END IF;
  RETURN v_word;
END
$oncely$`

const renew = `CREATE FUNCTION {renew}(p_id bytea, p_epoch integer, p_seq bigint, p_attempt uuid, p_lease_ms bigint, p_begun boolean)
RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  IF p_begun THEN
    UPDATE {keys} k SET lease_end = {now_ms}() + p_lease_ms, begun_attempt = k.attempt
      WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 1
        AND k.begun_attempt = 0;
    IF FOUND THEN
      PERFORM {note}(p_id, v_region, 'begun', p_epoch, p_seq, p_attempt, '', '', '');
      RETURN 'done';
    END IF;
  END IF;
  UPDATE {keys} k SET lease_end = {now_ms}() + p_lease_ms
    WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 1;
  RETURN CASE WHEN FOUND THEN 'done' ELSE 'lost' END;
END
$oncely$`

const release = `CREATE FUNCTION {release}(p_id bytea, p_epoch integer, p_seq bigint, p_attempt uuid, p_declared boolean, p_reason text)
RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_state smallint;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  LOOP
    UPDATE {keys} k SET state = 3, since = {now_ms}(), begun_attempt = 0, lease_end = NULL
      WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 1
        AND (k.begun_attempt = 0 OR k.begun_attempt = k.attempt AND p_declared);
    IF FOUND THEN
      DELETE FROM {open} o WHERE o.id = p_id AND o.region = v_region;
      PERFORM {note}(p_id, v_region, 'released', p_epoch, p_seq, p_attempt, '', '', p_reason);
      RETURN 'done';
    END IF;
    SELECT k.state INTO v_state FROM {keys} k
      WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt
        AND (k.state <> 1 OR k.begun_attempt <> 0);
    IF FOUND THEN
      RETURN CASE v_state WHEN 1 THEN 'begun' WHEN 3 THEN 'done' ELSE 'lost' END;
    END IF;
    PERFORM FROM {keys} k WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt;
    IF NOT FOUND THEN
      RETURN 'lost';
    END IF;
  END LOOP;
END
$oncely$`

const seal = `CREATE FUNCTION {seal}(p_id bytea, p_epoch integer, p_seq bigint, p_attempt uuid, p_owner text, p_trace text, p_reason text)
RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_now bigint := {now_ms}();
  v_lease_end bigint;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  UPDATE {keys} k SET state = 4, since = v_now, reason = p_reason, resolver_until = 0
    WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 1
    RETURNING k.lease_end INTO v_lease_end;
  IF FOUND THEN
    INSERT INTO {open} AS o (id, region, state, since, lease_end) VALUES (p_id, v_region, 4, v_now, v_lease_end)
      ON CONFLICT (id, region) DO UPDATE SET state = 4, since = excluded.since;
    PERFORM {note}(p_id, v_region, 'uncertain', p_epoch, p_seq, p_attempt, p_owner, p_trace, p_reason);
    RETURN 'done';
  END IF;
  PERFORM FROM {keys} k
    WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 4;
  RETURN CASE WHEN FOUND THEN 'done' ELSE 'lost' END;
END
$oncely$`

/** Compare-and-set on (state, token) by a resolver or an operator; `p_codec` is NULL for "not applied". Answers resolved, changed, or early with the time to wait. */
const resolve = `CREATE FUNCTION {resolve}(
  p_id bytea, p_state integer, p_epoch integer, p_seq bigint, p_codec integer, p_checksum bytea, p_bytes bytea, p_by text, p_reason text
) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_now bigint;
  r record;
  q record;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  SELECT k.* INTO r FROM {keys} k
    WHERE k.id = p_id AND k.region = v_region AND k.state = p_state AND k.epoch = p_epoch AND k.seq = p_seq FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'changed';
  END IF;
  SELECT p.* INTO STRICT q FROM {policies} p WHERE p.id = r.policy;
  v_now := {now_ms}();
  IF p_codec IS NOT NULL THEN
    UPDATE {keys} k SET state = 2, since = v_now, outcome_day = {day_of}(v_now + q.retention_ms), lease_end = NULL,
        resolver_until = NULL, reason = NULL
      WHERE k.id = p_id AND k.region = v_region;
    INSERT INTO {outcomes} (day, id, region, seq, codec, checksum, bytes)
      VALUES ({day_of}(v_now + q.retention_ms), p_id, v_region, r.seq, p_codec, p_checksum, p_bytes);
  ELSE
    IF p_state = 4 AND v_now < r.lease_end + q.effect_timeout_ms THEN
      RETURN 'early ' || r.lease_end + q.effect_timeout_ms - v_now;
    END IF;
    UPDATE {keys} k SET state = 3, since = v_now, begun_attempt = 0, lease_end = NULL, resolver_until = NULL, reason = NULL,
        attempt = CASE WHEN p_state = 5 THEN 0 ELSE k.attempt END
      WHERE k.id = p_id AND k.region = v_region;
  END IF;
  DELETE FROM {open} o WHERE o.id = p_id AND o.region = v_region;
  PERFORM {note}(p_id, v_region, CASE WHEN p_codec IS NULL THEN 'released' ELSE 'completed' END, r.epoch, r.seq, r.attempt_id, p_by, '', p_reason);
  RETURN 'resolved';
END
$oncely$`

const forget = `CREATE FUNCTION {forget}(p_id bytea, p_reason text) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  r record;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  DELETE FROM {keys} k WHERE k.id = p_id AND k.region = v_region RETURNING k.* INTO r;
  IF NOT FOUND THEN
    RETURN 'absent';
  END IF;
  DELETE FROM {outcomes} o WHERE o.id = p_id AND o.region = v_region;
  DELETE FROM {open} o WHERE o.id = p_id AND o.region = v_region;
  PERFORM {note}(p_id, v_region, 'forgotten', r.epoch, r.seq, r.attempt_id, '', '', p_reason);
  RETURN 'forgotten';
END
$oncely$`

/**
 * After a roll-back that the handler asked for: `absent`, or `escaped` when the handler had committed by itself. Then the effect
 * stands and its outcome is unknown, so the record is sealed in the same call.
 */
const afterRollback = `CREATE FUNCTION {after_rollback}(p_id bytea, p_attempt uuid, p_owner text, p_trace text, p_reason text)
RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  r record;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  SELECT k.epoch, k.seq INTO r FROM {keys} k WHERE k.id = p_id AND k.region = v_region AND k.attempt_id = p_attempt;
  IF NOT FOUND THEN
    RETURN 'absent';
  END IF;
  PERFORM {seal}(p_id, r.epoch, r.seq, p_attempt, p_owner, p_trace, p_reason);
  RETURN 'escaped';
END
$oncely$`

/**
 * After a COMMIT whose answer was lost: `committed`, `absent` (it never will be), or `unknown`. The status is read before the row,
 * so that a commit between the two is seen. Another server's transaction ids mean nothing here, hence the row decides first.
 */
const afterCommit = `CREATE FUNCTION {after_commit}(p_id bytea, p_attempt uuid, p_xact text) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_status text;
  v_state smallint;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  -- The server may still be at it: a commit takes a moment, and so does noticing that the client is gone.
  FOR v_wait IN 1 .. 50 LOOP
    BEGIN
      v_status := pg_xact_status(p_xact::xid8);
    EXCEPTION WHEN OTHERS THEN
      v_status := NULL;
    END;
    EXIT WHEN v_status IS DISTINCT FROM 'in progress';
    PERFORM pg_sleep(0.01);
  END LOOP;
  SELECT k.state INTO v_state FROM {keys} k WHERE k.id = p_id AND k.region = v_region AND k.attempt_id = p_attempt;
  RETURN CASE WHEN v_state = 2 THEN 'committed' WHEN v_state IS NULL AND v_status = 'aborted' THEN 'absent' ELSE 'unknown' END;
END
$oncely$`

export const life: Migration = {
  number: 3,
  name: 'life',
  breaking: true,
  statements: [complete, renew, release, seal, resolve, forget, afterRollback, afterCommit],
}
