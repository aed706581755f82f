import type { Isolation, SqlLayer, SqlRows, SqlValue } from '../../core/index.ts'
import { callbackTransaction } from '../../sql/index.ts'

/** The part of a Kysely instance, or of one of its transactions, that is called here. */
export interface KyselyExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: Kysely's own query and result types
  executeQuery(query: any): Promise<{ readonly rows: any[]; readonly numAffectedRows?: bigint }>
  withoutPlugins(): KyselyExecutor
}

/** The part of a Kysely instance that is called here. */
export interface KyselyDatabase extends KyselyExecutor {
  transaction(): KyselyTransactionBuilder
}

export interface KyselyTransactionBuilder {
  // biome-ignore lint/suspicious/noExplicitAny: Kysely's own isolation type
  setIsolationLevel(isolation: any): KyselyTransactionBuilder
  // biome-ignore lint/suspicious/noExplicitAny: Kysely's own transaction type, which `KyselyTx` reads
  execute(work: (tx: any) => Promise<any>): Promise<any>
}

/** The transaction type of a Kysely instance. */
// biome-ignore lint/suspicious/noExplicitAny: matches Kysely's own result type
export type KyselyTx<Database> = Database extends { transaction(): { execute(work: (tx: infer Tx) => Promise<any>): any } } ? Tx : never

/**
 * Takes a Kysely instance on PostgreSQL: the handler gets Kysely's own transaction as `tx`. A transaction costs two round trips more
 * than without this library, and `within` four: Kysely shows the rows of a message only when it has one statement.
 *
 * ```ts
 * const store = postgresStore(fromKysely(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })))
 * ```
 */
export function fromKysely<Database extends KyselyDatabase>(database: Database): SqlLayer<KyselyTx<Database>> {
  const layer: SqlLayer<KyselyExecutor> = {
    name: 'Kysely',
    ridesAlong: false,
    transaction: (opening, body) => {
      const isolation = isolations[opening.isolation]
      const builder = isolation === undefined ? database.transaction() : database.transaction().setIsolationLevel(isolation)
      return callbackTransaction(layer, (inside) => builder.execute(inside), opening, body)
    },
    run: async (tx, statements) => {
      if (statements.length > 1) await send(tx, statements.slice(0, -1).join('; '))
      return send(tx, statements.at(-1) as string)
    },
    query: (statement, values) => send(database, statement, values),
  }
  return layer as unknown as SqlLayer<KyselyTx<Database>>
}

const isolations: Readonly<Record<Isolation, string | undefined>> = {
  default: undefined,
  'read-committed': 'read committed',
  'repeatable-read': 'repeatable read',
  serializable: 'serializable',
}

let queries = 0

/** The form of `CompiledQuery.raw`. Plugins would rename columns. */
async function send(executor: KyselyExecutor, statement: string, values: readonly SqlValue[] = []): Promise<SqlRows> {
  const parameters = values.map((value) =>
    value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value,
  )
  const { rows, numAffectedRows } = await executor.withoutPlugins().executeQuery({
    sql: statement,
    parameters,
    query: { kind: 'RawNode', sqlFragments: [statement], parameters: [] },
    queryId: { queryId: `oncely_${++queries}` },
  })
  return { rows, count: Number(numAffectedRows ?? rows.length) }
}
