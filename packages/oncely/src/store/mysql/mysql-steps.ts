import {
  type AbandonedRun,
  type OwnerAnswer,
  type Ownership,
  type SettledPoint,
  type StepHistory,
  type StepIntent,
  type StepStore,
  TransactionEscaped,
} from '../../core/index.ts'
import { abandonedRun, numberOf, onlyRow, startPath, stepHistory, stepKindCodes, stepStateCodes } from '../../sql/index.ts'
import { nowMs } from './migrations/migration.ts'
import { meaningOf, storeError } from './mysql-error.ts'
import { bytes, integer, nothing, text, uuid } from './sql-literal.ts'
import { type StoreProcedures, stored } from './store-procedure.ts'

const savepoint = 'oncely_step'

/**
 * Recovery points. Every write is one statement: it locks the record's row where token and attempt are still its newest, and writes the
 * point from what it found, so that nothing is written for anybody else. One round trip each; the quarantine takes three.
 */
export class MysqlSteps<Tx> implements StepStore<Tx> {
  readonly #procedures: StoreProcedures<Tx>
  #regionRead: Promise<number> | undefined

  constructor(procedures: StoreProcedures<Tx>) {
    this.#procedures = procedures
  }

  async start(
    ownership: Ownership,
    { version, payload, input }: { readonly version: number; readonly payload: Uint8Array; readonly input: SettledPoint['value'] },
  ): Promise<OwnerAnswer> {
    const point: SettledPoint = { path: startPath, kind: 'start', name: String(version), state: 'done', value: input }
    return this.#write('a start', this.#settled(await this.#region(), ownership, point, bytes(payload)))
  }

  async read(id: Uint8Array, createdAtMs: number): Promise<StepHistory | undefined> {
    const statement = `SELECT s.*, ${nowMs} AS now FROM ${this.#name('steps')} s
WHERE s.id = ${bytes(id)} AND s.region = ${await this.#region()} AND s.life = ${integer(createdAtMs)} ORDER BY s.path`
    const { rows } = await this.#procedures.rows('recovery points', statement)
    return stepHistory(rows.map(legible))
  }

  async intend(ownership: Ownership, { path, name, key, generation, lifetimeMs }: StepIntent): Promise<OwnerAnswer> {
    const done = stepStateCodes.done
    return this.#write(
      'an intent',
      `${this.#insert('called, expires, generation, remote_key')}
SELECT ${owned}, ${text(path)}, ${text(name)}, ${stepKindCodes.effect}, ${stepStateCodes.intended}, ${nowMs}, ${nowMs} + ${integer(lifetimeMs)}, ${integer(generation)}, ${text(key)}
${this.#held(await this.#region(), ownership)}
ON DUPLICATE KEY UPDATE writes = ${this.#name('steps')}.writes + 1,
  expires = IF(${this.#name('steps')}.generation = VALUES(generation), ${this.#name('steps')}.expires, VALUES(expires)),
  state = IF(${this.#name('steps')}.state = ${done}, ${done}, VALUES(state)), called = VALUES(called), remote_key = VALUES(remote_key),
  generation = VALUES(generation), seq = VALUES(seq), epoch = VALUES(epoch), attempt_id = VALUES(attempt_id)`,
    )
  }

  async settle(ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer> {
    return this.#write('a recovery point', this.#settled(await this.#region(), ownership, point, nothing))
  }

  async enter(tx: Tx, ownership: Ownership): Promise<OwnerAnswer> {
    const look = `SELECT 'done' AS answer FROM ${this.#name('keys')} k WHERE ${isOwned(await this.#region(), ownership)}`
    const { rows } = await this.#procedures.layer.run(tx, [`SAVEPOINT ${savepoint}`, look])
    return rows.length === 0 ? 'lost' : 'done'
  }

  async commit(tx: Tx, ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer> {
    const write = this.#settled(await this.#region(), ownership, point, nothing)
    try {
      const { count } = await this.#procedures.layer.run(tx, [`RELEASE SAVEPOINT ${savepoint}`, write])
      return count === 0 ? 'lost' : 'done'
    } catch (error) {
      if (meaningOf(error) !== 'untransacted') throw error
      throw new TransactionEscaped('The function of this step ended its transaction itself.', { cause: error })
    }
  }

  async isOpen(tx: Tx): Promise<boolean> {
    try {
      await this.#procedures.layer.run(tx, [`ROLLBACK TO SAVEPOINT ${savepoint}`])
      return true
    } catch (error) {
      return meaningOf(error) !== 'untransacted'
    }
  }

  async quarantine(ownership: Ownership, { reason }: { readonly reason: string }): Promise<OwnerAnswer> {
    const { id, token, attemptId } = ownership
    const { layer, place } = this.#procedures
    const region = await this.#region()
    const update = `UPDATE ${this.#name('keys')} k SET k.state = 5, k.since = ${nowMs}, k.reason = ${text(reason)}, k.lease_end = NULL
WHERE ${isOwned(region, ownership)}`
    const put = `INSERT INTO ${this.#name('open')} (id, region, state, since) VALUES (${bytes(id)}, ${region}, 5, ${nowMs})
ON DUPLICATE KEY UPDATE state = 5, since = VALUES(since)`
    const note = `INSERT INTO ${this.#name('events')} (at, id, region, event, epoch, seq, attempt_id, owner, trace_id, reason)
VALUES (${nowMs}, ${bytes(id)}, ${region}, 'quarantined', ${integer(token.epoch)}, ${integer(token.seq)}, ${uuid(attemptId)}, '', '', ${text(reason)})`
    try {
      const { value } = await layer.transaction<OwnerAnswer>(
        { isolation: 'read-committed', statements: [update] },
        async (_tx, { count }) =>
          count === 0
            ? { end: 'roll-back', statement: undefined, value: 'lost' }
            : { end: 'commit', statements: [put, note], value: 'done' },
      )
      return value
    } catch (error) {
      throw storeError(error, place, 'a quarantine')
    }
  }

  async abandoned(search: {
    readonly operations: readonly string[]
    readonly limit: number
    readonly backoffMs: number
    readonly backoffMaxMs: number
  }): Promise<readonly AbandonedRun[]> {
    const names = search.operations.map(text).join(', ')
    const backoff = `LEAST(${search.backoffMaxMs}, ${search.backoffMs} * POW(2, LEAST(k.attempt, 30) - 1))`
    const statement = `SELECT s.id, s.life, CONVERT(n.name USING utf8mb4) AS operation FROM ${this.#name('steps')} s
  JOIN ${this.#name('keys')} k ON k.id = s.id AND k.region = s.region AND k.created = s.life
  JOIN ${this.#name('operations')} n ON n.id = k.operation
WHERE s.path = '' AND n.name IN (${names}) AND (k.state = 1 AND k.lease_end + ${backoff} <= ${nowMs} OR k.state = 3)
ORDER BY s.life LIMIT ${search.limit}`
    const { rows } = await this.#procedures.rows('a search', statement)
    return rows.map(abandonedRun)
  }

  /** Recovery points of a record that an operator erased. */
  async erase(id: Uint8Array): Promise<void> {
    await this.#procedures.rows('an erasure', `DELETE FROM ${this.#name('steps')} WHERE id = ${bytes(id)}`)
  }

  /** Recovery points whose operation is completed or gone, a batch at a time. */
  async sweep(batchMax: number): Promise<void> {
    const found = `SELECT s.id, s.life FROM ${this.#name('steps')} s
    LEFT JOIN ${this.#name('keys')} k ON k.id = s.id AND k.region = s.region AND k.created = s.life
    WHERE s.path = '' AND (k.id IS NULL OR k.state = 2) LIMIT ${batchMax}`
    const { rows } = await this.#procedures.rows('a sweep', found)
    if (rows.length === 0) return
    const ended = rows.map(abandonedRun).map(({ id, createdAtMs }) => `(id = ${bytes(id)} AND life = ${integer(createdAtMs)})`)
    await this.#procedures.rows('a sweep', `DELETE FROM ${this.#name('steps')} WHERE ${ended.join(' OR ')}`)
  }

  #settled(region: number, ownership: Ownership, { path, kind, name, state, value }: SettledPoint, payload: string): string {
    return `${this.#insert('payload, codec, checksum, bytes')}
SELECT ${owned}, ${text(path)}, ${text(name)}, ${stepKindCodes[kind]}, ${stepStateCodes[state]}, ${payload}, ${stored(value).join(', ')}
${this.#held(region, ownership)}
ON DUPLICATE KEY UPDATE writes = ${this.#name('steps')}.writes + 1, state = VALUES(state), codec = VALUES(codec),
  checksum = VALUES(checksum), bytes = VALUES(bytes), seq = VALUES(seq), epoch = VALUES(epoch), attempt_id = VALUES(attempt_id)`
  }

  #insert(columns: string): string {
    return `INSERT INTO ${this.#name('steps')} (id, region, life, epoch, seq, attempt_id, path, name, kind, state, ${columns})`
  }

  /** The lock lasts to the commit: a newer claim waits for it, and then finds the point. */
  #held(region: number, ownership: Ownership): string {
    return `FROM ${this.#name('keys')} k WHERE ${isOwned(region, ownership)} FOR UPDATE`
  }

  /** A constant of the database; the record's row is found by its whole key, so that its neighbours are not locked. */
  #region(): Promise<number> {
    this.#regionRead ??= this.#procedures.rows('its region', `SELECT region FROM ${this.#name('instance')}`).then(
      (found) => numberOf(onlyRow(found)['region']),
      (error: unknown) => {
        this.#regionRead = undefined
        throw error
      },
    )
    return this.#regionRead
  }

  #name(table: string): string {
    return this.#procedures.nameOf(table)
  }

  async #write(what: string, statement: string): Promise<OwnerAnswer> {
    return (await this.#procedures.rows(what, statement)).count === 0 ? 'lost' : 'done'
  }
}

const owned = 'k.id, k.region, k.created, k.epoch, k.seq, k.attempt_id'

function isOwned(region: number, { id, token, attemptId }: Ownership): string {
  return `k.id = ${bytes(id)} AND k.region = ${integer(region)} AND k.epoch = ${integer(token.epoch)} AND k.seq = ${integer(token.seq)}
  AND k.attempt_id = ${uuid(attemptId)} AND k.state = 1`
}

const decoder = new TextDecoder()

/** Names are bytes in the database, so that no collation folds them. */
function legible<Row extends Readonly<Record<string, unknown>>>(row: Row): Row {
  const columns = ['path', 'name', 'remote_key'].filter((column) => row[column] instanceof Uint8Array)
  return { ...row, ...Object.fromEntries(columns.map((column) => [column, decoder.decode(row[column] as Uint8Array)])) }
}
