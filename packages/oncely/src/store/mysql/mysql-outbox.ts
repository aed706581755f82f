import type {
  BucketLease,
  OutboxAggregate,
  OutboxLeaseRequest,
  OutboxReadRequest,
  OutboxRow,
  OutboxSettlement,
  OutboxStats,
  OutboxStore,
  Ownership,
  ParkedAggregate,
  SqlEnding,
  StoredMessage,
} from '../../core/index.ts'
import { numberOf, outboxStats, parkedAggregate, storedMessage, textOf } from '../../sql/index.ts'
import { nowMs } from './migrations/migration.ts'
import { storeError } from './mysql-error.ts'
import { bytes, integer, text, uuid } from './sql-literal.ts'
import type { StoreProcedures } from './store-procedure.ts'

/**
 * The outbox beside the records. `lease` is one statement when there is nothing to do, else three; `read` is two; `settle` and
 * `redrive` are a transaction that locks their bucket. Nothing here waits for a lock of the user's.
 */
export class MysqlOutbox<Tx> implements OutboxStore<Tx> {
  readonly #procedures: StoreProcedures<Tx>

  constructor(procedures: StoreProcedures<Tx>) {
    this.#procedures = procedures
  }

  async enqueue(tx: Tx, rows: readonly OutboxRow[]): Promise<void> {
    if (rows.length === 0) return
    try {
      await this.#procedures.layer.run(tx, [insertMessages(this.#procedures, rows)])
    } catch (error) {
      throw storeError(error, this.#procedures.place, 'messages')
    }
  }

  async lease({ owner, leaseMs, bucketsMax, sinks }: OutboxLeaseRequest): Promise<readonly BucketLease[]> {
    const buckets = this.#name('outbox_buckets')
    // In another order for each relay, as relays that look at once would all want the same ones.
    const free = await this.#rows(`SELECT b.bucket FROM ${buckets} b WHERE b.lease_end <= ${nowMs} AND EXISTS (
  SELECT 1 FROM ${this.#waiting} WHERE o.bucket = b.bucket AND ${due(sinks)})
ORDER BY b.lease_end, RAND() LIMIT ${Math.trunc(bucketsMax)}`)
    if (free.length === 0) return []
    const wanted = free.map((row) => numberOf(row['bucket'])).join(', ')
    await this.#rows(
      `UPDATE ${buckets} SET token = token + 1, owner = ${text(owner)}, lease_end = ${nowMs} + ${integer(leaseMs)} WHERE bucket IN (${wanted}) AND lease_end <= ${nowMs}`,
    )
    const leased = await this.#rows(
      `SELECT bucket, token FROM ${buckets} WHERE bucket IN (${wanted}) AND owner = ${text(owner)} AND lease_end > ${nowMs}`,
    )
    return leased.map((row) => ({ bucket: numberOf(row['bucket']), owner, token: BigInt(textOf(row['token'])) }))
  }

  async read(lease: BucketLease, { leaseMs, messagesMax, sinks }: OutboxReadRequest): Promise<readonly StoredMessage[] | 'lost'> {
    const buckets = this.#name('outbox_buckets')
    await this.#rows(`UPDATE ${buckets} b SET b.lease_end = ${nowMs} + ${integer(leaseMs)} WHERE ${owned(lease)}`)
    const rows = await this.#rows(`SELECT o.*, h.attempts, h.seq AS held_seq
FROM ${buckets} b LEFT JOIN (${this.#waiting}) ON o.bucket = b.bucket AND ${due(sinks)}
WHERE ${owned(lease)} ORDER BY o.seq LIMIT ${Math.trunc(messagesMax)}`)
    if (rows.length === 0) return 'lost'
    return rows.filter((row) => row['id'] !== null).map(storedMessage)
  }

  async settle(lease: BucketLease, { sent, freed, held }: OutboxSettlement): Promise<'done' | 'lost'> {
    const bucket = Math.trunc(lease.bucket)
    const statements: string[] = []
    if (sent.length > 0)
      statements.push(`DELETE FROM ${this.#name('outbox')} WHERE seq IN (${sent.map(integer).join(', ')}) AND bucket = ${bucket}`)
    if (freed.length > 0)
      statements.push(`DELETE FROM ${this.#name('outbox_held')} WHERE bucket = ${bucket} AND (${freed.map(of).join(' OR ')})`)
    for (const { sink, aggregate, position, attempts, delayMs, error } of held) {
      const dueMs = delayMs === undefined ? 'NULL' : `${nowMs} + ${integer(delayMs)}`
      const given = [bucket, text(sink), text(aggregate), integer(position), integer(attempts), dueMs, nowMs, text(error)]
      statements.push(
        `REPLACE INTO ${this.#name('outbox_held')} (bucket, sink, aggregate, seq, attempts, due, since, error) VALUES (${given.join(', ')})`,
      )
      // Out of what relays read; what comes later stays there and is passed over.
      if (delayMs === undefined)
        statements.push(
          `UPDATE ${this.#name('outbox')} SET parked = 1 WHERE bucket = ${bucket} AND parked = 0 AND ${of({ sink, aggregate })}`,
        )
    }
    const locked = await this.#locked(
      `SELECT b.bucket FROM ${this.#name('outbox_buckets')} b WHERE ${owned(lease)} FOR UPDATE`,
      () => statements,
    )
    return locked ? 'done' : 'lost'
  }

  async release(lease: BucketLease): Promise<void> {
    await this.#rows(`UPDATE ${this.#name('outbox_buckets')} b SET b.owner = '', b.lease_end = ${nowMs} WHERE ${owned(lease)}`)
  }

  async stats(): Promise<OutboxStats> {
    const [row] = await this.#rows(`SELECT COUNT(*) AS backlog, COALESCE(SUM(s.parked), 0) AS parked,
  COALESCE(${nowMs} - MIN(CASE WHEN s.parked = 0 THEN s.occurred END), 0) AS oldest_ms
FROM (SELECT o.occurred, (o.parked = 1 OR (h.bucket IS NOT NULL AND h.due IS NULL)) AS parked FROM ${this.#waiting}) s`)
    return outboxStats(row ?? {})
  }

  async parked(limit: number): Promise<readonly ParkedAggregate[]> {
    const rows = await this.#rows(`SELECT h.sink, h.aggregate, h.attempts, h.error, h.since, (
  SELECT COUNT(*) FROM ${this.#name('outbox')} o WHERE o.bucket = h.bucket AND o.sink = h.sink AND o.aggregate = h.aggregate) AS messages
FROM ${this.#name('outbox_held')} h WHERE h.due IS NULL ORDER BY h.since, h.aggregate LIMIT ${Math.trunc(limit)}`)
    return rows.map(parkedAggregate)
  }

  async redrive(aggregate: OutboxAggregate): Promise<boolean> {
    const held = this.#name('outbox_held')
    const [row] = await this.#rows(`SELECT bucket FROM ${held} WHERE ${of(aggregate)}`)
    if (row === undefined) return false
    const bucket = numberOf(row['bucket'])
    return this.#locked(
      `SELECT h.bucket FROM ${this.#name('outbox_buckets')} b JOIN ${held} h ON h.bucket = b.bucket AND h.sink = ${text(aggregate.sink)} AND h.aggregate = ${text(aggregate.aggregate)} WHERE b.bucket = ${bucket} FOR UPDATE`,
      () => [
        `UPDATE ${this.#name('outbox')} SET parked = 0 WHERE bucket = ${bucket} AND parked = 1 AND ${of(aggregate)}`,
        `DELETE FROM ${held} WHERE bucket = ${bucket} AND ${of(aggregate)}`,
      ],
    )
  }

  /** Runs the statements in a transaction in which `lock` answered a row; false when it answered none. */
  async #locked(lock: string, statements: () => readonly string[]): Promise<boolean> {
    const { layer, place } = this.#procedures
    try {
      const { value } = await layer.transaction<boolean>(
        { isolation: 'read-committed', statements: [lock] },
        async (_tx, { rows }): Promise<SqlEnding<boolean>> =>
          rows.length === 0
            ? { end: 'roll-back', statement: undefined, value: false }
            : { end: 'commit', statements: statements(), value: true },
      )
      return value
    } catch (error) {
      throw storeError(error, place, 'a settlement of the outbox')
    }
  }

  get #waiting(): string {
    return `${this.#name('outbox')} o LEFT JOIN ${this.#name('outbox_held')} h ON h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate`
  }

  async #rows(statement: string): Promise<Awaited<ReturnType<StoreProcedures<Tx>['rows']>>['rows']> {
    return (await this.#procedures.rows('the outbox', statement)).rows
  }

  #name(name: string): string {
    return this.#procedures.nameOf(name)
  }
}

const columns = '(occurred, bucket, id, sink, topic, aggregate, type, content_type, headers, payload)'

function given({ bucket, id, sink, topic, aggregate, type, contentType, headers, payload }: OutboxRow): readonly string[] {
  const names = [sink, topic, aggregate, type, contentType, JSON.stringify(headers)].map(text)
  return [nowMs, integer(bucket), uuid(id), ...names, bytes(payload)]
}

/** Writes messages in their order, in an open transaction. */
export function insertMessages<Tx>(procedures: StoreProcedures<Tx>, rows: readonly OutboxRow[]): string {
  return `INSERT INTO ${procedures.nameOf('outbox')} ${columns} VALUES ${rows.map((row) => `(${given(row).join(', ')})`).join(', ')}`
}

/**
 * The same, only where this attempt's claim is there: a transaction that a swallowed deadlock ended is gone, and each statement
 * after it commits by itself.
 */
export function insertClaimedMessages<Tx>(
  procedures: StoreProcedures<Tx>,
  { id, attemptId }: Ownership,
  rows: readonly OutboxRow[],
): string {
  const selects = rows.map((row, index) =>
    index === 0
      ? `SELECT 0 AS nth, ${given(row)
          .map((value, column) => `${value} AS c${column}`)
          .join(', ')}`
      : `SELECT ${index}, ${given(row).join(', ')}`,
  )
  const values = Array.from({ length: 10 }, (_, column) => `v.c${column}`).join(', ')
  return `INSERT INTO ${procedures.nameOf('outbox')} ${columns} SELECT ${values} FROM (${selects.join(' UNION ALL ')}) v
WHERE EXISTS (SELECT 1 FROM ${procedures.nameOf('keys')} k WHERE k.id = ${bytes(id)} AND k.attempt_id = ${uuid(attemptId)}) ORDER BY v.nth`
}

function due(sinks: readonly string[]): string {
  return `o.parked = 0 AND o.sink IN (${sinks.map(text).join(', ')}) AND (h.bucket IS NULL OR h.due <= ${nowMs})`
}

function owned({ bucket, owner, token }: BucketLease): string {
  return `b.bucket = ${Math.trunc(bucket)} AND b.token = ${integer(token)} AND b.owner = ${text(owner)}`
}

function of({ sink, aggregate }: OutboxAggregate): string {
  return `(sink = ${text(sink)} AND aggregate = ${text(aggregate)})`
}
