import type {
  BucketLease,
  OutboxAggregate,
  OutboxLeaseRequest,
  OutboxReadRequest,
  OutboxRow,
  OutboxSettlement,
  OutboxStats,
  OutboxStore,
  ParkedAggregate,
  SqlEnding,
  StoredMessage,
} from '../../core/index.ts'
import { numberOf, onlyRow, outboxStats, parkedAggregate, storedMessage, textOf } from '../../sql/index.ts'
import { storeError } from './postgres-error.ts'
import { bytes, integer, type SqlArgument, text, uuid } from './sql-call.ts'
import type { StoreFunctions } from './store-function.ts'

/**
 * The outbox beside the records. Each method is one statement and one round trip; only `redrive` takes two, as it must see what a
 * relay had committed when it got the bucket. Rows locked: one bucket, by `read`, `settle` and `redrive`; `lease` skips locked ones.
 */
export class PostgresOutbox<Tx> implements OutboxStore<Tx> {
  readonly #functions: StoreFunctions<Tx>

  constructor(functions: StoreFunctions<Tx>) {
    this.#functions = functions
  }

  async enqueue(tx: Tx, rows: readonly OutboxRow[]): Promise<void> {
    if (rows.length === 0) return
    try {
      await this.#functions.layer.run(tx, [insertMessages(this.#functions, rows)])
    } catch (error) {
      throw storeError(error, this.#functions.place, 'messages')
    }
  }

  async lease({ owner, leaseMs, bucketsMax, sinks }: OutboxLeaseRequest): Promise<readonly BucketLease[]> {
    const statement = `WITH now AS MATERIALIZED (SELECT ${this.#now} AS ms), free AS (
  SELECT b.bucket FROM ${this.#name('outbox_buckets')} b, now WHERE b.lease_end <= now.ms AND EXISTS (
    SELECT FROM ${this.#name('outbox')} o WHERE o.bucket = b.bucket AND NOT o.parked AND o.sink IN (${list(sinks)}) AND NOT EXISTS (
      SELECT FROM ${this.#name('outbox_held')} h WHERE h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate
        AND (h.due IS NULL OR h.due > now.ms)))
  ORDER BY b.lease_end LIMIT ${Math.trunc(bucketsMax)} FOR UPDATE OF b SKIP LOCKED)
UPDATE ${this.#name('outbox_buckets')} b SET token = b.token + 1, owner = ${literal(text(owner))}, lease_end = ${this.#now} + ${literal(integer(leaseMs))}
FROM free WHERE b.bucket = free.bucket RETURNING b.bucket, b.token::text AS token`
    const { rows } = await this.#functions.rows('a lease of the outbox', statement)
    return rows.map((row) => ({ bucket: numberOf(row['bucket']), owner, token: BigInt(textOf(row['token'])) }))
  }

  async read(lease: BucketLease, { leaseMs, messagesMax, sinks }: OutboxReadRequest): Promise<readonly StoredMessage[] | 'lost'> {
    const statement = `WITH leased AS (
  UPDATE ${this.#name('outbox_buckets')} b SET lease_end = ${this.#now} + ${literal(integer(leaseMs))} WHERE ${owned(lease)} RETURNING b.bucket)
SELECT m.* FROM leased LEFT JOIN LATERAL (
  SELECT o.seq::text AS seq, o.seq AS place, o.occurred, o.id::text AS id, o.sink, o.topic, o.aggregate, o.type, o.content_type, o.headers, o.payload,
    h.attempts, h.seq::text AS held_seq
  FROM ${this.#name('outbox')} o
    LEFT JOIN ${this.#name('outbox_held')} h ON h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate
  WHERE o.bucket = leased.bucket AND NOT o.parked AND o.sink IN (${list(sinks)}) AND (h.bucket IS NULL OR h.due <= ${this.#now})
  ORDER BY o.seq LIMIT ${Math.trunc(messagesMax)}) m ON true
ORDER BY m.place`
    const { rows } = await this.#functions.rows('a read of the outbox', statement)
    if (rows.length === 0) return 'lost'
    return rows.filter((row) => row['id'] !== null).map(storedMessage)
  }

  async settle(lease: BucketLease, { sent, freed, held }: OutboxSettlement): Promise<'done' | 'lost'> {
    const steps = [`leased AS MATERIALIZED (SELECT b.bucket FROM ${this.#name('outbox_buckets')} b WHERE ${owned(lease)} FOR UPDATE)`]
    if (sent.length > 0)
      steps.push(
        `sent AS (DELETE FROM ${this.#name('outbox')} o USING leased WHERE o.bucket = leased.bucket AND o.seq IN (${sent.map((at) => literal(integer(at))).join(', ')}))`,
      )
    if (freed.length > 0)
      steps.push(
        `freed AS (DELETE FROM ${this.#name('outbox_held')} h USING leased WHERE h.bucket = leased.bucket AND (h.sink, h.aggregate) IN (${freed.map(pair).join(', ')}))`,
      )
    if (held.length > 0) {
      const rows = held.map(
        ({ sink, aggregate, position, attempts, delayMs, error }) =>
          `(${literal(text(sink))}, ${literal(text(aggregate))}, ${literal(integer(position))}::bigint, ${literal(integer(attempts))}::integer, ${delayMs === undefined ? 'NULL' : literal(integer(delayMs))}::bigint, ${literal(text(error))})`,
      )
      steps.push(`held AS (INSERT INTO ${this.#name('outbox_held')} AS h (bucket, sink, aggregate, seq, attempts, due, since, error)
SELECT leased.bucket, v.sink, v.aggregate, v.seq, v.attempts, ${this.#now} + v.delay, ${this.#now}, v.error
FROM leased, (VALUES ${rows.join(', ')}) AS v (sink, aggregate, seq, attempts, delay, error)
ON CONFLICT (bucket, sink, aggregate) DO UPDATE SET seq = excluded.seq, attempts = excluded.attempts, due = excluded.due, since = excluded.since, error = excluded.error)`)
    }
    // Out of the index that relays read by; what comes later stays in it and is passed over.
    const parked = held.filter(({ delayMs }) => delayMs === undefined)
    if (parked.length > 0)
      steps.push(
        `parked AS (UPDATE ${this.#name('outbox')} o SET parked = true FROM leased WHERE o.bucket = leased.bucket AND NOT o.parked AND (o.sink, o.aggregate) IN (${parked.map(pair).join(', ')}) AND o.seq NOT IN (${['-1', ...sent].join(', ')}))`,
      )
    const { rows } = await this.#functions.rows('a settlement of the outbox', `WITH ${steps.join(',\n')} SELECT bucket FROM leased`)
    return rows.length === 1 ? 'done' : 'lost'
  }

  async release(lease: BucketLease): Promise<void> {
    const statement = `UPDATE ${this.#name('outbox_buckets')} b SET owner = '', lease_end = ${this.#now} WHERE ${owned(lease)}`
    await this.#functions.rows('a release of the outbox', statement)
  }

  async stats(): Promise<OutboxStats> {
    const parked = `o.parked OR EXISTS (SELECT FROM ${this.#name('outbox_held')} h WHERE h.bucket = o.bucket AND h.sink = o.sink AND h.aggregate = o.aggregate AND h.due IS NULL)`
    const statement = `SELECT count(*) AS backlog, count(*) FILTER (WHERE s.parked) AS parked,
  coalesce(${this.#now} - min(s.occurred) FILTER (WHERE NOT s.parked), 0) AS oldest_ms
FROM (SELECT o.occurred, ${parked} AS parked FROM ${this.#name('outbox')} o) s`
    return outboxStats(onlyRow(await this.#functions.rows('statistics of the outbox', statement)))
  }

  async parked(limit: number): Promise<readonly ParkedAggregate[]> {
    const statement = `SELECT h.sink, h.aggregate, h.attempts, h.error, h.since, (
  SELECT count(*) FROM ${this.#name('outbox')} o WHERE o.bucket = h.bucket AND o.sink = h.sink AND o.aggregate = h.aggregate) AS messages
FROM ${this.#name('outbox_held')} h WHERE h.due IS NULL ORDER BY h.since, h.aggregate LIMIT ${Math.trunc(limit)}`
    return (await this.#functions.rows('parked aggregates', statement)).rows.map(parkedAggregate)
  }

  async redrive({ sink, aggregate }: OutboxAggregate): Promise<boolean> {
    const { layer, place } = this.#functions
    const matching = (alias: string): string =>
      `${alias}.sink = ${literal(text(sink))} AND ${alias}.aggregate = ${literal(text(aggregate))}`
    const lock = `SELECT b.bucket FROM ${this.#name('outbox_buckets')} b WHERE b.bucket IN (SELECT h.bucket FROM ${this.#name('outbox_held')} h WHERE ${matching('h')}) FOR UPDATE`
    try {
      const { rows } = await layer.transaction<undefined>(
        { isolation: 'read-committed', statements: [lock] },
        async (_tx, { rows: [bucket] }): Promise<SqlEnding<undefined>> => {
          if (bucket === undefined) return { end: 'roll-back', statement: undefined, value: undefined }
          const place = numberOf(bucket['bucket'])
          return {
            end: 'commit',
            statements: [
              `UPDATE ${this.#name('outbox')} o SET parked = false WHERE o.bucket = ${place} AND ${matching('o')} AND o.parked`,
              `WITH gone AS (DELETE FROM ${this.#name('outbox_held')} h WHERE h.bucket = ${place} AND ${matching('h')} RETURNING 1) SELECT count(*) AS redriven FROM gone`,
            ],
            value: undefined,
          }
        },
      )
      return rows !== undefined && numberOf(onlyRow(rows)['redriven']) === 1
    } catch (error) {
      throw storeError(error, place, 'a redrive')
    }
  }

  get #now(): string {
    return `${this.#name('now_ms')}()`
  }

  #name(name: string): string {
    return this.#functions.nameOf(name)
  }
}

/** Writes messages in their order. The server tells the time. */
export function insertMessages<Tx>(functions: StoreFunctions<Tx>, rows: readonly OutboxRow[]): string {
  const values = rows.map(({ bucket, id, sink, topic, aggregate, type, contentType, headers, payload }) => {
    const given = [
      integer(bucket),
      uuid(id),
      text(sink),
      text(topic),
      text(aggregate),
      text(type),
      text(contentType),
      text(JSON.stringify(headers)),
      bytes(payload),
    ]
    return `(${functions.nameOf('now_ms')}(), ${given.map(literal).join(', ')})`
  })
  return `INSERT INTO ${functions.nameOf('outbox')} (occurred, bucket, id, sink, topic, aggregate, type, content_type, headers, payload) VALUES ${values.join(', ')}`
}

/** The completion with the messages of its attempt, in one statement: every data layer sends it in one message. */
export function withMessages<Tx>(functions: StoreFunctions<Tx>, rows: readonly OutboxRow[], completion: string): string {
  return rows.length === 0 ? completion : `WITH written AS (${insertMessages(functions, rows)}) ${completion}`
}

function owned({ bucket, owner, token }: BucketLease): string {
  return `b.bucket = ${Math.trunc(bucket)} AND b.token = ${literal(integer(token))} AND b.owner = ${literal(text(owner))}`
}

function pair({ sink, aggregate }: OutboxAggregate): string {
  return `(${literal(text(sink))}, ${literal(text(aggregate))})`
}

function list(sinks: readonly string[]): string {
  return sinks.map((sink) => literal(text(sink))).join(', ')
}

function literal({ literal: rendered }: SqlArgument): string {
  return rendered
}
