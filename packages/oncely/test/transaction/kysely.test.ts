import { CamelCasePlugin, type Generated, Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import { postgresStore } from 'oncely/store/postgres'
import { fromKysely } from 'oncely/transaction/kysely'
import { Pool } from 'pg'
import { expectTypeOf, test } from 'vitest'
import type { SqlLayer, TransactionalStore } from '../../src/core/index.ts'
import { layerSuite } from './layer-suite.ts'

interface Tables {
  readonly payments: { readonly id: Generated<number>; readonly amount: number }
}

// A plugin that renames columns must not reach the store's own.
const database = (pool: Pool): Kysely<Tables> => new Kysely({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })

layerSuite<Transaction<Tables>>(
  (connectionString, max) => {
    const kysely = database(new Pool({ connectionString, max }))
    return {
      layer: fromKysely(kysely),
      execute: (tx, statement) => sql.raw(statement).execute(tx),
      begin: (work) => kysely.transaction().execute(work),
      close: () => kysely.destroy(),
    }
  },
  { extra: 2, extraWithin: 4 },
)

test("the handler gets Kysely's own transaction type", () => {
  expectTypeOf(fromKysely(database(new Pool()))).toEqualTypeOf<SqlLayer<Transaction<Tables>>>()
  expectTypeOf(postgresStore(fromKysely(database(new Pool())))).toEqualTypeOf<TransactionalStore<Transaction<Tables>>>()
})
