export { fromPg, type PgClient, type PgClientOf, type PgNotice, type PgPool, type PgResult } from './pg-layer.ts'
