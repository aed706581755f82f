import type { Isolation, SqlLayer, SqlRows, SqlValue } from '../../core/index.ts'
import { callbackTransaction } from '../../sql/index.ts'

/** The part of a `postgres` tag, or of the tag of one of its transactions, that is called here. */
export interface PostgresJsTag {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own parameter and result types
  unsafe(statement: string, values?: any[]): PromiseLike<any>
}

/** The part of a `postgres` tag that is called here. */
export interface PostgresJs extends PostgresJsTag {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own transaction type, which `PostgresJsTx` reads
  begin(options: string, work: (tx: any) => any): Promise<any>
}

/** The tag that `sql.begin` hands to its function. */
// biome-ignore lint/suspicious/noExplicitAny: matches the driver's own result type
export type PostgresJsTx<Sql> = Sql extends { begin(options: string, work: (tx: infer Tx) => any): any } ? Tx : never

/**
 * Takes the tag of `postgres`: the handler gets the tag of `sql.begin` as `tx`. A transaction costs two round trips more than without
 * this library. An error that the handler swallows outside of `tx.savepoint` still rolls the transaction back: the driver remembers it.
 *
 * ```ts
 * const store = postgresStore(fromPostgresJs(postgres(url)))
 * ```
 */
export function fromPostgresJs<Sql extends PostgresJs>(sql: Sql): SqlLayer<PostgresJsTx<Sql>> {
  const layer: SqlLayer<PostgresJsTag> = {
    name: 'postgres',
    ridesAlong: false,
    transaction: (opening, body) => callbackTransaction(layer, (inside) => sql.begin(isolations[opening.isolation], inside), opening, body),
    run: (tx, statements) => send(tx, statements.join('; ')),
    query: (statement, values) => send(sql, statement, values),
  }
  return layer as SqlLayer<PostgresJsTx<Sql>>
}

const isolations: Readonly<Record<Isolation, string>> = {
  default: '',
  'read-committed': 'isolation level read committed',
  'repeatable-read': 'isolation level repeatable read',
  serializable: 'isolation level serializable',
}

/** The driver's result is its list of rows; of several statements, a list of those. */
type Result = readonly Readonly<Record<string, unknown>>[] & { readonly count: number; readonly command: string }

async function send(tag: PostgresJsTag, statement: string, values: readonly SqlValue[] = []): Promise<SqlRows> {
  const answered: Result | readonly Result[] = await tag.unsafe(statement, [...values])
  const rows = 'command' in answered ? answered : (answered.at(-1) as Result)
  return { rows, count: rows.count ?? rows.length }
}
