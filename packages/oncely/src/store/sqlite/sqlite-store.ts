import { FileStore, type SqliteStore } from './file-store.ts'
import type { SqliteConnection } from './sqlite-connection.ts'
import { checkOptions, type SqliteStoreOptions } from './sqlite-options.ts'

/**
 * Keeps records in one SQLite file, next to your own tables or alone; the embedded default. Several processes of one machine can
 * share the file. It brings its schema up to date when it is opened.
 *
 * An application that opens the same file itself hands in its own driver, by `factory`: two copies of SQLite in one process do
 * not see each other's locks.
 *
 * While a handler bound to a transaction runs, every other writer of the file waits, and a stopped process stops them all: slow
 * handlers use lease mode. A handler writes through its `tx` only; another connection would wait for the handler's own lock.
 *
 * Throws `ConfigurationError` for a database in memory, for a source that is missing or given twice, and where no driver is
 * installed.
 *
 * @example
 * const oncely = createOncely({ namespace: 'payments', store: sqliteStore({ path: './payments.db' }) })
 */
export function sqliteStore<Tx extends SqliteConnection = SqliteConnection>(options: SqliteStoreOptions<Tx>): SqliteStore<Tx> {
  return new FileStore<Tx>(checkOptions(options))
}
