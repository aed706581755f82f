import type {
  DeadLetter,
  InboxEnd,
  InboxPartition,
  InboxStart,
  InboxState,
  InboxStats,
  InboxStore,
  OffsetStep,
  ParkedLease,
  ParkedMessage,
  PartitionOffset,
} from '../../core/index.ts'
import { envelopeOf, inboxStatsRow, letterRow, offsetRow, onlyRow, parkedRow, stateRow } from '../../sql/index.ts'
import { bytes, integer, text } from './sql-call.ts'
import type { StoreFunctions } from './store-function.ts'

/**
 * One statement a method. Marks, letters and parked messages are found by the digest of their message; where a statement writes
 * several rows it takes them in the order of their digests, and whoever meets another batch the other way round is repeated.
 */
export class PostgresInbox<Tx> implements InboxStore<Tx> {
  readonly #functions: StoreFunctions<Tx>

  constructor(functions: StoreFunctions<Tx>) {
    this.#functions = functions
  }

  /** Reads what is known of each message, counts the starts that count, answers both: one snapshot, one commit. */
  async start(consumer: string, starts: readonly InboxStart[]): Promise<readonly InboxState[]> {
    if (starts.length === 0) return []
    const given = starts.map(
      ({ id, lane, kind }, index) => `(${index}, ${digest(id)}, ${lane === undefined ? 'NULL::bytea' : digest(lane)}, '${kind}')`,
    )
    const { rows } = await this.#functions.rows(
      'marks of started messages',
      `WITH given (nr, id, lane, kind) AS (VALUES ${given.join(', ')}), clock AS MATERIALIZED (SELECT ${this.#name('now_ms')}() AS ms),
facts AS MATERIALIZED (
  SELECT g.nr, g.id, g.kind, d.reason, p.id IS NOT NULL AS parked, clock.ms,
    g.lane IS NOT NULL AND EXISTS (SELECT 1 FROM ${this.#name('parked')} q WHERE q.consumer = ${text(consumer).literal} AND q.lane = g.lane) AS lane_parked,
    greatest(0, m.hold_until - clock.ms) AS wait_ms, m.started, m.finished, m.failed, m.alone, m.last_error
  FROM given g CROSS JOIN clock
    LEFT JOIN ${this.#name('dead_letters')} d ON d.id = g.id
    LEFT JOIN ${this.#name('parked')} p ON p.id = g.id
    LEFT JOIN ${this.#name('inbox')} m ON m.id = g.id),
counted AS (
  INSERT INTO ${this.#name('inbox')} AS m (hold_until, touched, started, finished, failed, alone, id, consumer, last_error)
  SELECT 0, ms, 1, 0, 0, CASE WHEN kind = 'alone' THEN 1 ELSE 0 END, id, ${text(consumer).literal}, '' FROM facts
  WHERE reason IS NULL AND (kind <> 'fetched' OR NOT parked AND NOT lane_parked AND coalesce(wait_ms, 0) = 0)
  ORDER BY id
  ON CONFLICT (id) DO UPDATE SET started = m.started + 1 - excluded.alone, alone = m.alone + excluded.alone, touched = excluded.touched
  RETURNING m.id, m.started, m.finished, m.failed, m.alone, m.last_error)
SELECT f.reason, f.parked, f.lane_parked, coalesce(f.wait_ms, 0) AS wait_ms, coalesce(c.started, f.started, 0) AS started,
  coalesce(c.finished, f.finished, 0) AS finished, coalesce(c.failed, f.failed, 0) AS failed, coalesce(c.alone, f.alone, 0) AS alone,
  coalesce(c.last_error, f.last_error, '') AS last_error
FROM facts f LEFT JOIN counted c ON c.id = f.id ORDER BY f.nr`,
    )
    return rows.map(stateRow)
  }

  async finish(ends: readonly InboxEnd[]): Promise<void> {
    if (ends.length === 0) return
    const given = ends.map((end) => {
      const [delayMs, error] = end.end === 'failed' ? [end.delayMs, end.error] : [0, '']
      return `(${digest(end.id)}, '${end.end}', ${integer(delayMs).literal}::bigint, ${text(error).literal}::text)`
    })
    await this.#functions.rows(
      'marks of ended messages',
      `WITH given (id, kind, delay, error) AS (VALUES ${given.join(', ')}),
done AS (DELETE FROM ${this.#name('inbox')} m USING given g WHERE m.id = g.id AND g.kind = 'done')
UPDATE ${this.#name('inbox')} m SET finished = m.started, alone = 0, touched = ${this.#name('now_ms')}(),
  failed = m.failed + CASE WHEN g.kind = 'failed' THEN 1 ELSE 0 END,
  hold_until = CASE WHEN g.kind = 'failed' THEN ${this.#name('now_ms')}() + g.delay ELSE m.hold_until END,
  last_error = CASE WHEN g.kind = 'failed' THEN g.error ELSE m.last_error END
FROM given g WHERE m.id = g.id AND g.kind <> 'done'`,
    )
  }

  async bury(tx: Tx, letter: Omit<DeadLetter, 'quarantinedAtMs'>): Promise<boolean> {
    const { id, lane, consumer, operation, reason, error, attempts, messageId, message } = letter
    const values = [consumer, operation, reason, error, messageId, envelopeOf(message)].map((value) => text(value).literal)
    const { rows } = await this.#functions.layer.run(tx, [
      `DELETE FROM ${this.#name('inbox')} WHERE id = ${digest(id)}`,
      `DELETE FROM ${this.#name('parked')} WHERE id = ${digest(id)}`,
      `INSERT INTO ${this.#name('dead_letters')} (at, attempts, id, lane, payload, consumer, operation, reason, error, message_id, envelope)
VALUES (${this.#name('now_ms')}(), ${integer(attempts).literal}, ${digest(id)}, ${digest(lane)}, ${digest(message.payload)}, ${values.join(', ')})
ON CONFLICT (id) DO NOTHING RETURNING 1 AS one`,
    ])
    return rows.length === 1
  }

  async park(tx: Tx, { id, lane, consumer, message }: ParkedMessage, { delayMs }: { readonly delayMs: number }): Promise<void> {
    await this.#functions.layer.run(tx, [
      `INSERT INTO ${this.#name('parked')} (at, hold_until, lease_end, token, id, lane, consumer, envelope, payload)
SELECT now.ms, now.ms + ${integer(delayMs).literal}::bigint, 0, 0, ${digest(id)}, ${digest(lane)}, ${text(consumer).literal}, ${text(envelopeOf(message)).literal}, ${digest(message.payload)}
FROM (SELECT ${this.#name('now_ms')}() AS ms) now ON CONFLICT (id) DO NOTHING`,
    ])
  }

  /** Of two consumers that see the same first row, the second waits for the first one's row lock and finds the lease taken. */
  async takeParked(consumer: string, lease: { readonly leaseMs: number; readonly lanesMax: number }): Promise<readonly ParkedLease[]> {
    const { rows } = await this.#functions.rows(
      'a lease of parked messages',
      `WITH heads AS (
  SELECT p.position FROM ${this.#name('parked')} p
  WHERE p.consumer = ${text(consumer).literal} AND p.hold_until <= ${this.#name('now_ms')}() AND p.lease_end <= ${this.#name('now_ms')}()
    AND NOT EXISTS (SELECT 1 FROM ${this.#name('parked')} q WHERE q.consumer = p.consumer AND q.lane = p.lane AND q.position < p.position)
  ORDER BY p.position LIMIT ${integer(lease.lanesMax).literal})
UPDATE ${this.#name('parked')} p SET lease_end = ${this.#name('now_ms')}() + ${integer(lease.leaseMs).literal}::bigint, token = nextval('${this.#name('fence')}')
FROM heads h WHERE p.position = h.position AND p.lease_end <= ${this.#name('now_ms')}()
RETURNING p.position, p.token, p.id, p.lane, p.consumer, p.envelope, p.payload`,
    )
    return rows.map(parkedRow).sort((a, b) => (a.position < b.position ? -1 : 1))
  }

  async unpark(tx: Tx, { position, token }: ParkedLease): Promise<boolean> {
    const { rows } = await this.#functions.layer.run(tx, [
      `DELETE FROM ${this.#name('parked')} WHERE position = ${integer(position).literal} AND token = ${integer(token).literal} RETURNING 1 AS one`,
    ])
    return rows.length === 1
  }

  async holdParked({ position, token }: ParkedLease, { delayMs }: { readonly delayMs: number }): Promise<void> {
    await this.#functions.rows(
      'a parked message that waits',
      `UPDATE ${this.#name('parked')} SET lease_end = 0, hold_until = ${this.#name('now_ms')}() + ${integer(delayMs).literal}::bigint
WHERE position = ${integer(position).literal} AND token = ${integer(token).literal}`,
    )
  }

  async letters(
    consumer: string,
    { limit, after }: { readonly limit: number; readonly after?: DeadLetter },
  ): Promise<readonly DeadLetter[]> {
    const from = after === undefined ? '' : `AND number > (SELECT number FROM ${this.#name('dead_letters')} WHERE id = ${digest(after.id)})`
    const { rows } = await this.#functions.rows(
      'quarantined messages',
      `SELECT * FROM ${this.#name('dead_letters')} WHERE consumer = ${text(consumer).literal} ${from} ORDER BY number LIMIT ${integer(limit).literal}`,
    )
    return rows.map(letterRow)
  }

  async letter(id: Uint8Array): Promise<DeadLetter | undefined> {
    const { rows } = await this.#functions.rows(
      'a quarantined message',
      `SELECT * FROM ${this.#name('dead_letters')} WHERE id = ${digest(id)}`,
    )
    return rows[0] === undefined ? undefined : letterRow(rows[0])
  }

  async exhume(id: Uint8Array, { park }: { readonly park: boolean }): Promise<boolean> {
    const { rows } = await this.#functions.rows(
      'the end of a quarantine',
      `WITH letter AS (DELETE FROM ${this.#name('dead_letters')} WHERE id = ${digest(id)} RETURNING *),
parked AS (
  INSERT INTO ${this.#name('parked')} (at, hold_until, lease_end, token, id, lane, consumer, envelope, payload)
  SELECT ${this.#name('now_ms')}(), 0, 0, 0, id, lane, consumer, envelope, payload FROM letter WHERE ${park} ON CONFLICT (id) DO NOTHING)
SELECT 1 AS one FROM letter`,
    )
    return rows.length === 1
  }

  async adopt(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset> {
    const incarnation = text(partition.incarnation ?? '').literal
    const { rows } = await this.#functions.rows(
      'the adoption of a partition',
      `INSERT INTO ${this.#name('inbox_offsets')} AS o (applied, partition, consumer, source, incarnation, owner)
VALUES (-1, ${integer(partition.partition).literal}, ${text(consumer).literal}, ${text(partition.source).literal}, ${incarnation}, ${text(owner).literal})
ON CONFLICT (consumer, source, partition) DO UPDATE SET
  owner = CASE WHEN o.incarnation IN ('', excluded.incarnation) OR excluded.incarnation = '' THEN excluded.owner ELSE o.owner END,
  incarnation = CASE WHEN o.incarnation = '' THEN excluded.incarnation ELSE o.incarnation END
RETURNING applied, incarnation`,
    )
    return offsetRow(onlyRow({ rows, count: rows.length }))
  }

  async owned(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset | undefined> {
    const { rows } = await this.#functions.rows(
      'the offset of a partition',
      `SELECT applied, incarnation FROM ${this.#name('inbox_offsets')} WHERE ${this.#at(consumer, partition)} AND owner = ${text(owner).literal}`,
    )
    return rows[0] === undefined ? undefined : offsetRow(rows[0])
  }

  async advance(tx: Tx, consumer: string, partition: InboxPartition, { owner, from, to }: OffsetStep): Promise<boolean> {
    const { rows } = await this.#functions.layer.run(tx, [
      `UPDATE ${this.#name('inbox_offsets')} SET applied = ${integer(to).literal}
WHERE ${this.#at(consumer, partition)} AND owner = ${text(owner).literal} AND applied = ${integer(from).literal} RETURNING 1 AS one`,
    ])
    return rows.length === 1
  }

  async resetOffset(consumer: string, partition: InboxPartition, applied: bigint | undefined): Promise<void> {
    const at = this.#at(consumer, partition)
    await this.#functions.rows(
      'the reset of an offset',
      applied === undefined
        ? `DELETE FROM ${this.#name('inbox_offsets')} WHERE ${at}`
        : `UPDATE ${this.#name('inbox_offsets')} SET applied = ${integer(applied).literal}, owner = '', incarnation = ${text(partition.incarnation ?? '').literal} WHERE ${at}`,
    )
  }

  async seen(
    tx: Tx,
    consumer: string,
    ids: readonly Uint8Array[],
    { windowMs }: { readonly windowMs: number },
  ): Promise<readonly boolean[]> {
    if (ids.length === 0) return []
    const { rows } = await this.#functions.layer.run(tx, [
      `WITH given (nr, id) AS (VALUES ${ids.map((id, index) => `(${index}, ${digest(id)})`).join(', ')}),
clock AS MATERIALIZED (SELECT ${this.#name('now_ms')}() AS ms),
fresh AS (
  INSERT INTO ${this.#name('seen')} AS s (at, until, id, consumer)
  SELECT ms, ms + 2 * ${integer(windowMs).literal}::bigint, id, ${text(consumer).literal} FROM given, clock ORDER BY id
  ON CONFLICT (consumer, id) DO UPDATE SET at = excluded.at, until = excluded.until WHERE s.until <= excluded.at RETURNING id),
old AS (
  SELECT count(*) AS duplicates, count(*) FILTER (WHERE s.at + ${integer(windowMs).literal}::bigint <= clock.ms) AS late
  FROM clock, given g LEFT JOIN ${this.#name('seen')} s ON s.consumer = ${text(consumer).literal} AND s.id = g.id
  WHERE NOT EXISTS (SELECT 1 FROM fresh f WHERE f.id = g.id)),
counted AS (
  INSERT INTO ${this.#name('seen_counts')} AS c (duplicates, late, consumer) SELECT duplicates, late, ${text(consumer).literal} FROM old WHERE duplicates > 0
  ON CONFLICT (consumer) DO UPDATE SET duplicates = c.duplicates + excluded.duplicates, late = c.late + excluded.late)
SELECT EXISTS (SELECT 1 FROM fresh f WHERE f.id = g.id) AS new FROM given g ORDER BY g.nr`,
    ])
    return rows.map((row) => row['new'] === true || row['new'] === 't')
  }

  async sweep({ batchMax, marksMs }: { readonly batchMax: number; readonly marksMs: number }): Promise<number> {
    const removed = (table: string, where: string): string =>
      `DELETE FROM ${this.#name(table)} t WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM ${this.#name(table)} WHERE ${where} LIMIT ${integer(batchMax).literal} FOR UPDATE SKIP LOCKED)) RETURNING 1`
    const { rows } = await this.#functions.rows(
      'a sweep of the inbox',
      `WITH marks AS (${removed('inbox', `touched < ${this.#name('now_ms')}() - ${integer(marksMs).literal}::bigint`)}),
ids AS (${removed('seen', `until <= ${this.#name('now_ms')}()`)})
SELECT (SELECT count(*) FROM marks) + (SELECT count(*) FROM ids) AS removed`,
    )
    return Number(onlyRow({ rows, count: 1 })['removed'])
  }

  async stats(consumer: string): Promise<InboxStats> {
    const of = (table: string): string => `FROM ${this.#name(table)} WHERE consumer = ${text(consumer).literal}`
    const { rows } = await this.#functions.rows(
      'statistics of the inbox',
      `SELECT (SELECT count(*) ${of('inbox')}) AS open, (SELECT count(*) ${of('parked')}) AS parked,
  (SELECT coalesce(greatest(0, ${this.#name('now_ms')}() - min(at)), 0) ${of('parked')}) AS oldest_parked_ms, (SELECT count(*) ${of('dead_letters')}) AS quarantined,
  (SELECT coalesce(sum(duplicates), 0) ${of('seen_counts')}) AS duplicates, (SELECT coalesce(sum(late), 0) ${of('seen_counts')}) AS late`,
    )
    return inboxStatsRow(onlyRow({ rows, count: 1 }))
  }

  #name(table: string): string {
    return this.#functions.nameOf(table)
  }

  #at(consumer: string, { source, partition }: InboxPartition): string {
    return `consumer = ${text(consumer).literal} AND source = ${text(source).literal} AND partition = ${integer(partition).literal}`
  }
}

/** In a list of VALUES a literal has no type of its own. */
function digest(value: Uint8Array): string {
  return `${bytes(value).literal}::bytea`
}
