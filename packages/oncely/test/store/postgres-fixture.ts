import { randomBytes } from 'node:crypto'
import { Pool, type PoolClient, type PoolConfig } from 'pg'
import type { Store, TransactionalStore } from '../../src/core/index.ts'
import { type PostgresStoreOptions, postgresStore } from '../../src/store/postgres/index.ts'
import type { OutboxHarness, StoreHarness } from '../../src/testing/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'

/** The server under test; without it nothing here can pass. */
export const serverUrl: string = process.env['ONCELY_TEST_POSTGRES_URL'] ?? missing()

function missing(): never {
  throw new Error(
    'ONCELY_TEST_POSTGRES_URL is not set: run `npm test -- postgres`, or `npm run services start postgres` and use the URL it prints.',
  )
}

/** A schema of its own on the real server, with a table of the user's. */
export interface Place {
  readonly schema: string
  readonly pool: Pool
  readonly store: TransactionalStore<PoolClient>
  /** Another pool and store on the same schema; closed with the place. */
  another(options?: { readonly pool?: PoolConfig; readonly store?: PostgresStoreOptions }): {
    readonly pool: Pool
    readonly store: TransactionalStore<PoolClient>
  }
  /** Runs SQL in which `{name}` stands for a table or function of the store, and `{effects}` for the user's table. */
  sql<Row extends Record<string, unknown>>(statement: string, values?: unknown[]): Promise<Row[]>
  named(statement: string): string
  /** Lets time pass for the records: their times are set back. */
  advance(ms: number): Promise<void>
  nowMs(): Promise<number>
  close(ended: 'passed' | 'failed'): Promise<void>
}

/** Schemas are dropped after a pass and kept after a failure. */
export async function openPlace(options: { readonly migrate?: boolean; readonly pool?: PoolConfig } = {}): Promise<Place> {
  const schema = `t_${randomBytes(6).toString('hex')}`
  const pools: Pool[] = []
  const another: Place['another'] = (wanted = {}) => {
    const pool = new Pool({ connectionString: serverUrl, max: 10, application_name: schema, ...wanted.pool })
    pool.on('error', () => {})
    pools.push(pool)
    return { pool, store: postgresStore(fromPg(pool), { schema, ...wanted.store }) }
  }
  const { pool, store } = another(options.pool === undefined ? {} : { pool: options.pool })
  const named = (statement: string): string =>
    statement.replaceAll(/\{([a-z_]+)\}/g, (_, name: string) => (name === 'effects' ? `"${schema}".effects` : `"${schema}".oncely_${name}`))
  const sql: Place['sql'] = async (statement, values) => (await pool.query(named(statement), values)).rows
  await pool.query(
    `CREATE SCHEMA "${schema}"; CREATE TABLE "${schema}".effects (at bigint GENERATED ALWAYS AS IDENTITY, value text NOT NULL)`,
  )
  if (options.migrate ?? true) {
    await store.migrate()
    await store.open()
  }
  return {
    schema,
    pool,
    store,
    another,
    sql,
    named,
    advance: async (ms) => {
      await sql(
        `UPDATE {keys} SET created = created - $1, since = since - $1, lease_end = lease_end - $1,
           resolver_until = CASE WHEN resolver_until > 0 THEN resolver_until - $1 ELSE resolver_until END`,
        [ms],
      )
      await sql('UPDATE {outbox} SET occurred = occurred - $1', [ms])
      await sql('UPDATE {outbox_buckets} SET lease_end = lease_end - $1', [ms])
      await sql('UPDATE {outbox_held} SET due = due - $1, since = since - $1', [ms])
      await sql('UPDATE {steps} SET life = life - $1, called = called - $1, expires = expires - $1', [ms])
    },
    nowMs: async () => Number((await sql<{ now: string }>('SELECT {now_ms}() AS now'))[0]?.now),
    close: async (ended) => {
      if (ended === 'passed') await pool.query(`DROP SCHEMA "${schema}" CASCADE`)
      await Promise.all(pools.map((each) => each.end()))
    },
  }
}

/** A test's body with a place of its own. */
export function inPlace(body: (place: Place) => Promise<void>, options: { readonly pool?: PoolConfig } = {}): () => Promise<void> {
  return async () => {
    const place = await openPlace(options)
    let ended: 'passed' | 'failed' = 'failed'
    try {
      await body(place)
      ended = 'passed'
    } finally {
      await place.close(ended)
    }
  }
}

type Connected = ReturnType<Place['another']>

/** What the store suite needs; `connect` gives it another pool and store than the owner's. */
export async function openHarness(
  connect: (place: Place) => Promise<Connected> = async (place) => place,
): Promise<StoreHarness<PoolClient>> {
  const place = await openPlace()
  const { store: connected, pool } = await connect(place)
  return {
    store: connected,
    reopen: async () => {
      const { store } = connected === place.store ? place.another() : await connect(place)
      await store.open()
      return store
    },
    nowMs: () => place.nowMs(),
    advance: (ms) => place.advance(ms),
    close: (ended) => place.close(ended),
    unmigrated: async (): Promise<Store> => place.another({ store: { prefix: 'unmigrated_' } }).store,
    transactional: {
      effects: {
        add: (tx, value) => addEffect(place, tx, value),
        list: () => effects(place),
      },
      begin: () => begin(pool),
      end: async (tx) => void (await tx.query('COMMIT')),
      breakStatement: async (tx) => void (await tx.query('SELECT 1 / 0')),
      supersede: async (tx, id) => void (await tx.query(place.named('UPDATE {keys} SET seq = seq + 1 WHERE id = $1'), [id])),
      foreign: async () => {
        const pool = new Pool({ connectionString: urlOf('postgres') })
        const { tx, rollback } = await begin(pool)
        return {
          tx,
          close: async () => {
            await rollback()
            await pool.end()
          },
        }
      },
    },
  }
}

/** What the outbox suite needs. */
export async function openOutbox(
  asWhom: (place: Place) => Promise<Pick<Place, 'store' | 'pool'>> = async (place) => place,
): Promise<OutboxHarness<PoolClient>> {
  const place = await openPlace()
  const { store, pool } = await asWhom(place)
  const { outbox } = store
  if (outbox === undefined) throw new TypeError('the store keeps no outbox')
  return {
    outbox,
    inTransaction: async (run) => {
      const { tx, commit, rollback } = await begin(pool)
      await ((await run(tx)) === 'commit' ? commit() : rollback())
    },
    advance: (ms) => place.advance(ms),
    close: (ended) => place.close(ended),
  }
}

/** The URL of another database of the same server. */
export function urlOf(database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}

export async function addEffect(place: Place, tx: PoolClient, value: string): Promise<void> {
  await tx.query(place.named('INSERT INTO {effects} (value) VALUES ($1)'), [value])
}

/** The user's committed rows, oldest first. */
export async function effects(place: Place): Promise<string[]> {
  return (await place.sql<{ value: string }>('SELECT value FROM {effects} ORDER BY at')).map(({ value }) => value)
}

export async function begin(
  pool: Pool,
  isolation = '',
): Promise<{ readonly tx: PoolClient; commit(): Promise<void>; rollback(): Promise<void> }> {
  const tx = await pool.connect()
  await tx.query(`BEGIN ${isolation}`)
  const end = async (how: string): Promise<void> => {
    await tx.query(how)
    tx.release()
  }
  return { tx, commit: () => end('COMMIT'), rollback: () => end('ROLLBACK') }
}
