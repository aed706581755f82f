import type { Migration } from './migration.ts'

/**
 * Background work. Removal goes in batches with SKIP LOCKED, each policy to its own horizon; partitions are made ahead and dropped
 * behind under a short lock_timeout, so that no claim ever queues behind them: what does not get its lock waits for the next call.
 */
const sweep = `CREATE FUNCTION {sweep}(p_batch integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  q record;
  v_now bigint := {now_ms}();
  v_removed integer := 0;
  v_count integer;
BEGIN
  FOR q IN SELECT * FROM {policies} LOOP
    EXIT WHEN v_removed >= p_batch;
    -- No record ends before it is created, so the index on (policy, created) bounds the search.
    DELETE FROM {keys} k WHERE k.ctid = ANY (ARRAY(
      SELECT d.ctid FROM {keys} d
        WHERE d.policy = q.id AND d.created <= v_now - q.tombstone_ms
          AND (d.state = 2 AND d.since <= v_now - greatest(q.retention_ms, q.tombstone_ms) OR d.state = 3 AND d.since <= v_now - q.tombstone_ms)
        ORDER BY d.created
        LIMIT p_batch - v_removed
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_removed := v_removed + v_count;
  END LOOP;
  RETURN v_removed;
END
$oncely$`

/** One partition of one day; false when a lock did not come in time or the default partition already holds rows of that day. */
const addPartition = `CREATE FUNCTION {add_partition}(p_table text, p_day date) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_name text := p_table || '_' || to_char(p_day, 'YYYYMMDD');
  v_taken boolean;
BEGIN
  IF to_regclass(format('%I.%I', {=schema}, v_name)) IS NOT NULL THEN
    RETURN true;
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I WHERE day = %L)', {=schema}, p_table || '_default', p_day) INTO v_taken;
  IF v_taken THEN
    RETURN false;
  END IF;
  BEGIN
    -- ATTACH locks the parent less than CREATE ... PARTITION OF does.
    EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', {=schema}, v_name, {=schema}, p_table);
    EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)', {=schema}, p_table, {=schema}, v_name, p_day, p_day + 1);
  EXCEPTION WHEN lock_not_available OR check_violation THEN
    RETURN false;
  END;
  RETURN true;
END
$oncely$`

/** Partitions of days before `p_day`, and such rows of the default partition, a batch at a time. */
const dropBefore = `CREATE FUNCTION {drop_before}(p_table text, p_day date, p_batch integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  r record;
  v_dropped integer := 0;
BEGIN
  FOR r IN
    SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
      WHERE h.inhparent = format('%I.%I', {=schema}, p_table)::regclass
        AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < to_char(p_day, 'YYYYMMDD')
      ORDER BY c.relname
  LOOP
    BEGIN
      EXECUTE format('DROP TABLE %I.%I', {=schema}, r.relname);
      v_dropped := v_dropped + 1;
    EXCEPTION WHEN lock_not_available THEN
      EXIT;
    END;
  END LOOP;
  EXECUTE format('DELETE FROM %1$I.%2$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$I.%2$I WHERE day < %3$L LIMIT %4$s FOR UPDATE SKIP LOCKED))',
    {=schema}, p_table || '_default', p_day, p_batch);
  RETURN v_dropped;
END
$oncely$`

/**
 * Outcomes completed today and on the next two days go to as many days of expiry for each policy: only these partitions have to be
 * made now, as nearer days were made when they were that far away.
 */
const partitionsAhead = `CREATE FUNCTION {partitions_ahead}() RETURNS void LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_now bigint := {now_ms}();
  v_day date;
BEGIN
  FOR v_day IN
    SELECT DISTINCT {day_of}(v_now + p.retention_ms + ahead.days * 86400000::bigint) FROM {policies} p, generate_series(0, 2) AS ahead (days)
  LOOP
    PERFORM {add_partition}({=outcomes}, v_day);
  END LOOP;
  FOR v_ahead IN 0 .. 2 LOOP
    PERFORM {add_partition}({=events}, {day_of}(v_now) + v_ahead);
  END LOOP;
END
$oncely$`

/** Makes partitions ahead and drops what has aged. Answers how many partitions it dropped; -1 when another call is at it. */
const upkeep = `CREATE FUNCTION {upkeep}(p_trail_days integer, p_batch integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_today date := {day_of}({now_ms}());
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('oncely upkeep ' || {=schema} || '.' || {=keys}, 0)) THEN
    RETURN -1;
  END IF;
  PERFORM set_config('lock_timeout', '100ms', true);
  PERFORM {partitions_ahead}();
  RETURN {drop_before}({=outcomes}, v_today, p_batch) + {drop_before}({=events}, v_today - p_trail_days, p_batch);
END
$oncely$`

/**
 * Answers records, running, uncertain, quarantined, completed and bytes. Counts are exact up to 200,000 records; beyond that records
 * and completed are the planner's estimates.
 */
const stats = `CREATE FUNCTION {stats}() RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_records bigint;
  v_running bigint;
  v_uncertain bigint;
  v_quarantined bigint;
  v_completed bigint;
  v_bytes bigint;
BEGIN
  SELECT greatest(c.reltuples, 0)::bigint INTO v_records FROM pg_class c WHERE c.oid = '{keys}'::regclass;
  IF v_records <= 200000 THEN
    SELECT count(*), count(*) FILTER (WHERE k.state = 1), count(*) FILTER (WHERE k.state = 4), count(*) FILTER (WHERE k.state = 5),
        count(*) FILTER (WHERE k.state = 2)
      INTO v_records, v_running, v_uncertain, v_quarantined, v_completed FROM {keys} k;
  ELSE
    SELECT count(*) FILTER (WHERE o.state = 1), count(*) FILTER (WHERE o.state = 4), count(*) FILTER (WHERE o.state = 5)
      INTO v_running, v_uncertain, v_quarantined FROM {open} o;
    v_completed := greatest(0, v_records - v_running - v_uncertain - v_quarantined);
  END IF;
  SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) INTO v_bytes FROM pg_class c
    WHERE c.relkind = 'r' AND (c.oid IN ('{keys}'::regclass, '{open}'::regclass)
      OR c.oid IN (SELECT h.inhrelid FROM pg_inherits h WHERE h.inhparent IN ('{outcomes}'::regclass, '{events}'::regclass)));
  RETURN concat_ws(' ', v_records, v_running, v_uncertain, v_quarantined, v_completed, v_bytes);
END
$oncely$`

export const upkeeping: Migration = {
  number: 4,
  name: 'upkeep',
  breaking: true,
  statements: [sweep, addPartition, partitionsAhead, dropBefore, upkeep, stats],
}
