export { fromKysely, type KyselyDatabase, type KyselyExecutor, type KyselyTransactionBuilder, type KyselyTx } from './kysely-layer.ts'
