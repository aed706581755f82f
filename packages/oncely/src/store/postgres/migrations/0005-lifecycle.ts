import { heldTombstoneMs } from '../../../core/index.ts'
import type { Migration } from './migration.ts'

/**
 * Legal hold and erasure by principal. A held record is given a policy row like its own with a tombstone of a hundred years, so that
 * the claim, which is not changed for it, never finds the key new again and no sweep removes it; `held_keys` remembers its own
 * policy for the day the hold is lifted. Before a partition is dropped, what it has of held records is copied out of it.
 */
const tables: readonly string[] = [
  `CREATE TABLE {holds} (
  kind text NOT NULL,
  digest bytea NOT NULL,
  placed bigint NOT NULL,
  placed_by text NOT NULL,
  reason text NOT NULL,
  CONSTRAINT {#holds_pkey} PRIMARY KEY (kind, digest)
)`,
  `CREATE TABLE {held_keys} (
  id bytea NOT NULL,
  region smallint NOT NULL,
  policy integer NOT NULL,
  CONSTRAINT {#held_keys_pkey} PRIMARY KEY (id, region)
)`,
  `CREATE TABLE {held_outcomes} (LIKE {outcomes} INCLUDING DEFAULTS, CONSTRAINT {#held_outcomes_pkey} PRIMARY KEY (id, region, seq))`,
  `CREATE TABLE {held_events} (LIKE {events} INCLUDING DEFAULTS)`,
  `CREATE INDEX {#held_events_id} ON {held_events} (id)`,
]

const isHeld = `CREATE FUNCTION {is_held}(p_id bytea, p_principal bytea) RETURNS boolean LANGUAGE sql STABLE AS $oncely$
  SELECT EXISTS (SELECT FROM {holds} h WHERE h.kind = 'record' AND h.digest = p_id OR h.kind = 'principal' AND h.digest = p_principal)
$oncely$`

/** Gives held records their long tombstone. A row that somebody writes just now is left to the next call. */
const freeze = `CREATE FUNCTION {freeze}() RETURNS void LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  h record;
  r record;
  v_policy integer;
BEGIN
  FOR h IN SELECT * FROM {holds} LOOP
    FOR r IN
      SELECT k.id, k.region, k.policy, p.name, p.retention_ms, p.attempts_max, p.takeover, p.effect_timeout_ms
        FROM {keys} k JOIN {policies} p ON p.id = k.policy
        WHERE (h.kind = 'record' AND k.id = h.digest
            OR h.kind = 'principal' AND k.principal_head = {principal_head}(h.digest) AND k.principal = h.digest)
          AND p.tombstone_ms <> ${heldTombstoneMs}
        ORDER BY k.id FOR UPDATE OF k SKIP LOCKED
    LOOP
      INSERT INTO {policies} (name, retention_ms, tombstone_ms, attempts_max, takeover, effect_timeout_ms)
        VALUES (r.name, r.retention_ms, ${heldTombstoneMs}, r.attempts_max, r.takeover, r.effect_timeout_ms)
        ON CONFLICT ON CONSTRAINT {#policies_numbers} DO NOTHING;
      SELECT p.id INTO STRICT v_policy FROM {policies} p
        WHERE p.name = r.name AND p.retention_ms = r.retention_ms AND p.tombstone_ms = ${heldTombstoneMs} AND p.attempts_max = r.attempts_max
          AND p.takeover = r.takeover AND p.effect_timeout_ms = r.effect_timeout_ms;
      INSERT INTO {held_keys} (id, region, policy) VALUES (r.id, r.region, r.policy)
        ON CONFLICT (id, region) DO UPDATE SET policy = excluded.policy;
      UPDATE {keys} k SET policy = v_policy WHERE k.id = r.id AND k.region = r.region;
    END LOOP;
  END LOOP;
END
$oncely$`

/** The first eight bytes of a principal's digest as the index has them. */
const principalHead = `CREATE FUNCTION {principal_head}(p_principal bytea) RETURNS bigint LANGUAGE sql IMMUTABLE AS $oncely$
  SELECT ('x' || encode(substring(p_principal FROM 1 FOR 8), 'hex'))::bit(64)::bigint
$oncely$`

/** Places (p_held) or lifts a hold. Answers changed | same. */
const hold = `CREATE FUNCTION {hold}(p_kind text, p_digest bytea, p_held boolean, p_by text, p_reason text) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  r record;
BEGIN
  IF p_held THEN
    INSERT INTO {holds} (kind, digest, placed, placed_by, reason) VALUES (p_kind, p_digest, {now_ms}(), p_by, p_reason)
      ON CONFLICT (kind, digest) DO NOTHING;
    IF NOT FOUND THEN
      RETURN 'same';
    END IF;
    PERFORM {freeze}();
    RETURN 'changed';
  END IF;
  DELETE FROM {holds} h WHERE h.kind = p_kind AND h.digest = p_digest;
  IF NOT FOUND THEN
    RETURN 'same';
  END IF;
  FOR r IN
    SELECT k.id, k.region, f.policy FROM {held_keys} f JOIN {keys} k ON k.id = f.id AND k.region = f.region
      WHERE NOT {is_held}(k.id, k.principal) ORDER BY k.id FOR UPDATE OF k
  LOOP
    UPDATE {keys} k SET policy = r.policy WHERE k.id = r.id AND k.region = r.region;
    DELETE FROM {held_keys} f WHERE f.id = r.id AND f.region = r.region;
  END LOOP;
  DELETE FROM {held_outcomes} o WHERE NOT EXISTS (SELECT FROM {held_keys} f WHERE f.id = o.id AND f.region = o.region);
  DELETE FROM {held_events} e WHERE NOT EXISTS (SELECT FROM {held_keys} f WHERE f.id = e.id AND f.region = e.region)
    AND NOT EXISTS (SELECT FROM {holds} h WHERE h.kind = 'record' AND h.digest = e.id);
  RETURN 'changed';
END
$oncely$`

const forget = `CREATE OR REPLACE FUNCTION {forget}(p_id bytea, p_reason text) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  r record;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  SELECT k.* INTO r FROM {keys} k WHERE k.id = p_id AND k.region = v_region FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'absent';
  END IF;
  IF {is_held}(r.id, r.principal) THEN
    RETURN 'held';
  END IF;
  DELETE FROM {keys} k WHERE k.id = p_id AND k.region = v_region;
  DELETE FROM {outcomes} o WHERE o.id = p_id AND o.region = v_region;
  DELETE FROM {open} o WHERE o.id = p_id AND o.region = v_region;
  PERFORM {note}(p_id, v_region, 'forgotten', r.epoch, r.seq, r.attempt_id, '', '', p_reason);
  RETURN 'forgotten';
END
$oncely$`

/** Erases what has ended of a principal's records, at most p_batch. Answers: how many are held, how many are kept, a dot and the ids. */
const erasePrincipal = `CREATE FUNCTION {erase_principal}(p_principal bytea, p_reason text, p_batch integer) RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_head bigint := {principal_head}(p_principal);
  v_ids text := '';
  v_held bigint;
  v_kept bigint;
  r record;
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  FOR r IN
    SELECT k.* FROM {keys} k
      WHERE k.principal_head = v_head AND k.principal = p_principal AND k.region = v_region AND k.state IN (2, 3)
        AND NOT {is_held}(k.id, k.principal)
      ORDER BY k.created LIMIT p_batch FOR UPDATE SKIP LOCKED
  LOOP
    DELETE FROM {keys} k WHERE k.id = r.id AND k.region = r.region;
    DELETE FROM {outcomes} o WHERE o.id = r.id AND o.region = r.region;
    PERFORM {note}(r.id, r.region, 'forgotten', r.epoch, r.seq, r.attempt_id, '', '', p_reason);
    v_ids := v_ids || encode(r.id, 'hex') || ',';
  END LOOP;
  SELECT count(*) FILTER (WHERE {is_held}(k.id, k.principal)), count(*) FILTER (WHERE NOT {is_held}(k.id, k.principal))
    INTO v_held, v_kept
    FROM {keys} k WHERE k.principal_head = v_head AND k.principal = p_principal AND k.region = v_region;
  RETURN v_held || ' ' || v_kept || ' .' || v_ids;
END
$oncely$`

const sweep = `CREATE OR REPLACE FUNCTION {sweep}(p_batch integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  q record;
  v_now bigint := {now_ms}();
  v_removed integer := 0;
  v_count integer;
  v_holds boolean;
BEGIN
  SELECT EXISTS (SELECT FROM {holds}) INTO v_holds;
  IF v_holds THEN
    PERFORM {freeze}();
  END IF;
  FOR q IN SELECT * FROM {policies} LOOP
    EXIT WHEN v_removed >= p_batch;
    -- No record ends before it is created, so the index on (policy, created) bounds the search.
    DELETE FROM {keys} k WHERE k.ctid = ANY (ARRAY(
      SELECT d.ctid FROM {keys} d
        WHERE d.policy = q.id AND d.created <= v_now - q.tombstone_ms
          AND (d.state = 2 AND d.since <= v_now - greatest(q.retention_ms, q.tombstone_ms) OR d.state = 3 AND d.since <= v_now - q.tombstone_ms)
          AND (NOT v_holds OR NOT {is_held}(d.id, d.principal))
        ORDER BY d.created
        LIMIT p_batch - v_removed
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_removed := v_removed + v_count;
  END LOOP;
  RETURN v_removed;
END
$oncely$`

/** Copies what a table has of held records: of outcomes each once, of the trail all. */
const keepHeld = `CREATE FUNCTION {keep_held}(p_from text, p_table text, p_day date) RETURNS void LANGUAGE plpgsql VOLATILE AS $oncely$
BEGIN
  IF p_table = {=outcomes} THEN
    EXECUTE format('INSERT INTO {held_outcomes} (day, id, region, seq, codec, checksum, bytes)
      SELECT o.day, o.id, o.region, o.seq, o.codec, o.checksum, o.bytes FROM %I.%I o
        WHERE o.day < %L AND EXISTS (SELECT FROM {held_keys} f WHERE f.id = o.id AND f.region = o.region)
      ON CONFLICT (id, region, seq) DO NOTHING', {=schema}, p_from, p_day);
  ELSE
    EXECUTE format('INSERT INTO {held_events} SELECT e.* FROM %I.%I e
        WHERE e.day < %L AND (EXISTS (SELECT FROM {held_keys} f WHERE f.id = e.id AND f.region = e.region)
          OR EXISTS (SELECT FROM {holds} h WHERE h.kind = ''record'' AND h.digest = e.id))', {=schema}, p_from, p_day);
  END IF;
END
$oncely$`

/** As before; while there are holds, what a partition has of held records is copied first, and the default partition keeps them. */
const dropBefore = `CREATE OR REPLACE FUNCTION {drop_before}(p_table text, p_day date, p_batch integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  r record;
  v_dropped integer := 0;
  v_holds boolean;
  v_spare text := '';
BEGIN
  SELECT EXISTS (SELECT FROM {holds}) INTO v_holds;
  IF v_holds THEN
    PERFORM {freeze}();
    v_spare := ' AND NOT EXISTS (SELECT FROM {held_keys} f WHERE f.id = d.id) AND NOT EXISTS (SELECT FROM {holds} h WHERE h.digest = d.id)';
  END IF;
  FOR r IN
    SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
      WHERE h.inhparent = format('%I.%I', {=schema}, p_table)::regclass
        AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < to_char(p_day, 'YYYYMMDD')
      ORDER BY c.relname
  LOOP
    BEGIN
      IF v_holds THEN
        PERFORM {keep_held}(r.relname, p_table, p_day);
      END IF;
      EXECUTE format('DROP TABLE %I.%I', {=schema}, r.relname);
      v_dropped := v_dropped + 1;
    EXCEPTION WHEN lock_not_available THEN
      EXIT;
    END;
  END LOOP;
  EXECUTE format('DELETE FROM %1$I.%2$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$I.%2$I d WHERE day < %3$L%5$s LIMIT %4$s FOR UPDATE SKIP LOCKED))',
    {=schema}, p_table || '_default', p_day, p_batch, v_spare);
  RETURN v_dropped;
END
$oncely$`

export const lifecycle: Migration = {
  number: 5,
  name: 'lifecycle',
  breaking: true,
  statements: [...tables, isHeld, principalHead, freeze, hold, forget, erasePrincipal, sweep, keepHeld, dropBefore],
}
