import { createRequire } from 'node:module'
import type { TransactionalStore } from 'oncely'
import { postgresStore } from 'oncely/store/postgres'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'
import { fromPg } from 'oncely/transaction/pg'
import type { Pool, PoolClient } from 'pg'
import type { Booking, Payment } from './payment.ts'

/** Where the API's own database is. */
export type BankLocation =
  | { readonly store: 'sqlite'; readonly path: string }
  | { readonly store: 'postgres'; readonly url: string; readonly schema: string }

/** A connection of either database; the store hands the same type to the handler as `tx`. */
export type BankConnection = SqliteConnection | PoolClient | Pool

/** The bookings table, reached by plain SQL. */
export interface Bank {
  /** For statements outside of any transaction. */
  readonly connection: BankConnection
  /** Inserts a row; on whose connection, and so in whose transaction, the caller says. */
  book(connection: BankConnection, payment: Payment): Promise<Booking>
  bookings(): Promise<Booking[]>
  /** The oncely store in the same database. */
  store(): TransactionalStore<BankConnection>
  close(): Promise<void>
}

export async function openBank(location: BankLocation): Promise<Bank> {
  return location.store === 'sqlite' ? openSqliteBank(location.path) : openPostgresBank(location.url, location.schema)
}

function openSqliteBank(path: string): Bank {
  const { DatabaseSync } = loadSqlite()
  const connection = new DatabaseSync(path)
  connection.exec('PRAGMA busy_timeout = 5000')
  connection.exec('PRAGMA journal_mode = WAL')
  connection.exec('CREATE TABLE IF NOT EXISTS bookings (id INTEGER PRIMARY KEY, reference TEXT NOT NULL, cents INTEGER NOT NULL)')
  return {
    connection,
    book: async (on, { reference, cents }) => {
      const row = (on as SqliteConnection)
        .prepare('INSERT INTO bookings (reference, cents) VALUES (?, ?) RETURNING id')
        .get(reference, cents)
      return { id: String((row as { id: number }).id), reference, cents }
    },
    bookings: async () =>
      connection.prepare('SELECT CAST(id AS TEXT) AS id, reference, cents FROM bookings ORDER BY id').all() as Booking[],
    store: () => sqliteStore({ path }) as TransactionalStore<BankConnection>,
    close: async () => void connection.close(),
  }
}

/** The driver that comes with oncely where it could be installed, else Node's own. */
function loadSqlite(): { readonly DatabaseSync: new (path: string) => SqliteConnection } {
  try {
    return createRequire(import.meta.url)('@photostructure/sqlite')
  } catch {
    return createRequire(import.meta.url)('node:sqlite')
  }
}

async function openPostgresBank(url: string, schema: string): Promise<Bank> {
  const pool = await connectPostgres(url, schema)
  await pool.query('CREATE TABLE IF NOT EXISTS bookings (id bigserial PRIMARY KEY, reference text NOT NULL, cents integer NOT NULL)')
  return {
    connection: pool,
    book: async (on, { reference, cents }) => {
      const { rows } = await (on as Pool).query('INSERT INTO bookings (reference, cents) VALUES ($1, $2) RETURNING id::text', [
        reference,
        cents,
      ])
      return { id: rows[0].id, reference, cents }
    },
    bookings: async () => (await pool.query('SELECT id::text, reference, cents FROM bookings ORDER BY id')).rows,
    store: () => postgresStore(fromPg(pool), { schema, migrate: 'auto' }) as TransactionalStore<BankConnection>,
    close: () => pool.end(),
  }
}

/** A pool whose connections see one schema only. `pg` is loaded when PostgreSQL is asked for, and not before. */
export async function connectPostgres(url: string, schema: string): Promise<Pool> {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString: url, max: 20, options: `-c search_path=${schema}` })
  // A connection that breaks while it idles is replaced by the next query.
  pool.on('error', () => {})
  return pool
}
