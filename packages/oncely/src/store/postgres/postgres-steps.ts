import {
  type AbandonedRun,
  type OwnerAnswer,
  type Ownership,
  type SettledPoint,
  type SqlRows,
  type SqlValue,
  type StepHistory,
  type StepIntent,
  type StepStore,
  TransactionEscaped,
} from '../../core/index.ts'
import { abandonedRun, answerOf, startPath, stepHistory, stepKindCodes, stepStateCodes } from '../../sql/index.ts'
import { meaningOf } from './postgres-error.ts'
import { bytes, integer, nothing, type SqlArgument, type SqlCall, text, uuid } from './sql-call.ts'
import { owned, type StoreFunctions, stored } from './store-function.ts'

const savepoint = 'oncely_step'

/**
 * Recovery points. Every write is one statement: it locks the record's row where token and attempt are still its newest, and writes the
 * point from what it found, so that nothing is written for anybody else. One round trip each.
 */
export class PostgresSteps<Tx> implements StepStore<Tx> {
  readonly #functions: StoreFunctions<Tx>

  constructor(functions: StoreFunctions<Tx>) {
    this.#functions = functions
  }

  start(
    ownership: Ownership,
    { version, payload, input }: { readonly version: number; readonly payload: Uint8Array; readonly input: SettledPoint['value'] },
  ): Promise<OwnerAnswer> {
    const point: SettledPoint = { path: startPath, kind: 'start', name: String(version), state: 'done', value: input }
    return this.#write('a start', this.#settled(ownership, point, bytes(payload)))
  }

  async read(id: Uint8Array, createdAtMs: number): Promise<StepHistory | undefined> {
    const statement = `SELECT s.*, ${this.#now} AS now FROM ${this.#name('instance')} i
  JOIN ${this.#name('steps')} s ON s.id = $1 AND s.region = i.region AND s.life = $2 ORDER BY s.path`
    const { rows } = await this.#functions.rows('recovery points', statement, [id, String(createdAtMs)])
    return stepHistory(rows)
  }

  intend(ownership: Ownership, { path, name, key, generation, lifetimeMs }: StepIntent): Promise<OwnerAnswer> {
    const effect = [integer(stepKindCodes.effect), integer(stepStateCodes.intended)].map(({ literal }) => literal)
    return this.#write(
      'an intent',
      `${this.#insert('called, expires, generation, remote_key')}
SELECT ${this.#owned}, ${text(path).literal}, ${text(name).literal}, ${effect[0]}::smallint, ${effect[1]}::smallint, ${this.#now}, ${this.#now} + ${lifetimeMs}, ${generation}, ${text(key).literal}
${this.#held(ownership)}
ON CONFLICT (id, region, life, path) DO UPDATE SET state = excluded.state, called = excluded.called, remote_key = excluded.remote_key,
  generation = excluded.generation, seq = excluded.seq, epoch = excluded.epoch, attempt_id = excluded.attempt_id,
  expires = CASE WHEN s.generation = excluded.generation THEN s.expires ELSE excluded.expires END
  WHERE s.state <> ${stepStateCodes.done}
RETURNING 'done' AS answer`,
    )
  }

  settle(ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer> {
    return this.#write('a recovery point', this.#settled(ownership, point, nothing))
  }

  async enter(tx: Tx, ownership: Ownership): Promise<OwnerAnswer> {
    const look = `SELECT 'done' AS answer FROM ${this.#name('keys')} k WHERE ${this.#isOwned(ownership)}`
    return word(await this.#functions.layer.run(tx, [`SAVEPOINT ${savepoint}`, look]))
  }

  async commit(tx: Tx, ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer> {
    try {
      return word(await this.#functions.layer.run(tx, [`RELEASE SAVEPOINT ${savepoint}`, this.#settled(ownership, point, nothing)]))
    } catch (error) {
      if (meaningOf(error, this.#functions.place) !== 'untransacted') throw error
      throw new TransactionEscaped('The function of this step ended its transaction itself.', { cause: error })
    }
  }

  async isOpen(tx: Tx): Promise<boolean> {
    try {
      await this.#functions.layer.run(tx, [`ROLLBACK TO SAVEPOINT ${savepoint}`])
      return true
    } catch (error) {
      return meaningOf(error, this.#functions.place) !== 'untransacted'
    }
  }

  async quarantine(ownership: Ownership, { reason }: { readonly reason: string }): Promise<OwnerAnswer> {
    const call = this.#functions.call('quarantine', [...owned(ownership), text(''), text(''), text(reason)])
    return (await this.#functions.word('a quarantine', call)) as OwnerAnswer
  }

  async abandoned(search: {
    readonly operations: readonly string[]
    readonly limit: number
    readonly backoffMs: number
    readonly backoffMaxMs: number
  }): Promise<readonly AbandonedRun[]> {
    const names = search.operations.map((operation) => text(operation).literal).join(', ')
    const backoff = `least(${search.backoffMaxMs}, ${search.backoffMs} * power(2, least(k.attempt, 30) - 1))`
    const statement = `SELECT s.id, s.life, n.name AS operation FROM ${this.#name('steps')} s
  JOIN ${this.#name('keys')} k ON k.id = s.id AND k.region = s.region AND k.created = s.life
  JOIN ${this.#name('operations')} n ON n.id = k.operation
WHERE s.path = '' AND n.name IN (${names}) AND (k.state = 1 AND k.lease_end + ${backoff} <= ${this.#now} OR k.state = 3)
ORDER BY s.life LIMIT ${search.limit}`
    const { rows } = await this.#functions.rows('a search', statement)
    return rows.map(abandonedRun)
  }

  /** An erasure of records that takes their recovery points with it, in one statement; `ids` selects them from its `answer`. */
  async erasedBy(call: SqlCall, ids: string): Promise<string> {
    const { text: erasure, values } = call.bound
    const gone = `DELETE FROM ${this.#name('steps')} WHERE id IN (${ids})`
    const statement = `WITH erasure AS MATERIALIZED (${erasure}), gone AS (${gone}) SELECT answer FROM erasure`
    return answerOf(await this.#functions.rows('an erasure', statement, values))
  }

  /** Recovery points whose operation is completed or gone, a batch at a time. */
  async sweep(batchMax: number): Promise<void> {
    const left = `SELECT s.ctid FROM ${this.#name('steps')} s
    LEFT JOIN ${this.#name('keys')} k ON k.id = s.id AND k.region = s.region AND k.created = s.life
    WHERE k.id IS NULL OR k.state = 2 LIMIT ${batchMax}`
    await this.#functions.rows('a sweep', `DELETE FROM ${this.#name('steps')} WHERE ctid = ANY (ARRAY(${left}))`)
  }

  #settled(ownership: Ownership, { path, kind, name, state, value }: SettledPoint, payload: SqlArgument): string {
    const frame = stored(value).map(({ literal }) => literal)
    return `${this.#insert('payload, codec, checksum, bytes')}
SELECT ${this.#owned}, ${text(path).literal}, ${text(name).literal}, ${stepKindCodes[kind]}::smallint, ${stepStateCodes[state]}::smallint, ${payload.literal}::bytea, ${frame[0]}::integer, ${frame[1]}::bytea, ${frame[2]}::bytea
${this.#held(ownership)}
ON CONFLICT (id, region, life, path) DO UPDATE SET state = excluded.state, codec = excluded.codec, checksum = excluded.checksum,
  bytes = excluded.bytes, seq = excluded.seq, epoch = excluded.epoch, attempt_id = excluded.attempt_id
RETURNING 'done' AS answer`
  }

  #insert(columns: string): string {
    return `INSERT INTO ${this.#name('steps')} AS s (id, region, life, epoch, seq, attempt_id, path, name, kind, state, ${columns})`
  }

  readonly #owned = 'k.id, k.region, k.created, k.epoch, k.seq, k.attempt_id'

  /** The lock lasts to the commit: a newer claim waits for it, and then finds the point. */
  #held(ownership: Ownership): string {
    return `FROM ${this.#name('keys')} k WHERE ${this.#isOwned(ownership)} FOR NO KEY UPDATE`
  }

  #isOwned({ id, token, attemptId }: Ownership): string {
    const own = [bytes(id), integer(token.epoch), integer(token.seq), uuid(attemptId)].map(({ literal }) => literal)
    return `k.id = ${own[0]} AND k.epoch = ${own[1]} AND k.seq = ${own[2]} AND k.attempt_id = ${own[3]} AND k.state = 1`
  }

  get #now(): string {
    return `${this.#name('now_ms')}()`
  }

  #name(table: string): string {
    return this.#functions.nameOf(table)
  }

  async #write(what: string, statement: string, values?: readonly SqlValue[]): Promise<OwnerAnswer> {
    return word(await this.#functions.rows(what, statement, values))
  }
}

function word({ rows }: SqlRows): OwnerAnswer {
  return rows.length === 0 ? 'lost' : 'done'
}
