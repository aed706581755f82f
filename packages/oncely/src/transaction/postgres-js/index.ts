export { fromPostgresJs, type PostgresJs, type PostgresJsTag, type PostgresJsTx } from './postgres-js-layer.ts'
