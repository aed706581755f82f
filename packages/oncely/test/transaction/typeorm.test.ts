import { postgresStore } from 'oncely/store/postgres'
import { fromTypeOrm } from 'oncely/transaction/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import { expectTypeOf, test } from 'vitest'
import type { SqlLayer, TransactionalStore } from '../../src/core/index.ts'
import { layerSuite } from './layer-suite.ts'

layerSuite<EntityManager>(
  async (url, max) => {
    const source = new DataSource({ type: 'postgres', url, poolSize: max })
    await source.initialize()
    return {
      layer: fromTypeOrm(source),
      execute: (tx, statement) => tx.query(statement),
      begin: (work) => source.transaction(work),
      close: () => source.destroy(),
    }
  },
  { extra: 2, extraWithin: 2, connectsFirst: true },
)

test("the handler gets TypeORM's own entity manager type", () => {
  expectTypeOf(fromTypeOrm({} as DataSource)).toEqualTypeOf<SqlLayer<EntityManager>>()
  expectTypeOf(postgresStore(fromTypeOrm({} as DataSource))).toEqualTypeOf<TransactionalStore<EntityManager>>()
})
