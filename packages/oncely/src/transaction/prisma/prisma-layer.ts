import type { Isolation, SqlLayer, SqlRows, SqlValue } from '../../core/index.ts'
import { callbackTransaction } from '../../sql/index.ts'

/** The part of a Prisma client, or of one of its interactive transactions, that is called here. */
export interface PrismaExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: Prisma's own parameter and result types
  $queryRawUnsafe(statement: string, ...values: any[]): PromiseLike<any>
  // biome-ignore lint/suspicious/noExplicitAny: Prisma's own parameter types
  $executeRawUnsafe(statement: string, ...values: any[]): PromiseLike<number>
}

/** The part of a Prisma client that is called here. */
export interface PrismaDatabase extends PrismaExecutor {
  // biome-ignore lint/suspicious/noExplicitAny: Prisma's own overloads; `PrismaTx` reads the transaction's type
  $transaction(...values: any[]): Promise<any>
}

/** The client type that a Prisma client hands to its interactive transactions. */
// biome-ignore lint/suspicious/noExplicitAny: matches Prisma's own types
export type PrismaTx<Client> = Client extends { $transaction(work: (tx: infer Tx) => Promise<any>, options?: any): any } ? Tx : never

export interface PrismaOptions {
  /** Longest wait for a connection, in milliseconds; default Prisma's own. */
  readonly maxWaitMs?: number
  /** Longest run of one transaction, in milliseconds; default none but the server's idle time-out, where Prisma's own is 5 s. */
  readonly timeoutMs?: number
}

/**
 * Takes a Prisma client on PostgreSQL with the driver adapter of `@prisma/adapter-pg`: the handler gets the client of the interactive
 * transaction as `tx`. A transaction costs two round trips more than without this library, and `within` four: Prisma shows the rows of a
 * message only when it has one statement.
 *
 * ```ts
 * const store = postgresStore(fromPrisma(new PrismaClient({ adapter: new PrismaPg({ connectionString }) })))
 * ```
 */
export function fromPrisma<Client extends PrismaDatabase>(client: Client, options: PrismaOptions = {}): SqlLayer<PrismaTx<Client>> {
  const { maxWaitMs, timeoutMs = timeoutMaxMs } = options
  const layer: SqlLayer<PrismaExecutor> = {
    name: 'Prisma',
    ridesAlong: false,
    transaction: ({ isolation, ...opening }, body) => {
      const isolationLevel = isolations[isolation]
      const settings = {
        timeout: timeoutMs,
        ...(maxWaitMs === undefined ? {} : { maxWait: maxWaitMs }),
        ...(isolationLevel === undefined ? {} : { isolationLevel }),
      }
      return callbackTransaction(layer, (inside) => client.$transaction(inside, settings), { isolation, ...opening }, body)
    },
    run: async (tx, statements) => {
      if (statements.length > 1) await tx.$executeRawUnsafe(statements.slice(0, -1).join('; '))
      return send(tx, statements.at(-1) as string)
    },
    query: (statement, values) => send(client, statement, values),
  }
  return layer as SqlLayer<PrismaTx<Client>>
}

/** The longest that a timer can wait, 24 days. */
const timeoutMaxMs = 2_147_483_647

const isolations: Readonly<Record<Isolation, string | undefined>> = {
  default: undefined,
  'read-committed': 'ReadCommitted',
  'repeatable-read': 'RepeatableRead',
  serializable: 'Serializable',
}

async function send(executor: PrismaExecutor, statement: string, values: readonly SqlValue[] = []): Promise<SqlRows> {
  const rows: SqlRows['rows'] = await executor.$queryRawUnsafe(statement, ...values)
  return { rows, count: rows.length }
}
