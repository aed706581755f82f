import { postgresStore } from 'oncely/store/postgres'
import { fromPostgresJs } from 'oncely/transaction/postgres-js'
import postgres, { type TransactionSql } from 'postgres'
import { expectTypeOf, test } from 'vitest'
import type { SqlLayer, TransactionalStore } from '../../src/core/index.ts'
import { layerSuite } from './layer-suite.ts'

layerSuite<TransactionSql>(
  (url, max) => {
    const sql = postgres(url, { max, onnotice: () => {} })
    return {
      layer: fromPostgresJs(sql),
      execute: (tx, statement) => tx.unsafe(statement),
      begin: (work) => sql.begin(work),
      close: () => sql.end(),
    }
  },
  { extra: 2, extraWithin: 2 },
)

test("the handler gets the driver's own transaction type", () => {
  expectTypeOf(fromPostgresJs(postgres())).toEqualTypeOf<SqlLayer<TransactionSql>>()
  expectTypeOf(postgresStore(fromPostgresJs(postgres()))).toEqualTypeOf<TransactionalStore<TransactionSql>>()
})
