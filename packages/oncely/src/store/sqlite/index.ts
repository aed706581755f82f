export type { SqliteConnection, SqliteStatement, SqliteValue } from './sqlite-connection.ts'
export type { SqliteStoreOptions } from './sqlite-options.ts'
export { type SqliteStore, sqliteStore } from './sqlite-store.ts'
