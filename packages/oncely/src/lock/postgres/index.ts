export { type PostgresLockOptions, postgresLock } from './postgres-lock.ts'
