export { fromTypeOrm, type TypeOrmDataSource, type TypeOrmManager, type TypeOrmQueryRunner, type TypeOrmTx } from './typeorm-layer.ts'
