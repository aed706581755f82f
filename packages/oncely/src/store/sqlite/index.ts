export type { SqliteStore } from './file-store.ts'
export type { SqliteConnection, SqliteStatement, SqliteValue } from './sqlite-connection.ts'
export type { SqliteStoreOptions } from './sqlite-options.ts'
export { sqliteStore } from './sqlite-store.ts'
