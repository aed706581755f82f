import type { Isolation, SqlLayer, SqlRows, SqlValue } from '../../core/index.ts'
import { callbackTransaction } from '../../sql/index.ts'

/** The part of a Knex instance, or of one of its transactions, that is called here. */
export interface KnexExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: Knex's own overloads and result
  raw(statement: string, ...bindings: any[]): PromiseLike<any>
}

/** The part of a Knex instance that is called here. */
export interface KnexDatabase extends KnexExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: Knex's own transaction type, which `KnexTx` reads
  transaction(work: (tx: any) => any, config?: any): Promise<any>
}

/** The transaction type of a Knex instance. */
// biome-ignore lint/suspicious/noExplicitAny: matches Knex's own types
export type KnexTx<Database> = Database extends { transaction(work: (tx: infer Tx) => any, config?: any): any } ? Tx : never

/**
 * Takes a Knex instance on PostgreSQL: the handler gets Knex's own transaction as `tx`. A transaction costs two round trips more than
 * without this library.
 *
 * ```ts
 * const store = postgresStore(fromKnex(knex({ client: 'pg', connection: url })))
 * ```
 */
export function fromKnex<Database extends KnexDatabase>(database: Database): SqlLayer<KnexTx<Database>> {
  const layer: SqlLayer<KnexExecutor> = {
    name: 'Knex',
    ridesAlong: false,
    transaction: (opening, body) =>
      callbackTransaction(layer, (inside) => database.transaction(inside, isolations[opening.isolation]), opening, body),
    run: (tx, statements) => send(tx, statements.join('; ')),
    query: async (statement, values) => {
      if (values === undefined) return send(database, statement)
      const bound: unknown[] = []
      const rewritten = statement.replaceAll(/\$(\d+)/g, (_, place: string) => {
        bound.push(toDriver(values[Number(place) - 1] as SqlValue))
        return '?'
      })
      return send(database, rewritten, bound)
    },
  }
  return layer as SqlLayer<KnexTx<Database>>
}

const isolations: Readonly<Record<Isolation, { readonly isolationLevel: string } | undefined>> = {
  default: undefined,
  'read-committed': { isolationLevel: 'read committed' },
  'repeatable-read': { isolationLevel: 'repeatable read' },
  serializable: { isolationLevel: 'serializable' },
}

async function send(executor: KnexExecutor, statement: string, bindings?: readonly unknown[]): Promise<SqlRows> {
  try {
    return lastRows(await (bindings === undefined ? executor.raw(statement) : executor.raw(statement, bindings)))
  } catch (error) {
    // Knex puts the statement before the driver's message, and with it an outcome's bytes.
    if (error instanceof Error) error.message = error.message.split(' - ').at(-1) ?? ''
    throw error
  }
}

interface Result {
  readonly rows: SqlRows['rows']
  readonly rowCount: number | null
}

/** One result, or a list of them for several statements. */
function lastRows(answered: Result | readonly Result[]): SqlRows {
  const { rows, rowCount } = 'rows' in answered ? answered : (answered.at(-1) as Result)
  return { rows, count: rowCount ?? 0 }
}

function toDriver(value: SqlValue): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value
}
