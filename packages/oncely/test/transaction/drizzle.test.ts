import { type NodePgDatabase, drizzle as onPg } from 'drizzle-orm/node-postgres'
import { drizzle as onPostgresJs, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { postgresStore } from 'oncely/store/postgres'
import { fromDrizzle } from 'oncely/transaction/drizzle'
import { Pool } from 'pg'
import postgres from 'postgres'
import { describe, expectTypeOf, test } from 'vitest'
import type { TransactionalStore } from '../../src/core/index.ts'
import { layerSuite } from './layer-suite.ts'

type TxOf<Database extends { transaction: (...values: never[]) => unknown }> = Parameters<Parameters<Database['transaction']>[0]>[0]

describe('on pg', () => {
  layerSuite<TxOf<NodePgDatabase>>(
    (connectionString, max) => {
      const pool = new Pool({ connectionString, max })
      const database = onPg(pool)
      return {
        layer: fromDrizzle(database),
        execute: (tx, statement) => tx.execute(statement),
        begin: (work) => database.transaction(work),
        close: () => pool.end(),
      }
    },
    { extra: 2, extraWithin: 2 },
  )
})

describe('on postgres', () => {
  layerSuite<TxOf<PostgresJsDatabase>>(
    (url, max) => {
      const sql = postgres(url, { max, onnotice: () => {} })
      const database = onPostgresJs(sql)
      return {
        layer: fromDrizzle(database),
        execute: async (tx, statement) => tx.execute(statement),
        begin: (work) => database.transaction(work),
        close: () => sql.end(),
      }
    },
    { extra: 2, extraWithin: 2 },
  )
})

test("the handler gets Drizzle's own transaction type", () => {
  expectTypeOf(postgresStore(fromDrizzle(onPg(new Pool())))).toEqualTypeOf<TransactionalStore<TxOf<NodePgDatabase>>>()
  expectTypeOf(postgresStore(fromDrizzle(onPostgresJs(postgres())))).toEqualTypeOf<TransactionalStore<TxOf<PostgresJsDatabase>>>()
})
