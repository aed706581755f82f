export { type IndexedDatabaseFactory, type IndexedDatabaseKeysOptions, indexedDatabaseKeys } from './indexed-database-keys.ts'
