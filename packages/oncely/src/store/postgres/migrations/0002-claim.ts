import type { Migration } from './migration.ts'

/**
 * The claim, for leases and for transactions; every branch is one of `claim` in core's transition. Each statement of a VOLATILE
 * function sees anew (READ COMMITTED), which is what the re-reads below rely on.
 *
 * Locks: none when the committed row decides. To write anything,
 *   transaction mode takes two advisory try-locks, first the pair (id, payload), then the id;
 *   lease mode takes the id's in shared mode: leases wait for each other at the primary key, for a commit's time, but never for
 *   somebody's open transaction;
 * then the row is locked, read again and decided again. The advisory locks only spare waiting: the primary key decides.
 *
 * Round trips: one. Nothing waits for another's open transaction; lock_timeout bounds what remains.
 *
 * Answers one line of words (a row of twenty columns costs a third of the whole call), free text and bytes in hexadecimal:
 *   acquired WROTE epoch seq attempt begun takeover created xact
 *   replay | expired | uncertain | quarantined WROTE resolve state epoch seq attempt-id attempt created since .actor .operation .reason
 *     and after replay, where the outcome is there: codec .checksum .bytes
 *   in-progress WROTE retry-after | mismatch WROTE | unreadable WROTE reason
 * WROTE is t when the answer must be committed.
 */
const claim = `CREATE FUNCTION {claim}(
  p_front boolean, p_instance uuid, p_id bytea, p_id_lock bigint, p_pair_lock bigint,
  p_operation integer, p_policy integer, p_bind integer, p_principal bytea, p_principal_head bigint, p_actor bytea,
  p_version integer, p_key_id integer, p_digest bytea, p_keyed text,
  p_attempt uuid, p_lease_ms bigint, p_resolver_ms bigint, p_begun boolean, p_rerunnable boolean, p_owner text, p_trace text
) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_epoch integer;
  v_instance uuid;
  v_same_start boolean;
  r record;
  q record;
  v_now bigint;
  v_step text;               -- what has to be written: insert, reuse, again, quarantine, seal, lend
  v_word text;
  v_reason text;
  v_resolve boolean := false;
  v_wrote boolean := false;
  v_known text;
  v_paired boolean := false;
  v_inside boolean := false; -- the door is passed
  v_locking boolean := false;
  v_again boolean := false;  -- the door was closed, and the row is read once more
  v_proven boolean := false; -- the holder of the id carries another payload
  v_seq bigint;
  v_attempt integer := 1;
  v_begun integer;
  v_created bigint;
  v_takeover boolean := false;
BEGIN
  SELECT i.region, i.epoch, i.instance, i.started = pg_postmaster_start_time()
    INTO STRICT v_region, v_epoch, v_instance, v_same_start FROM {instance} i;
  IF p_instance <> v_instance THEN
    RAISE EXCEPTION 'this transaction belongs to another database than the store' USING ERRCODE = 'ONC02';
  END IF;
  IF NOT p_front AND NOT v_same_start THEN
    SELECT e.a_epoch INTO STRICT v_epoch FROM {settle_epoch}() e;
  END IF;

  LOOP
    IF v_locking THEN
      SELECT k.*, k.xmin AS row_xmin INTO r FROM {keys} k WHERE k.id = p_id AND k.region = v_region FOR UPDATE;
    ELSE
      SELECT k.*, k.xmin AS row_xmin INTO r FROM {keys} k WHERE k.id = p_id AND k.region = v_region;
    END IF;
    IF NOT FOUND THEN
      v_step := 'insert';
      v_now := {now_ms}();
    ELSE
      SELECT p.* INTO STRICT q FROM {policies} p WHERE p.id = r.policy;
      v_now := {now_ms}();
      IF r.state = 2 AND v_now - r.since >= greatest(q.retention_ms, q.tombstone_ms) THEN
        v_step := 'reuse';
      ELSIF r.state = 3 AND r.attempt_id = p_attempt THEN
        RETURN 'in-progress f 1';
      ELSIF r.state = 3 THEN
        v_step := 'again';
      ELSE
        v_known := ',' || r.fp_key_id || ':';
        IF r.fp_version <> p_version THEN
          RETURN 'unreadable f fingerprint-version';
        ELSIF position(v_known IN p_keyed) = 0 THEN
          RETURN 'unreadable f fingerprint-secret';
        ELSIF position(v_known || encode(r.fp, 'hex') || ',' IN p_keyed) = 0 THEN
          RETURN 'mismatch f';
        END IF;
        CASE r.state
          WHEN 1 THEN
            IF r.bind = 1 AND {own_transaction}(r.row_xmin) THEN
              RETURN 'in-progress f 1000';
            ELSIF r.bind = 1 THEN
              v_step := 'seal';
              v_reason := 'the transaction was committed without completing its record';
            ELSIF r.attempt_id = p_attempt THEN
              RETURN concat_ws(' ', 'acquired f', r.epoch, r.seq, r.attempt, r.begun_attempt, 'f', r.created, '-');
            ELSIF v_now < r.lease_end THEN
              RETURN 'in-progress f ' || r.lease_end - v_now;
            ELSIF r.begun_attempt = 0 OR p_rerunnable OR q.takeover THEN
              v_step := 'again';
            ELSE
              v_step := 'seal';
              v_reason := 'the lease ended after effects may have started';
            END IF;
          WHEN 2 THEN
            v_word := CASE WHEN v_now - r.since < q.retention_ms THEN 'replay' ELSE 'expired' END;
            EXIT;
          WHEN 4 THEN
            v_reason := r.reason;
            IF v_now - r.since >= q.tombstone_ms THEN
              v_word := 'expired';
              EXIT;
            ELSIF p_resolver_ms <= 0 OR v_now < r.resolver_until THEN
              v_word := 'uncertain';
              EXIT;
            END IF;
            v_step := 'lend';
          ELSE
            v_word := 'quarantined';
            v_reason := r.reason;
            EXIT;
        END CASE;
      END IF;
      IF v_step = 'again' AND r.attempt >= q.attempts_max THEN
        v_step := 'quarantine';
      END IF;
    END IF;

    IF NOT v_inside THEN
      IF NOT p_front THEN
        v_inside := pg_try_advisory_xact_lock_shared(p_id_lock);
      ELSE
        v_paired := v_paired OR pg_try_advisory_xact_lock(p_pair_lock);
        IF v_paired THEN
          v_inside := pg_try_advisory_xact_lock(p_id_lock);
        END IF;
      END IF;
      IF NOT v_inside THEN
        IF v_step = 'lend' THEN
          v_word := 'uncertain';
          EXIT;
        ELSIF p_front AND NOT v_paired THEN
          RETURN 'in-progress f 1000';
        ELSIF v_again THEN
          RETURN CASE WHEN v_proven AND v_step IN ('insert', 'reuse', 'again') THEN 'mismatch f' ELSE 'in-progress f 1000' END;
        END IF;
        v_proven := p_front AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
          AND {holds_another_payload}(p_id_lock, p_pair_lock);
        v_again := true;
        CONTINUE;
      END IF;
      IF v_step <> 'insert' THEN
        v_locking := true;
        CONTINUE;
      END IF;
    END IF;

    IF v_step = 'insert' THEN
      v_seq := nextval('{fence}');
      v_begun := CASE WHEN p_begun THEN 1 ELSE 0 END;
      v_created := v_now;
      INSERT INTO {keys} (id, region, operation, bind, principal, principal_head, actor, fp_version, fp_key_id, fp, policy, created,
          epoch, seq, attempt_id, attempt, begun_attempt, state, lease_end)
        VALUES (p_id, v_region, p_operation, p_bind, p_principal, p_principal_head, p_actor, p_version, p_key_id, p_digest, p_policy, v_now,
          v_epoch, v_seq, p_attempt, 1, v_begun, 1, v_now + p_lease_ms)
        ON CONFLICT (id, region) DO NOTHING;
      IF NOT FOUND THEN
        v_locking := true;
        CONTINUE;
      END IF;
    ELSIF v_step IN ('reuse', 'again') THEN
      v_takeover := v_step = 'again' AND r.state = 1;
      v_attempt := CASE v_step WHEN 'again' THEN r.attempt + 1 ELSE 1 END;
      v_begun := CASE WHEN v_step = 'again' AND r.begun_attempt <> 0 THEN r.begun_attempt WHEN p_begun THEN v_attempt ELSE 0 END;
      v_seq := nextval('{fence}');
      v_created := CASE v_step WHEN 'again' THEN r.created ELSE v_now END;
      UPDATE {keys} k SET operation = p_operation, bind = p_bind, principal = p_principal, principal_head = p_principal_head,
          actor = p_actor, fp_version = p_version, fp_key_id = p_key_id, fp = p_digest, policy = p_policy, created = v_created,
          epoch = v_epoch, seq = v_seq, attempt_id = p_attempt, attempt = v_attempt, begun_attempt = v_begun, state = 1,
          lease_end = v_now + p_lease_ms, since = NULL, resolver_until = NULL, reason = NULL, outcome_day = NULL
        WHERE k.id = p_id AND k.region = v_region;
    ELSIF v_step = 'lend' THEN
      UPDATE {keys} k SET resolver_until = v_now + p_resolver_ms WHERE k.id = p_id AND k.region = v_region;
      v_word := 'uncertain';
      v_resolve := true;
      v_wrote := true;
      EXIT;
    ELSE
      v_wrote := true;
      IF v_step = 'seal' THEN
        v_word := 'uncertain';
        v_resolve := p_resolver_ms > 0;
        r.state := 4;
        r.resolver_until := CASE WHEN v_resolve THEN v_now + p_resolver_ms ELSE 0 END;
      ELSE
        v_word := 'quarantined';
        v_reason := r.attempt || ' attempts, the policy allows ' || q.attempts_max;
        r.state := 5;
        r.lease_end := NULL;
        r.resolver_until := NULL;
      END IF;
      UPDATE {keys} k SET state = r.state, since = v_now, reason = v_reason, lease_end = r.lease_end, resolver_until = r.resolver_until
        WHERE k.id = p_id AND k.region = v_region;
      INSERT INTO {open} AS o (id, region, state, since, lease_end) VALUES (p_id, v_region, r.state, v_now, r.lease_end)
        ON CONFLICT (id, region) DO UPDATE SET state = excluded.state, since = excluded.since;
      PERFORM {note}(p_id, v_region, v_word, r.epoch, r.seq, r.attempt_id, p_owner, p_trace, v_reason);
      EXIT;
    END IF;

    -- Acquired. What is bound to a transaction is seen by nobody before it is completed, so neither list nor trail mentions it.
    IF p_bind <> 1 THEN
      INSERT INTO {open} AS o (id, region, state, since, lease_end) VALUES (p_id, v_region, 1, v_now, v_now + p_lease_ms)
        ON CONFLICT (id, region) DO UPDATE SET state = 1, since = excluded.since, lease_end = excluded.lease_end;
      PERFORM {note}(p_id, v_region, CASE WHEN v_takeover THEN 'taken-over' ELSE 'claimed' END, v_epoch, v_seq, p_attempt, p_owner, p_trace, '');
    ELSIF v_takeover THEN
      DELETE FROM {open} o WHERE o.id = p_id AND o.region = v_region;
    END IF;
    RETURN concat_ws(' ', 'acquired t', v_epoch, v_seq, v_attempt, v_begun, v_takeover, v_created, pg_current_xact_id());
  END LOOP;

  -- Refused by the record in r: what a duplicate may know of it.
  RETURN concat_ws(' ', v_word, v_wrote, v_resolve, r.state, r.epoch, r.seq, r.attempt_id, r.attempt, r.created,
    CASE r.state WHEN 2 THEN r.since ELSE 0 END, '.' || encode(r.actor, 'hex'),
    (SELECT '.' || encode(convert_to(n.name, 'UTF8'), 'hex') FROM {operations} n WHERE n.id = r.operation),
    '.' || encode(convert_to(coalesce(v_reason, ''), 'UTF8'), 'hex'),
    CASE v_word WHEN 'replay' THEN {outcome_of}(p_id, v_region, r.seq, r.outcome_day) END);
END
$oncely$`

const outcomeOf = `CREATE FUNCTION {outcome_of}(p_id bytea, p_region smallint, p_seq bigint, p_day date) RETURNS text LANGUAGE plpgsql STABLE AS $oncely$
BEGIN
  RETURN (SELECT concat_ws(' ', o.codec, '.' || encode(o.checksum, 'hex'), '.' || encode(o.bytes, 'hex'))
    FROM {outcomes} o WHERE o.id = p_id AND o.region = p_region AND o.seq = p_seq AND o.day = p_day);
END
$oncely$`

/** Whether a visible row was written by this very transaction, its subtransactions included: nobody sees another's open one. */
const ownTransaction = `CREATE FUNCTION {own_transaction}(p_xid xid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_next bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
  v_full bigint := v_next - v_next % 4294967296 + p_xid::text::bigint;
BEGIN
  IF v_full > v_next + 2147483648 THEN
    v_full := v_full - 4294967296;
  ELSIF v_full < v_next - 2147483648 THEN
    v_full := v_full + 4294967296;
  END IF;
  RETURN v_full > 2 AND coalesce(pg_xact_status(v_full::text::xid8) = 'in progress', false);
END
$oncely$`

/**
 * Proof for a mismatch: whoever holds the id's lock holds the lock of another pair of this id as well, made under the same version
 * of the fingerprint (its eight bits): digests of two versions differ for one payload. One snapshot of the lock table; our own
 * locks do not count, as we do not hold the id's.
 */
const holdsAnotherPayload = `CREATE FUNCTION {holds_another_payload}(p_id_lock bigint, p_pair_lock bigint) RETURNS boolean LANGUAGE sql VOLATILE AS $oncely$
  WITH held AS MATERIALIZED (
    SELECT l.pid, l.classid::bigint AS high, l.objid::bigint AS low
      FROM pg_locks l
      WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  )
  SELECT EXISTS (
    SELECT FROM held i JOIN held p ON p.pid = i.pid
      WHERE i.high = (p_id_lock >> 32) & 4294967295 AND i.low = p_id_lock & 4294967295
        AND p.high = (p_pair_lock >> 32) & 4294967295 AND p.low <> p_pair_lock & 4294967295
        AND p.low >> 24 = (p_pair_lock >> 24) & 255
        AND NOT (p.high = i.high AND p.low = i.low)
  )
$oncely$`

/**
 * Raises the epoch when the server was started, promoted or restored since the epoch was last settled, and renews the instance id
 * when the database may have lost its newest records (another timeline, or another cluster).
 */
const settleEpoch = `CREATE FUNCTION {settle_epoch}(OUT a_instance uuid, OUT a_epoch integer) LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_started timestamptz;
  v_origin text;
  v_here text;
BEGIN
  SELECT i.instance, i.epoch, i.started, i.origin INTO STRICT a_instance, a_epoch, v_started, v_origin FROM {instance} i;
  IF pg_is_in_recovery() THEN
    RETURN;
  END IF;
  BEGIN
    v_here := (SELECT c.system_identifier FROM pg_control_system() c) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
  EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    v_here := v_origin;
  END;
  IF v_started = pg_postmaster_start_time() AND v_origin = v_here THEN
    RETURN;
  END IF;
  SELECT i.instance, i.epoch, i.started, i.origin INTO STRICT a_instance, a_epoch, v_started, v_origin FROM {instance} i FOR UPDATE;
  IF v_started = pg_postmaster_start_time() AND v_origin = v_here THEN
    RETURN;
  END IF;
  a_epoch := a_epoch + 1;
  IF v_origin <> '' AND v_origin <> v_here THEN
    a_instance := gen_random_uuid();
  END IF;
  UPDATE {instance} i SET instance = a_instance, epoch = a_epoch, started = pg_postmaster_start_time(), origin = v_here;
END
$oncely$`

/** Answers the numbers of the operation and of the policy. */
const register = `CREATE FUNCTION {register}(
  p_operation text, p_name text, p_retention_ms bigint, p_tombstone_ms bigint, p_attempts_max integer, p_takeover boolean, p_effect_timeout_ms bigint
) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_operation integer;
  v_policy integer;
BEGIN
  LOOP
    SELECT n.id INTO v_operation FROM {operations} n WHERE n.name = p_operation;
    EXIT WHEN FOUND;
    INSERT INTO {operations} (name) VALUES (p_operation) ON CONFLICT (name) DO NOTHING;
  END LOOP;
  LOOP
    SELECT p.id INTO v_policy FROM {policies} p
      WHERE p.name = p_name AND p.retention_ms = p_retention_ms AND p.tombstone_ms = p_tombstone_ms AND p.attempts_max = p_attempts_max
        AND p.takeover = p_takeover AND p.effect_timeout_ms = p_effect_timeout_ms;
    EXIT WHEN FOUND;
    INSERT INTO {policies} (name, retention_ms, tombstone_ms, attempts_max, takeover, effect_timeout_ms)
      VALUES (p_name, p_retention_ms, p_tombstone_ms, p_attempts_max, p_takeover, p_effect_timeout_ms)
      ON CONFLICT (name, retention_ms, tombstone_ms, attempts_max, takeover, effect_timeout_ms) DO NOTHING;
    -- Nobody sees the policy before the partitions for its outcomes are there; without them the default partition takes all.
    IF FOUND THEN
      BEGIN
        PERFORM set_config('lock_timeout', '1s', true);
        PERFORM {partitions_ahead}();
      EXCEPTION WHEN insufficient_privilege THEN
        NULL;
      END;
    END IF;
  END LOOP;
  RETURN v_operation || ' ' || v_policy;
END
$oncely$`

/** The server's time, at the moment of the statement and not of its transaction. */
const nowMs = `CREATE FUNCTION {now_ms}() RETURNS bigint LANGUAGE sql VOLATILE AS $oncely$
  SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint
$oncely$`

/** The day (UTC) of a time; far ones share the last day that text can carry. */
const dayOf = `CREATE FUNCTION {day_of}(p_ms bigint) RETURNS date LANGUAGE sql IMMUTABLE AS $oncely$
  SELECT date '1970-01-01' + (least(p_ms, 253370764800000) / 86400000)::integer
$oncely$`

const note = `CREATE FUNCTION {note}(
  p_id bytea, p_region smallint, p_event text, p_epoch integer, p_seq bigint, p_attempt uuid, p_owner text, p_trace text, p_reason text
) RETURNS void LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_at timestamptz := clock_timestamp();
BEGIN
  INSERT INTO {events} (day, at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason)
    VALUES ((v_at AT TIME ZONE 'UTC')::date, v_at, p_id, p_region, p_event, p_epoch, p_seq, p_attempt, p_owner, p_trace, p_reason);
END
$oncely$`

export const claiming: Migration = {
  number: 2,
  name: 'claim',
  breaking: true,
  statements: [nowMs, dayOf, note, settleEpoch, register, ownTransaction, holdsAnotherPayload, outcomeOf, claim],
}
