export { fromKnex, type KnexDatabase, type KnexExecutor, type KnexTx } from './knex-layer.ts'
