import type { Migration } from './migration.ts'

/**
 * What consumers of messages keep. No index names a column that a start, an end or a lease changes, so those are heap-only updates.
 */

/** Ends a claim without an outcome: done or lost. Locks the record's row. */
const quarantine = `CREATE FUNCTION {quarantine}(p_id bytea, p_epoch integer, p_seq bigint, p_attempt uuid, p_owner text, p_trace text, p_reason text)
RETURNS text LANGUAGE plpgsql VOLATILE AS $oncely$
DECLARE
  v_region smallint;
  v_now bigint := {now_ms}();
BEGIN
  SELECT i.region INTO STRICT v_region FROM {instance} i;
  UPDATE {keys} k SET state = 5, since = v_now, reason = p_reason, lease_end = NULL
    WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 1;
  IF FOUND THEN
    INSERT INTO {open} AS o (id, region, state, since, lease_end) VALUES (p_id, v_region, 5, v_now, NULL)
      ON CONFLICT (id, region) DO UPDATE SET state = 5, since = excluded.since;
    PERFORM {note}(p_id, v_region, 'quarantined', p_epoch, p_seq, p_attempt, p_owner, p_trace, p_reason);
    RETURN 'done';
  END IF;
  PERFORM FROM {keys} k
    WHERE k.id = p_id AND k.region = v_region AND k.epoch = p_epoch AND k.seq = p_seq AND k.attempt_id = p_attempt AND k.state = 5;
  RETURN CASE WHEN FOUND THEN 'done' ELSE 'lost' END;
END
$oncely$`

export const inboxes: Migration = {
  number: 7,
  name: 'inbox',
  breaking: false,
  statements: [
    quarantine,
    // Marks of messages that are not done. started - finished > 1 says that an earlier start never ended; alone counts the starts
    // in a row that had the process for themselves.
    `CREATE TABLE {inbox} (
  hold_until bigint NOT NULL,
  touched bigint NOT NULL,
  started integer NOT NULL,
  finished integer NOT NULL,
  failed integer NOT NULL,
  alone integer NOT NULL,
  id bytea NOT NULL,
  consumer text NOT NULL,
  last_error text NOT NULL,
  CONSTRAINT {#inbox_pkey} PRIMARY KEY (id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)`,
    `CREATE TABLE {dead_letters} (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  attempts integer NOT NULL,
  id bytea NOT NULL,
  lane bytea NOT NULL,
  consumer text NOT NULL,
  operation text NOT NULL,
  reason text NOT NULL,
  error text NOT NULL,
  message_id text NOT NULL,
  envelope text NOT NULL,
  payload bytea NOT NULL,
  CONSTRAINT {#dead_letters_id} UNIQUE (id)
)`,
    `CREATE INDEX {#dead_letters_consumer} ON {dead_letters} (consumer, number)`,
    // The first row of a lane carries the lane's lease.
    `CREATE TABLE {parked} (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  hold_until bigint NOT NULL,
  lease_end bigint NOT NULL,
  token bigint NOT NULL,
  id bytea NOT NULL,
  lane bytea NOT NULL,
  consumer text NOT NULL,
  envelope text NOT NULL,
  payload bytea NOT NULL,
  CONSTRAINT {#parked_id} UNIQUE (id)
) WITH (fillfactor = 80)`,
    `CREATE INDEX {#parked_lane} ON {parked} (consumer, lane, position)`,
    `CREATE TABLE {inbox_offsets} (
  applied bigint NOT NULL,
  partition integer NOT NULL,
  consumer text NOT NULL,
  source text NOT NULL,
  incarnation text NOT NULL,
  owner text NOT NULL,
  CONSTRAINT {#inbox_offsets_pkey} PRIMARY KEY (consumer, source, partition)
) WITH (fillfactor = 50)`,
    `CREATE TABLE {seen} (
  at bigint NOT NULL,
  until bigint NOT NULL,
  id bytea NOT NULL,
  consumer text NOT NULL,
  CONSTRAINT {#seen_pkey} PRIMARY KEY (consumer, id)
)`,
    `CREATE INDEX {#seen_until} ON {seen} (until)`,
    `CREATE TABLE {seen_counts} (
  duplicates bigint NOT NULL,
  late bigint NOT NULL,
  consumer text NOT NULL,
  CONSTRAINT {#seen_counts_pkey} PRIMARY KEY (consumer)
) WITH (fillfactor = 50)`,
  ],
}
