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
  SqlLayer,
  SqlRows,
} from '../../core/index.ts'
import { TransactionConflict } from '../../core/index.ts'
import { envelopeOf, inboxStatsRow, letterRow, numberOf, offsetRow, onlyRow, parkedRow, stateRow } from '../../sql/index.ts'
import { nowMs } from './migrations/migration.ts'
import { meaningOf, storeError } from './mysql-error.ts'
import { bytes, integer, text } from './sql-literal.ts'
import type { StoreProcedures } from './store-procedure.ts'

const repeatsMax = 5

/** Names are compared by their bytes. */
function name(value: string): string {
  return bytes(new TextEncoder().encode(value))
}

/**
 * Every method is one transaction of a few statements under READ COMMITTED; rows are taken in the order of their digests, and a
 * deadlock repeats the whole. There is no statement here that writes and answers, so what was written is read again inside.
 */
export class MysqlInbox<Tx> implements InboxStore<Tx> {
  readonly #procedures: StoreProcedures<Tx>
  readonly #layer: SqlLayer<Tx>

  constructor(procedures: StoreProcedures<Tx>) {
    this.#procedures = procedures
    this.#layer = procedures.layer
  }

  async start(consumer: string, starts: readonly InboxStart[]): Promise<readonly InboxState[]> {
    if (starts.length === 0) return []
    const given = starts.map(
      ({ id, lane, kind }, nr) =>
        `SELECT ${nr} AS nr, ${bytes(id)} AS id, ${lane === undefined ? 'NULL' : bytes(lane)} AS lane, '${kind}' AS kind`,
    )
    const source = `(${given.join(' UNION ALL ')}) g`
    const facts = `FROM ${source}
LEFT JOIN ${this.#name('dead_letters')} d ON d.id = g.id
LEFT JOIN ${this.#name('parked')} p ON p.id = g.id
LEFT JOIN ${this.#name('inbox')} m ON m.id = g.id`
    const laneParked = `g.lane IS NOT NULL AND EXISTS (SELECT 1 FROM ${this.#name('parked')} q WHERE q.consumer = ${name(consumer)} AND q.lane = g.lane)`
    return this.#once('marks of started messages', async (run) => {
      // What is known before this start: whether it counts was decided by it.
      const { rows } = await run(
        `SELECT g.nr, LOWER(HEX(g.id)) AS hex, g.kind, d.reason, p.id IS NOT NULL AS parked, ${laneParked} AS lane_parked, GREATEST(0, COALESCE(m.hold_until - (${nowMs}), 0)) AS wait_ms,
  COALESCE(m.started, 0) AS started, COALESCE(m.finished, 0) AS finished, COALESCE(m.failed, 0) AS failed, COALESCE(m.alone, 0) AS alone, COALESCE(m.last_error, '') AS last_error
${facts} ORDER BY g.nr`,
      )
      const states = rows.map(stateRow)
      const counted = states.map((state, index) => counts(state, starts[index] as InboxStart))
      const values = starts
        .filter((_, index) => counted[index])
        .sort((a, b) => (hex(a.id) < hex(b.id) ? -1 : 1))
        .map(({ id, kind }) => `(${bytes(id)}, ${name(consumer)}, 0, ${nowMs}, 1, 0, 0, ${kind === 'alone' ? 1 : 0}, '')`)
      if (values.length > 0)
        await run(
          `INSERT INTO ${this.#name('inbox')} (id, consumer, hold_until, touched, started, finished, failed, alone, last_error) VALUES ${values.join(', ')}
ON DUPLICATE KEY UPDATE started = started + 1 - VALUES(alone), alone = alone + VALUES(alone), touched = VALUES(touched)`,
        )
      return states.map((state, index) => {
        const start = starts[index] as InboxStart
        if (!counted[index]) return state
        return start.kind === 'alone'
          ? { ...state, started: Math.max(1, state.started), alone: state.alone + 1 }
          : { ...state, started: state.started + 1 }
      })
    })
  }

  async finish(ends: readonly InboxEnd[]): Promise<void> {
    if (ends.length === 0) return
    const sorted = [...ends].sort((a, b) => (hex(a.id) < hex(b.id) ? -1 : 1))
    await this.#once('marks of ended messages', async (run) => {
      for (const end of sorted) {
        const at = `WHERE id = ${bytes(end.id)}`
        if (end.end === 'done') await run(`DELETE FROM ${this.#name('inbox')} ${at}`)
        else if (end.end === 'undecided')
          await run(`UPDATE ${this.#name('inbox')} SET finished = started, alone = 0, touched = ${nowMs} ${at}`)
        else
          await run(
            `UPDATE ${this.#name('inbox')} SET finished = started, alone = 0, touched = ${nowMs}, failed = failed + 1,
  hold_until = (${nowMs}) + ${integer(end.delayMs)}, last_error = ${text(end.error)} ${at}`,
          )
      }
    })
  }

  async bury(tx: Tx, letter: Omit<DeadLetter, 'quarantinedAtMs'>): Promise<boolean> {
    const { id, lane, consumer, operation, reason, error, attempts, messageId, message } = letter
    await this.#layer.run(tx, [`DELETE FROM ${this.#name('inbox')} WHERE id = ${bytes(id)}`])
    await this.#layer.run(tx, [`DELETE FROM ${this.#name('parked')} WHERE id = ${bytes(id)}`])
    const there = await this.#layer.run(tx, [`SELECT 1 AS one FROM ${this.#name('dead_letters')} WHERE id = ${bytes(id)} FOR UPDATE`])
    if (there.rows.length > 0) return false
    await this.#layer.run(tx, [
      `INSERT INTO ${this.#name('dead_letters')} (at, attempts, id, lane, payload, consumer, operation, reason, error, message_id, envelope)
VALUES (${nowMs}, ${integer(attempts)}, ${bytes(id)}, ${bytes(lane)}, ${bytes(message.payload)}, ${name(consumer)}, ${name(operation)}, ${text(reason)}, ${text(error)}, ${text(messageId)}, ${text(envelopeOf(message))})`,
    ])
    return true
  }

  async park(tx: Tx, { id, lane, consumer, message }: ParkedMessage, { delayMs }: { readonly delayMs: number }): Promise<void> {
    await this.#layer.run(tx, [
      `INSERT INTO ${this.#name('parked')} (at, hold_until, lease_end, token, id, lane, consumer, envelope, payload)
VALUES (${nowMs}, (${nowMs}) + ${integer(delayMs)}, 0, 0, ${bytes(id)}, ${bytes(lane)}, ${name(consumer)}, ${text(envelopeOf(message))}, ${bytes(message.payload)})
ON DUPLICATE KEY UPDATE position = position`,
    ])
  }

  /** Rows that somebody else is leasing are passed over. The token grows with each lease of a row. */
  async takeParked(consumer: string, lease: { readonly leaseMs: number; readonly lanesMax: number }): Promise<readonly ParkedLease[]> {
    return this.#once('a lease of parked messages', async (run) => {
      const { rows } = await run(
        `SELECT p.position FROM ${this.#name('parked')} p
WHERE p.consumer = ${name(consumer)} AND p.hold_until <= ${nowMs} AND p.lease_end <= ${nowMs}
  AND NOT EXISTS (SELECT 1 FROM ${this.#name('parked')} q WHERE q.consumer = p.consumer AND q.lane = p.lane AND q.position < p.position)
ORDER BY p.position LIMIT ${integer(lease.lanesMax)} FOR UPDATE SKIP LOCKED`,
      )
      if (rows.length === 0) return []
      const positions = rows.map((row) => integer(BigInt(String(row['position'])))).join(', ')
      await run(
        `UPDATE ${this.#name('parked')} SET lease_end = (${nowMs}) + ${integer(lease.leaseMs)}, token = token + 1 WHERE position IN (${positions})`,
      )
      const leased = await run(
        `SELECT position, token, id, lane, CONVERT(consumer USING utf8mb4) AS consumer, envelope, payload FROM ${this.#name('parked')} WHERE position IN (${positions}) ORDER BY position`,
      )
      return leased.rows.map(parkedRow)
    })
  }

  async unpark(tx: Tx, { position, token }: ParkedLease): Promise<boolean> {
    const at = `position = ${integer(position)} AND token = ${integer(token)}`
    const { rows } = await this.#layer.run(tx, [`SELECT 1 AS one FROM ${this.#name('parked')} WHERE ${at} FOR UPDATE`])
    if (rows.length === 0) return false
    await this.#layer.run(tx, [`DELETE FROM ${this.#name('parked')} WHERE ${at}`])
    return true
  }

  async holdParked({ position, token }: ParkedLease, { delayMs }: { readonly delayMs: number }): Promise<void> {
    await this.#procedures.rows(
      'a parked message that waits',
      `UPDATE ${this.#name('parked')} SET lease_end = 0, hold_until = (${nowMs}) + ${integer(delayMs)} WHERE position = ${integer(position)} AND token = ${integer(token)}`,
    )
  }

  async letters(
    consumer: string,
    { limit, after }: { readonly limit: number; readonly after?: DeadLetter },
  ): Promise<readonly DeadLetter[]> {
    const from =
      after === undefined ? '' : `AND number > (SELECT d.number FROM ${this.#name('dead_letters')} d WHERE d.id = ${bytes(after.id)})`
    const { rows } = await this.#procedures.rows(
      'quarantined messages',
      `SELECT ${letterColumns} FROM ${this.#name('dead_letters')} WHERE consumer = ${name(consumer)} ${from} ORDER BY number LIMIT ${integer(limit)}`,
    )
    return rows.map(letterRow)
  }

  async letter(id: Uint8Array): Promise<DeadLetter | undefined> {
    const { rows } = await this.#procedures.rows(
      'a quarantined message',
      `SELECT ${letterColumns} FROM ${this.#name('dead_letters')} WHERE id = ${bytes(id)}`,
    )
    return rows[0] === undefined ? undefined : letterRow(rows[0])
  }

  async exhume(id: Uint8Array, { park }: { readonly park: boolean }): Promise<boolean> {
    return this.#once('the end of a quarantine', async (run) => {
      const { rows } = await run(`SELECT 1 AS one FROM ${this.#name('dead_letters')} WHERE id = ${bytes(id)} FOR UPDATE`)
      if (rows.length === 0) return false
      if (park)
        await run(
          `INSERT INTO ${this.#name('parked')} (at, hold_until, lease_end, token, id, lane, consumer, envelope, payload)
SELECT ${nowMs}, 0, 0, 0, d.id, d.lane, d.consumer, d.envelope, d.payload FROM ${this.#name('dead_letters')} d WHERE d.id = ${bytes(id)}
ON DUPLICATE KEY UPDATE hold_until = 0`,
        )
      await run(`DELETE FROM ${this.#name('dead_letters')} WHERE id = ${bytes(id)}`)
      return true
    })
  }

  async adopt(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset> {
    const incarnation = name(partition.incarnation ?? '')
    return this.#once('the adoption of a partition', async (run) => {
      await run(
        `INSERT INTO ${this.#name('inbox_offsets')} (consumer, source, \`partition\`, applied, incarnation, owner)
VALUES (${name(consumer)}, ${name(partition.source)}, ${integer(partition.partition)}, -1, ${incarnation}, ${name(owner)})
ON DUPLICATE KEY UPDATE owner = IF(incarnation IN ('', VALUES(incarnation)) OR VALUES(incarnation) = '', VALUES(owner), owner),
  incarnation = IF(incarnation = '', VALUES(incarnation), incarnation)`,
      )
      return offsetRow(onlyRow(await run(this.#offset(consumer, partition))))
    })
  }

  async owned(consumer: string, partition: InboxPartition, owner: string): Promise<PartitionOffset | undefined> {
    const { rows } = await this.#procedures.rows(
      'the offset of a partition',
      `${this.#offset(consumer, partition)} AND owner = ${name(owner)}`,
    )
    return rows[0] === undefined ? undefined : offsetRow(rows[0])
  }

  /** Locks the row before it compares: a newer owner's commit is seen under every isolation, or the statement fails. */
  async advance(tx: Tx, consumer: string, partition: InboxPartition, { owner, from, to }: OffsetStep): Promise<boolean> {
    const { rows } = await this.#layer.run(tx, [
      `SELECT 1 AS one FROM ${this.#name('inbox_offsets')} WHERE ${at(consumer, partition)} AND owner = ${name(owner)} AND applied = ${integer(from)} FOR UPDATE`,
    ])
    if (rows.length === 0) return false
    await this.#layer.run(tx, [`UPDATE ${this.#name('inbox_offsets')} SET applied = ${integer(to)} WHERE ${at(consumer, partition)}`])
    return true
  }

  async resetOffset(consumer: string, partition: InboxPartition, applied: bigint | undefined): Promise<void> {
    await this.#procedures.rows(
      'the reset of an offset',
      applied === undefined
        ? `DELETE FROM ${this.#name('inbox_offsets')} WHERE ${at(consumer, partition)}`
        : `UPDATE ${this.#name('inbox_offsets')} SET applied = ${integer(applied)}, owner = '', incarnation = ${name(partition.incarnation ?? '')} WHERE ${at(consumer, partition)}`,
    )
  }

  async seen(
    tx: Tx,
    consumer: string,
    ids: readonly Uint8Array[],
    { windowMs }: { readonly windowMs: number },
  ): Promise<readonly boolean[]> {
    if (ids.length === 0) return []
    const run = (statement: string): Promise<SqlRows> => this.#layer.run(tx, [statement])
    const now = numberOf(onlyRow(await run(`SELECT ${nowMs} AS now`))['now'])
    const fresh = new Map<string, boolean>()
    let late = 0
    for (const id of [...ids].sort((a, b) => (hex(a) < hex(b) ? -1 : 1))) {
      // Reserves the id, or waits for whoever does; the row is then ours to judge.
      await run(
        `INSERT INTO ${this.#name('seen')} (consumer, id, at, until) VALUES (${name(consumer)}, ${bytes(id)}, -1, 0) ON DUPLICATE KEY UPDATE id = VALUES(id)`,
      )
      const row = onlyRow(
        await run(`SELECT at, until FROM ${this.#name('seen')} WHERE consumer = ${name(consumer)} AND id = ${bytes(id)} FOR UPDATE`),
      )
      const isNew = numberOf(row['until']) <= now
      fresh.set(hex(id), isNew)
      if (isNew)
        await run(
          `UPDATE ${this.#name('seen')} SET at = ${integer(now)}, until = ${integer(now + 2 * windowMs)} WHERE consumer = ${name(consumer)} AND id = ${bytes(id)}`,
        )
      else if (numberOf(row['at']) + windowMs <= now) late++
    }
    const duplicates = ids.length - [...fresh.values()].filter(Boolean).length
    if (duplicates > 0)
      await run(
        `INSERT INTO ${this.#name('seen_counts')} (consumer, duplicates, late) VALUES (${name(consumer)}, ${integer(duplicates)}, ${integer(late)})
ON DUPLICATE KEY UPDATE duplicates = duplicates + VALUES(duplicates), late = late + VALUES(late)`,
      )
    return ids.map((id) => fresh.get(hex(id)) ?? false)
  }

  async sweep({ batchMax, marksMs }: { readonly batchMax: number; readonly marksMs: number }): Promise<number> {
    const marks = `DELETE FROM ${this.#name('inbox')} WHERE touched < (${nowMs}) - ${integer(marksMs)} LIMIT ${integer(batchMax)}`
    const ids = `DELETE FROM ${this.#name('seen')} WHERE until <= ${nowMs} LIMIT ${integer(batchMax)}`
    let removed = 0
    for (const statement of [marks, ids]) {
      removed += await this.#once('a sweep of the inbox', async (run) => {
        await run(statement)
        return numberOf(onlyRow(await run('SELECT ROW_COUNT() AS removed'))['removed'])
      })
    }
    return removed
  }

  async stats(consumer: string): Promise<InboxStats> {
    const of = (table: string): string => `FROM ${this.#name(table)} WHERE consumer = ${name(consumer)}`
    return inboxStatsRow(
      onlyRow(
        await this.#procedures.rows(
          'statistics of the inbox',
          `SELECT (SELECT COUNT(*) ${of('inbox')}) AS open, (SELECT COUNT(*) ${of('parked')}) AS parked,
  (SELECT COALESCE(GREATEST(0, (${nowMs}) - MIN(at)), 0) ${of('parked')}) AS oldest_parked_ms, (SELECT COUNT(*) ${of('dead_letters')}) AS quarantined,
  (SELECT COALESCE(SUM(duplicates), 0) ${of('seen_counts')}) AS duplicates, (SELECT COALESCE(SUM(late), 0) ${of('seen_counts')}) AS late`,
        ),
      ),
    )
  }

  #offset(consumer: string, partition: InboxPartition): string {
    return `SELECT applied, CONVERT(incarnation USING utf8mb4) AS incarnation FROM ${this.#name('inbox_offsets')} WHERE ${at(consumer, partition)}`
  }

  #name(table: string): string {
    return this.#procedures.nameOf(table)
  }

  async #once<R>(what: string, body: (run: (statement: string) => Promise<SqlRows>) => Promise<R>): Promise<R> {
    for (let repeat = 0; ; repeat++) {
      try {
        return await this.#transaction(body)
      } catch (error) {
        const again = error instanceof TransactionConflict || meaningOf(error) === 'retry'
        if (again && repeat < repeatsMax) continue
        throw storeError(error, this.#procedures.place, what)
      }
    }
  }

  async #transaction<R>(body: (run: (statement: string) => Promise<SqlRows>) => Promise<R>): Promise<R> {
    type Ended = { readonly value: R } | { readonly error: unknown }
    const { value } = await this.#layer.transaction<Ended>({ isolation: 'read-committed', statements: [] }, async (tx) => {
      try {
        return { end: 'commit', statements: [], value: { value: await body((statement) => this.#layer.run(tx, [statement])) } }
      } catch (error) {
        return { end: 'roll-back', statement: undefined, value: { error } }
      }
    })
    if ('error' in value) throw value.error
    return value.value
  }
}

const letterColumns = `id, CONVERT(consumer USING utf8mb4) AS consumer, CONVERT(operation USING utf8mb4) AS operation, reason, error, attempts,
  message_id, lane, envelope, payload, at`

function counts(state: InboxState, { kind }: InboxStart): boolean {
  if (state.quarantined !== undefined) return false
  return kind !== 'fetched' || (!state.parked && !state.laneParked && state.waitMs === 0)
}

function at(consumer: string, { source, partition }: InboxPartition): string {
  return `consumer = ${name(consumer)} AND source = ${name(source)} AND \`partition\` = ${integer(partition)}`
}

function hex(id: Uint8Array): string {
  return bytes(id)
}
