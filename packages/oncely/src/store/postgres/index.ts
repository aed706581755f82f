export { printGrants, type RoleUse } from './grants.ts'
export { printMigrations } from './migrate.ts'
export { type PostgresStoreOptions, postgresStore } from './postgres-store.ts'
