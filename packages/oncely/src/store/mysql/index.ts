export { printMigrations } from './migrate.ts'
export { type MysqlStoreOptions, mysqlStore } from './mysql-store.ts'
