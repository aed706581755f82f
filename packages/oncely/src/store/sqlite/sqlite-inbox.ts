import type {
  Clock,
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
import { envelopeOf, inboxStatsRow, letterRow, offsetRow, parkedRow, type Row, stateRow } from '../../sql/index.ts'
import { nextTurn } from './event-loop.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'
import { storeError } from './sqlite-error.ts'
import { sweepChunk } from './upkeep.ts'

/** The store's file, once it is open. */
export interface InboxFile {
  read<R>(run: (connection: Connection) => R): Promise<R>
  write<R>(run: (connection: Connection) => R): Promise<R>
}

/** Every write is one step with the writer in hand, so nothing comes between what it reads and what it writes. */
export class SqliteInbox<Tx extends SqliteConnection> implements InboxStore<Tx> {
  readonly #file: () => Promise<InboxFile>
  readonly #connectionOf: (tx: Tx) => Connection
  readonly #clock: Clock

  constructor(file: () => Promise<InboxFile>, connectionOf: (tx: Tx) => Connection, clock: Clock) {
    this.#file = file
    this.#connectionOf = connectionOf
    this.#clock = clock
  }

  async start(consumer: string, starts: readonly InboxStart[]): Promise<readonly InboxState[]> {
    if (starts.length === 0) return []
    return this.#write((writer) => starts.map((start) => startOne(writer, consumer, start, this.#clock.nowMs())))
  }

  async finish(ends: readonly InboxEnd[]): Promise<void> {
    if (ends.length === 0) return
    await this.#write((writer) => {
      const nowMs = this.#clock.nowMs()
      for (const end of ends) {
        if (end.end === 'done') writer.run('DELETE FROM oncely_inbox WHERE id = ?', end.id)
        else if (end.end === 'undecided')
          writer.run('UPDATE oncely_inbox SET finished = started, alone = 0, touched = ? WHERE id = ?', nowMs, end.id)
        else
          writer.run(
            'UPDATE oncely_inbox SET finished = started, alone = 0, touched = ?, failed = failed + 1, hold_until = ?, last_error = ? WHERE id = ?',
            nowMs,
            Math.ceil(nowMs + end.delayMs),
            end.error,
            end.id,
          )
      }
    })
  }

  async bury(tx: Tx, letter: Omit<DeadLetter, 'quarantinedAtMs'>): Promise<boolean> {
    const { id, lane, consumer, operation, reason, error, attempts, messageId, message } = letter
    return this.#inside(tx, (connection) => {
      connection.run('DELETE FROM oncely_inbox WHERE id = ?', id)
      connection.run('DELETE FROM oncely_parked WHERE id = ?', id)
      const kept = connection.run(
        `INSERT INTO oncely_dead_letters (at, attempts, id, lane, consumer, operation, reason, error, message_id, envelope, payload)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(?, x'')) ON CONFLICT (id) DO NOTHING`,
        this.#clock.nowMs(),
        attempts,
        id,
        lane,
        consumer,
        operation,
        reason,
        error,
        messageId,
        envelopeOf(message),
        message.payload,
      )
      return kept === 1
    })
  }

  async park(tx: Tx, { id, lane, consumer, message }: ParkedMessage, { delayMs }: { readonly delayMs: number }): Promise<void> {
    const nowMs = this.#clock.nowMs()
    await this.#inside(tx, (connection) =>
      connection.run(
        `INSERT INTO oncely_parked (at, hold_until, lease_end, token, id, lane, consumer, envelope, payload)
         VALUES (?, ?, 0, 0, ?, ?, ?, ?, coalesce(?, x'')) ON CONFLICT (id) DO NOTHING`,
        nowMs,
        Math.ceil(nowMs + delayMs),
        id,
        lane,
        consumer,
        envelopeOf(message),
        message.payload,
      ),
    )
  }

  async takeParked(consumer: string, lease: { readonly leaseMs: number; readonly lanesMax: number }): Promise<readonly ParkedLease[]> {
    const file = await this.#file()
    const nowMs = this.#clock.nowMs()
    // Most of the time nothing is due, and a look needs no writer.
    const due = await file.read((reader) => dueHeads(reader, consumer, nowMs, 1))
    if (due.length === 0) return []
    return this.#write((writer) =>
      dueHeads(writer, consumer, nowMs, lease.lanesMax).map(({ position }) =>
        parkedRow(
          writer.get<Row>(
            'UPDATE oncely_parked SET lease_end = ?, token = token + 1 WHERE position = ? RETURNING *',
            Math.ceil(nowMs + lease.leaseMs),
            position,
          ) as Row,
        ),
      ),
    )
  }

  async unpark(tx: Tx, { position, token }: ParkedLease): Promise<boolean> {
    return this.#inside(
      tx,
      (connection) => connection.run('DELETE FROM oncely_parked WHERE position = ? AND token = ?', position, token) === 1,
    )
  }

  async holdParked({ position, token }: ParkedLease, { delayMs }: { readonly delayMs: number }): Promise<void> {
    await this.#write((writer) =>
      writer.run(
        'UPDATE oncely_parked SET lease_end = 0, hold_until = ? WHERE position = ? AND token = ?',
        Math.ceil(this.#clock.nowMs() + delayMs),
        position,
        token,
      ),
    )
  }

  async letters(
    consumer: string,
    { limit, after }: { readonly limit: number; readonly after?: DeadLetter },
  ): Promise<readonly DeadLetter[]> {
    const file = await this.#file()
    const from = after === undefined ? 0 : undefined
    return file.read((reader) =>
      reader
        .all<Row>(
          `SELECT * FROM oncely_dead_letters WHERE consumer = ? AND number > coalesce(?, (SELECT number FROM oncely_dead_letters WHERE id = ?), 0)
           ORDER BY number LIMIT ?`,
          consumer,
          from ?? null,
          after?.id ?? null,
          limit,
        )
        .map(letterRow),
    )
  }

  async letter(id: Uint8Array): Promise<DeadLetter | undefined> {
    const file = await this.#file()
    return file.read((reader) => {
      const row = reader.get<Row>('SELECT * FROM oncely_dead_letters WHERE id = ?', id)
      return row === undefined ? undefined : letterRow(row)
    })
  }

  async exhume(id: Uint8Array, { park }: { readonly park: boolean }): Promise<boolean> {
    return this.#write((writer) => {
      if (park)
        writer.run(
          `INSERT INTO oncely_parked (at, hold_until, lease_end, token, id, lane, consumer, envelope, payload)
           SELECT ?, 0, 0, 0, id, lane, consumer, envelope, payload FROM oncely_dead_letters WHERE id = ? ON CONFLICT (id) DO NOTHING`,
          this.#clock.nowMs(),
          id,
        )
      return writer.run('DELETE FROM oncely_dead_letters WHERE id = ?', id) === 1
    })
  }

  async adopt(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset> {
    return this.#write((writer) =>
      offsetRow(
        writer.get<Row>(
          `INSERT INTO oncely_inbox_offsets AS o (consumer, source, partition, applied, incarnation, owner) VALUES (?, ?, ?, -1, ?, ?)
           ON CONFLICT (consumer, source, partition) DO UPDATE SET
             owner = CASE WHEN o.incarnation IN ('', excluded.incarnation) OR excluded.incarnation = '' THEN excluded.owner ELSE o.owner END,
             incarnation = CASE WHEN o.incarnation = '' THEN excluded.incarnation ELSE o.incarnation END
           RETURNING CAST(applied AS TEXT) AS applied, incarnation`,
          consumer,
          partition.source,
          partition.partition,
          partition.incarnation ?? '',
          owner,
        ) as Row,
      ),
    )
  }

  async owned(consumer: string, { source, partition }: InboxPartition, owner: string): Promise<PartitionOffset | undefined> {
    const file = await this.#file()
    return file.read((reader) => {
      const row = reader.get<Row>(
        `SELECT CAST(applied AS TEXT) AS applied, incarnation FROM oncely_inbox_offsets
         WHERE consumer = ? AND source = ? AND partition = ? AND owner = ?`,
        consumer,
        source,
        partition,
        owner,
      )
      return row === undefined ? undefined : offsetRow(row)
    })
  }

  async advance(tx: Tx, consumer: string, { source, partition }: InboxPartition, { owner, from, to }: OffsetStep): Promise<boolean> {
    return this.#inside(
      tx,
      (connection) =>
        connection.run(
          'UPDATE oncely_inbox_offsets SET applied = ? WHERE consumer = ? AND source = ? AND partition = ? AND owner = ? AND applied = ?',
          to,
          consumer,
          source,
          partition,
          owner,
          from,
        ) === 1,
    )
  }

  async resetOffset(consumer: string, { source, partition, incarnation = '' }: InboxPartition, applied: bigint | undefined): Promise<void> {
    await this.#write((writer) =>
      applied === undefined
        ? writer.run('DELETE FROM oncely_inbox_offsets WHERE consumer = ? AND source = ? AND partition = ?', consumer, source, partition)
        : writer.run(
            "UPDATE oncely_inbox_offsets SET applied = ?, owner = '', incarnation = ? WHERE consumer = ? AND source = ? AND partition = ?",
            applied,
            incarnation,
            consumer,
            source,
            partition,
          ),
    )
  }

  async seen(
    tx: Tx,
    consumer: string,
    ids: readonly Uint8Array[],
    { windowMs }: { readonly windowMs: number },
  ): Promise<readonly boolean[]> {
    const nowMs = this.#clock.nowMs()
    return this.#inside(tx, (connection) => {
      let late = 0
      const fresh = ids.map((id) => {
        const written = connection.run(
          `INSERT INTO oncely_seen AS s (consumer, id, at, until) VALUES (?, ?, ?, ?)
           ON CONFLICT (consumer, id) DO UPDATE SET at = excluded.at, until = excluded.until WHERE s.until <= excluded.at`,
          consumer,
          id,
          nowMs,
          nowMs + 2 * windowMs,
        )
        if (written === 1) return true
        const row = connection.get<{ at: number }>('SELECT at FROM oncely_seen WHERE consumer = ? AND id = ?', consumer, id)
        if (row !== undefined && row.at + windowMs <= nowMs) late++
        return false
      })
      const duplicates = fresh.filter((isNew) => !isNew).length
      if (duplicates > 0)
        connection.run(
          `INSERT INTO oncely_seen_counts (consumer, duplicates, late) VALUES (?, ?, ?)
           ON CONFLICT (consumer) DO UPDATE SET duplicates = duplicates + excluded.duplicates, late = late + excluded.late`,
          consumer,
          duplicates,
          late,
        )
      return fresh
    })
  }

  async sweep({ batchMax, marksMs }: { readonly batchMax: number; readonly marksMs: number }): Promise<number> {
    const nowMs = this.#clock.nowMs()
    const chunk = Math.min(sweepChunk, batchMax)
    let removed = 0
    const marks = 'DELETE FROM oncely_inbox WHERE id IN (SELECT id FROM oncely_inbox WHERE touched < ? LIMIT ?)'
    const ids = 'DELETE FROM oncely_seen WHERE (consumer, id) IN (SELECT consumer, id FROM oncely_seen WHERE until <= ? LIMIT ?)'
    for (const [statement, before] of [
      [marks, nowMs - marksMs],
      [ids, nowMs],
    ] as const) {
      for (let now = chunk; now === chunk && removed < batchMax; ) {
        now = await this.#write((writer) => writer.run(statement, before, chunk))
        removed += now
        await nextTurn()
      }
    }
    return removed
  }

  async stats(consumer: string): Promise<InboxStats> {
    const file = await this.#file()
    return file.read((reader) =>
      inboxStatsRow(
        reader.get<Row>(
          `SELECT (SELECT count(*) FROM oncely_inbox WHERE consumer = :c) AS open, (SELECT count(*) FROM oncely_parked WHERE consumer = :c) AS parked,
             (SELECT coalesce(max(0, :now - min(at)), 0) FROM oncely_parked WHERE consumer = :c) AS oldest_parked_ms,
             (SELECT count(*) FROM oncely_dead_letters WHERE consumer = :c) AS quarantined,
             (SELECT coalesce(sum(duplicates), 0) FROM oncely_seen_counts WHERE consumer = :c) AS duplicates,
             (SELECT coalesce(sum(late), 0) FROM oncely_seen_counts WHERE consumer = :c) AS late`
            .replaceAll(':c', '?1')
            .replaceAll(':now', '?2'),
          consumer,
          this.#clock.nowMs(),
        ) as Row,
      ),
    )
  }

  async #write<R>(run: (connection: Connection) => R): Promise<R> {
    return (await this.#file()).write(run)
  }

  async #inside<R>(tx: Tx, run: (connection: Connection) => R): Promise<R> {
    try {
      return run(this.#connectionOf(tx))
    } catch (error) {
      throw storeError(error, 'no')
    }
  }
}

function startOne(writer: Connection, consumer: string, { id, lane, kind }: InboxStart, nowMs: number): InboxState {
  const row = writer.get<Row>(
    `SELECT d.reason, p.id IS NOT NULL AS parked, max(0, coalesce(m.hold_until - ?2, 0)) AS wait_ms,
       EXISTS (SELECT 1 FROM oncely_parked q WHERE q.consumer = ?3 AND q.lane = ?4) AS lane_parked,
       coalesce(m.started, 0) AS started, coalesce(m.finished, 0) AS finished, coalesce(m.failed, 0) AS failed, coalesce(m.alone, 0) AS alone,
       coalesce(m.last_error, '') AS last_error
     FROM (SELECT ?1 AS id) g LEFT JOIN oncely_dead_letters d ON d.id = g.id LEFT JOIN oncely_parked p ON p.id = g.id
       LEFT JOIN oncely_inbox m ON m.id = g.id`,
    id,
    nowMs,
    consumer,
    lane ?? null,
  ) as Row
  const state = stateRow(row)
  if (state.quarantined !== undefined) return state
  if (kind === 'fetched' && (state.parked || state.laneParked || state.waitMs > 0)) return state
  const alone = kind === 'alone' ? 1 : 0
  writer.run(
    `INSERT INTO oncely_inbox AS m (id, consumer, hold_until, touched, started, finished, failed, alone, last_error) VALUES (?, ?, 0, ?, 1, 0, 0, ?, '')
     ON CONFLICT (id) DO UPDATE SET started = m.started + 1 - excluded.alone, alone = m.alone + excluded.alone, touched = excluded.touched`,
    id,
    consumer,
    nowMs,
    alone,
  )
  return { ...state, started: state.started + (alone === 1 && state.started > 0 ? 0 : 1), alone: state.alone + alone }
}

function dueHeads(connection: Connection, consumer: string, nowMs: number, limit: number): { readonly position: number }[] {
  return connection.all<{ position: number }>(
    `SELECT p.position FROM oncely_parked p WHERE p.consumer = ? AND p.hold_until <= ? AND p.lease_end <= ?
       AND NOT EXISTS (SELECT 1 FROM oncely_parked q WHERE q.consumer = p.consumer AND q.lane = p.lane AND q.position < p.position)
     ORDER BY p.position LIMIT ?`,
    consumer,
    nowMs,
    nowMs,
    limit,
  )
}
