import type { Isolation, SqlLayer, SqlRows, SqlValue } from '../../core/index.ts'
import { callbackTransaction } from '../../sql/index.ts'

/** The part of a TypeORM entity manager that is called here. */
export interface TypeOrmManager {
  readonly queryRunner?: TypeOrmQueryRunner | undefined
}

export interface TypeOrmQueryRunner {
  // biome-ignore lint/suspicious/noExplicitAny: the client of `pg`, which TypeORM does not type
  connect(): Promise<any>
  release(): Promise<void>
}

/** The part of a TypeORM data source that is called here. */
export interface TypeOrmDataSource {
  // biome-ignore lint/suspicious/noExplicitAny: TypeORM's own overloads; `TypeOrmTx` reads the manager's type
  transaction(...values: any[]): Promise<any>
  createQueryRunner(): TypeOrmQueryRunner
}

/** The entity manager type of a data source's transactions. */
// biome-ignore lint/suspicious/noExplicitAny: matches TypeORM's own types
export type TypeOrmTx<Source> = Source extends { transaction(isolation: any, work: (tx: infer Tx) => Promise<any>): any } ? Tx : never

/**
 * Takes an initialised TypeORM data source on PostgreSQL: the handler gets TypeORM's own entity manager as `tx`. A transaction costs
 * two round trips more than without this library.
 *
 * ```ts
 * const store = postgresStore(fromTypeOrm(await new DataSource({ type: 'postgres', url }).initialize()))
 * ```
 */
export function fromTypeOrm<Source extends TypeOrmDataSource>(source: Source): SqlLayer<TypeOrmTx<Source>> {
  const layer: SqlLayer<TypeOrmManager> = {
    name: 'TypeORM',
    ridesAlong: false,
    transaction: (opening, body) => {
      const isolation = isolations[opening.isolation]
      return callbackTransaction(
        layer,
        (inside) => (isolation === undefined ? source.transaction(inside) : source.transaction(isolation, inside)),
        opening,
        body,
      )
    },
    run: (tx, statements) => {
      if (tx.queryRunner === undefined) throw new TypeError('this entity manager is not the one of a transaction')
      return send(tx.queryRunner, statements.join('; '))
    },
    query: async (statement, values) => {
      const runner = source.createQueryRunner()
      try {
        return await send(runner, statement, values)
      } finally {
        await runner.release()
      }
    },
  }
  return layer as SqlLayer<TypeOrmTx<Source>>
}

const isolations: Readonly<Record<Isolation, string | undefined>> = {
  default: undefined,
  'read-committed': 'READ COMMITTED',
  'repeatable-read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
}

interface Result {
  readonly rows: SqlRows['rows']
  readonly rowCount: number | null
}

/** On the driver's client, because the runner's own `query` shows no rows of a message with several statements. */
async function send(runner: TypeOrmQueryRunner, statement: string, values?: readonly SqlValue[]): Promise<SqlRows> {
  const client = await runner.connect()
  const bound = values?.map((value) => (value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value))
  const answered: Result | readonly Result[] = await client.query(statement, bound)
  const { rows, rowCount } = 'rows' in answered ? answered : (answered.at(-1) as Result)
  return { rows, count: rowCount ?? 0 }
}
