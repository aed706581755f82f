import type { Isolation, SqlLayer, SqlRows, SqlValue } from '../../core/index.ts'
import { callbackTransaction } from '../../sql/index.ts'

/** The part of a Drizzle database, or of one of its transactions, that is called here. */
export interface DrizzleExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: the result of whichever driver is below
  execute(statement: string): PromiseLike<any>
}

/** The part of a Drizzle database that is called here. */
export interface DrizzleDatabase extends DrizzleExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: Drizzle's own transaction type, which `DrizzleTx` reads
  transaction(work: (tx: any) => Promise<any>, config?: any): Promise<any>
  /** The pool of `pg`, or the tag of `postgres`. */
  readonly $client: DrizzleClient
}

export type DrizzleClient =
  // biome-ignore lint/suspicious/noExplicitAny: the overloads of `pg`
  | { query: (...values: any[]) => any }
  // biome-ignore lint/suspicious/noExplicitAny: the parameter types of `postgres`
  | { unsafe: (statement: string, values?: any[]) => any }

/** The transaction type of a Drizzle database. */
// biome-ignore lint/suspicious/noExplicitAny: matches Drizzle's own result type
export type DrizzleTx<Database> = Database extends { transaction(work: (tx: infer Tx) => Promise<any>, config?: any): any } ? Tx : never

/**
 * Takes a Drizzle database on `pg` or `postgres`: the handler gets Drizzle's own transaction as `tx`. A transaction costs two round
 * trips more than without this library.
 *
 * ```ts
 * const store = postgresStore(fromDrizzle(drizzle(pool)))
 * ```
 */
export function fromDrizzle<Database extends DrizzleDatabase>(database: Database): SqlLayer<DrizzleTx<Database>> {
  const layer: SqlLayer<DrizzleExecutor> = {
    name: 'Drizzle',
    ridesAlong: false,
    transaction: (opening, body) =>
      callbackTransaction(layer, (inside) => database.transaction(inside, isolations[opening.isolation]), opening, body),
    run: async (tx, statements) => lastRows(await tx.execute(statements.join('; ')).then(undefined, throwDriversOwn)),
    query: async (statement, values = []) => {
      const client = database.$client
      const bound = values.map(toDriver)
      return lastRows(await ('unsafe' in client ? client.unsafe(statement, bound) : client.query(statement, bound)))
    },
  }
  return layer as SqlLayer<DrizzleTx<Database>>
}

const isolations: Readonly<Record<Isolation, { readonly isolationLevel: string } | undefined>> = {
  default: undefined,
  'read-committed': { isolationLevel: 'read committed' },
  'repeatable-read': { isolationLevel: 'repeatable read' },
  serializable: { isolationLevel: 'serializable' },
}

/** Drizzle's error has the statement in its message, and with it an outcome's bytes; the driver's has not. */
function throwDriversOwn(error: unknown): never {
  throw (error as { readonly cause?: unknown }).cause ?? error
}

type Rows = SqlRows['rows']

/** `pg` answers an object with rows, `postgres` a list of rows that knows its command; both a plain list for several statements. */
type Result = { readonly command: string; readonly rows: Rows; readonly rowCount: number | null } | (Rows & { readonly command: string })

function lastRows(answered: Result | readonly Result[]): SqlRows {
  const result = 'command' in answered ? answered : (answered.at(-1) as Result)
  if ('rows' in result) return { rows: result.rows, count: result.rowCount ?? 0 }
  return { rows: result, count: result.length }
}

function toDriver(value: SqlValue): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value
}
