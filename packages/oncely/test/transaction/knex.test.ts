import knex, { type Knex } from 'knex'
import { postgresStore } from 'oncely/store/postgres'
import { fromKnex } from 'oncely/transaction/knex'
import { expectTypeOf, test } from 'vitest'
import type { SqlLayer, TransactionalStore } from '../../src/core/index.ts'
import { layerSuite } from './layer-suite.ts'

const database = (connection: string, max: number): Knex => knex({ client: 'pg', connection, pool: { min: 0, max } })

layerSuite<Knex.Transaction>(
  (url, max) => {
    const instance = database(url, max)
    return {
      layer: fromKnex(instance),
      execute: (tx, statement) => tx.raw(statement).then(),
      begin: (work) => instance.transaction(work),
      close: () => instance.destroy(),
    }
  },
  { extra: 2, extraWithin: 2 },
)

test("the handler gets Knex's own transaction type", () => {
  expectTypeOf(fromKnex(database('', 1))).toEqualTypeOf<SqlLayer<Knex.Transaction>>()
  expectTypeOf(postgresStore(fromKnex(database('', 1)))).toEqualTypeOf<TransactionalStore<Knex.Transaction>>()
})
