import { randomBytes } from 'node:crypto'
import { createPool, type Pool, type PoolConnection, type PoolOptions, type RowDataPacket } from 'mysql2/promise'
import type { Store, TransactionalStore } from '../../src/core/index.ts'
import { type MysqlStoreOptions, mysqlStore } from '../../src/store/mysql/index.ts'
import type { OutboxHarness, StoreHarness } from '../../src/testing/index.ts'
import { fromMysql2 } from '../../src/transaction/mysql2/index.ts'

/** The server under test; without it nothing here can pass. */
export const serverUrl: string = process.env['ONCELY_TEST_MYSQL_URL'] ?? missing()

function missing(): never {
  throw new Error(
    'ONCELY_TEST_MYSQL_URL is not set: run `npm test -- mysql`, or `npm run services start mariadb` and use the URL it prints.',
  )
}

/** A database of its own on the real server, with a table of the user's. */
export interface Place {
  readonly database: string
  readonly url: string
  readonly pool: Pool
  readonly store: TransactionalStore<PoolConnection>
  /** Another pool and store on the same database; closed with the place. */
  another(options?: { readonly pool?: PoolOptions; readonly store?: MysqlStoreOptions }): {
    readonly pool: Pool
    readonly store: TransactionalStore<PoolConnection>
  }
  /** Runs SQL in which `{name}` stands for a table or procedure of the store, and `{effects}` for the user's table. */
  sql<Row extends Record<string, unknown>>(statement: string, values?: unknown[]): Promise<Row[]>
  named(statement: string): string
  /** Lets time pass for the records: their times are set back. */
  advance(ms: number): Promise<void>
  nowMs(): Promise<number>
  close(ended: 'passed' | 'failed'): Promise<void>
}

/** Databases are dropped after a pass and kept after a failure. */
export async function openPlace(options: { readonly migrate?: boolean; readonly pool?: PoolOptions } = {}): Promise<Place> {
  const database = `t_${randomBytes(6).toString('hex')}`
  const server = createPool({ uri: serverUrl, connectionLimit: 1 })
  await server.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
  const url = urlOf(database)
  const pools: Pool[] = []
  const another: Place['another'] = (wanted = {}) => {
    const pool = createPool({ uri: url, connectionLimit: 10, ...wanted.pool })
    pools.push(pool)
    return { pool, store: mysqlStore(fromMysql2(pool), wanted.store) }
  }
  const { pool, store } = another(options.pool === undefined ? {} : { pool: options.pool })
  const named = (statement: string): string =>
    statement.replaceAll(/\{([a-z_]+)\}/g, (_, name: string) => (name === 'effects' ? 'effects' : `\`oncely_${name}\``))
  const sql = async <Row extends Record<string, unknown>>(statement: string, values?: unknown[]): Promise<Row[]> => {
    const [rows] = await pool.query<RowDataPacket[]>(named(statement), values)
    return rows as unknown as Row[]
  }
  await pool.query('CREATE TABLE effects (at BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, value TEXT NOT NULL) ENGINE = InnoDB')
  if (options.migrate ?? true) {
    await store.migrate()
    await store.open()
  }
  return {
    database,
    url,
    pool,
    store,
    another,
    sql,
    named,
    advance: async (ms) => {
      await sql(
        `UPDATE {keys} SET created = created - ?, since = since - ?, lease_end = lease_end - ?,
           resolver_until = CASE WHEN resolver_until > 0 THEN resolver_until - ? ELSE resolver_until END`,
        [ms, ms, ms, ms],
      )
      await sql('UPDATE {outbox} SET occurred = occurred - ?', [ms])
      await sql('UPDATE {outbox_buckets} SET lease_end = lease_end - ?', [ms])
      await sql('UPDATE {outbox_held} SET due = due - ?, since = since - ?', [ms, ms])
      await sql('UPDATE {steps} SET life = life - ?, called = called - ?, expires = expires - ?', [ms, ms, ms])
    },
    nowMs: async () =>
      Number(
        (
          await sql<{ now: number }>("SELECT TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000 AS now")
        )[0]?.now,
      ),
    close: async (ended) => {
      if (ended === 'passed') await server.query(`DROP DATABASE ${database}`)
      await Promise.all([...pools, server].map((each) => each.end()))
    },
  }
}

/** A test's body with a place of its own. */
export function inPlace(body: (place: Place) => Promise<void>, options: { readonly pool?: PoolOptions } = {}): () => Promise<void> {
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

/** What the outbox suite needs. */
export async function openOutbox(): Promise<OutboxHarness<PoolConnection>> {
  const place = await openPlace()
  const { outbox } = place.store
  if (outbox === undefined) throw new TypeError('the store keeps no outbox')
  return {
    outbox,
    inTransaction: async (run) => {
      const { tx, commit, rollback } = await begin(place.pool)
      await ((await run(tx)) === 'commit' ? commit() : rollback())
    },
    advance: (ms) => place.advance(ms),
    close: (ended) => place.close(ended),
  }
}

/** What the store suite needs. */
export async function openHarness(): Promise<StoreHarness<PoolConnection>> {
  const place = await openPlace()
  return {
    store: place.store,
    reopen: async () => {
      const { store } = place.another()
      await store.open()
      return store
    },
    nowMs: () => place.nowMs(),
    advance: (ms) => place.advance(ms),
    close: (ended) => place.close(ended),
    unmigrated: async (): Promise<Store> => place.another({ store: { prefix: 'unmigrated_' } }).store,
    transactional: {
      effects: {
        add: (tx, value) => addEffect(tx, value),
        list: () => effects(place),
      },
      begin: () => begin(place.pool),
      end: async (tx) => void (await tx.query('COMMIT')),
      breakStatement: (tx) => endAndFail(tx),
      supersede: async (tx, id) => void (await tx.query(place.named('UPDATE {keys} SET seq = seq + 1 WHERE id = ?'), [Buffer.from(id)])),
      foreign: async () => {
        const pool = createPool({ uri: urlOf('mysql'), connectionLimit: 1 })
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

/** The URL of another database of the same server. */
export function urlOf(database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}

export async function addEffect(tx: PoolConnection, value: string): Promise<void> {
  await tx.query('INSERT INTO effects (value) VALUES (?)', [value])
}

/** A procedure of the user's that gives the transaction up and says so: few statements here end one by failing. */
async function endAndFail(tx: PoolConnection): Promise<void> {
  const [rows] = await tx.query<RowDataPacket[]>("SELECT VERSION() LIKE '%MariaDB%' AS mariadb")
  if (rows[0]?.['mariadb'] !== 1) {
    await tx.query('ROLLBACK')
    await tx.query("SIGNAL SQLSTATE '45000'")
  }
  await tx.query("BEGIN NOT ATOMIC ROLLBACK; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'out of stock'; END")
}

/** The user's committed rows, oldest first. */
export async function effects(place: Place): Promise<string[]> {
  return (await place.sql<{ value: string }>('SELECT value FROM {effects} ORDER BY at')).map(({ value }) => value)
}

export async function begin(
  pool: Pool,
  isolation = 'REPEATABLE READ',
): Promise<{ readonly tx: PoolConnection; commit(): Promise<void>; rollback(): Promise<void> }> {
  const tx = await pool.getConnection()
  await tx.query(`SET TRANSACTION ISOLATION LEVEL ${isolation}`)
  await tx.query('START TRANSACTION')
  const end = async (how: string): Promise<void> => {
    await tx.query(how)
    tx.release()
  }
  return { tx, commit: () => end('COMMIT'), rollback: () => end('ROLLBACK') }
}
