import type { Isolation, SqlClosed, SqlEnding, SqlLayer, SqlOpening, SqlRows, SqlValue } from '../../core/index.ts'

/** The options of one query of `mysql2` that are set here. */
export interface Mysql2Query {
  readonly sql: string
  readonly values?: unknown[]
  readonly rowsAsArray: false
  readonly typeCast: true
}

/** The part of a `mysql2/promise` connection that is called here. */
export interface Mysql2Connection {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own result types, which its callers narrow
  query(options: Mysql2Query): Promise<[any, any]>
  release(): void
  destroy(): void
}

/** The part of a `mysql2/promise` pool that is called here. */
export interface Mysql2Pool {
  getConnection(): Promise<Mysql2Connection>
}

/** The connection type that a pool hands out. */
export type Mysql2ConnectionOf<Pool> = Pool extends { getConnection(): Promise<infer Connection> } ? Connection : never

/**
 * Takes the pool of `mysql2/promise`: the handler gets the pool's own connection as `tx`. Each statement is one round trip, as the
 * driver's `multipleStatements` is off unless the user turns it on, and is never relied on.
 *
 * ```ts
 * const store = mysqlStore(fromMysql2(createPool({ uri })))
 * ```
 */
export function fromMysql2<Pool extends Mysql2Pool>(pool: Pool): SqlLayer<Mysql2ConnectionOf<Pool>> {
  return {
    name: 'mysql2',
    ridesAlong: false,
    transaction: (opening, body) => transaction<Mysql2ConnectionOf<Pool>, never>(pool, opening, body as never) as never,
    run: (tx, statements) => send(tx as Mysql2Connection, statements),
    query: (statement, values) => query(pool, statement, values),
  }
}

async function query(pool: Mysql2Pool, statement: string, values: readonly SqlValue[] | undefined): Promise<SqlRows> {
  const connection = await pool.getConnection()
  try {
    const rows = await sendOne(connection, statement, values)
    connection.release()
    return rows
  } catch (error) {
    // A procedure may have failed inside of a transaction of its own.
    if (answered(error)) await send(connection, ['ROLLBACK']).then(() => connection.release(), destroying(connection))
    else connection.destroy()
    throw error
  }
}

/** What the session had is put back, whatever the opening statements set. */
const keep =
  'SET @oncely_autocommit = @@SESSION.autocommit, @oncely_lock_wait = @@SESSION.innodb_lock_wait_timeout, @oncely_wait = @@SESSION.wait_timeout'
const restore =
  'SET SESSION autocommit = @oncely_autocommit, SESSION innodb_lock_wait_timeout = @oncely_lock_wait, SESSION wait_timeout = @oncely_wait'

/**
 *   connect ──▶ settings kept, autocommit off ──▶ START + opening ──▶ body ──commit────▶ closing + COMMIT ──▶ settings put back ──▶ release
 *                                                         └─fails─▶ ROLLBACK  └─roll-back─▶ ROLLBACK + statement ──▶ the same
 *
 * With autocommit off, what a handler writes after a deadlock that it swallowed opens another transaction instead of committing by
 * itself, and is rolled back with it. Nobody waits for the settings.
 */
async function transaction<Tx, R>(
  pool: Mysql2Pool,
  opening: SqlOpening,
  body: (tx: Tx, opened: SqlRows) => Promise<SqlEnding<R>>,
): Promise<SqlClosed<R>> {
  const connection = await pool.getConnection()
  try {
    const begun = [keep, 'SET SESSION autocommit = 0', ...isolationStatement(opening.isolation), 'START TRANSACTION']
    const opened = await send(connection, [...begun, ...opening.statements])
    const ending = await body(connection as Tx, opened)
    if (ending.end === 'roll-back') {
      const rows = await rollBack(connection, ending.statement)
      if (rows === undefined) connection.destroy()
      else giveBack(connection)
      return { value: ending.value, ended: 'rolled-back', rows: ending.statement === undefined ? undefined : rows }
    }
    const closed = ending.statements.length === 0 ? undefined : await send(connection, ending.statements)
    await send(connection, ['COMMIT'])
    giveBack(connection)
    return { value: ending.value, ended: 'committed', rows: closed }
  } catch (error) {
    if (answered(error) && (await rollBack(connection, undefined)) !== undefined) giveBack(connection)
    else connection.destroy()
    throw error
  }
}

const isolations: Readonly<Record<Exclude<Isolation, 'default'>, string>> = {
  'read-committed': 'READ COMMITTED',
  'repeatable-read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
}

/** For the next transaction only. */
function isolationStatement(isolation: Isolation): readonly string[] {
  return isolation === 'default' ? [] : [`SET TRANSACTION ISOLATION LEVEL ${isolations[isolation]}`]
}

function giveBack(connection: Mysql2Connection): void {
  send(connection, [restore]).then(() => connection.release(), destroying(connection))
}

function destroying(connection: Mysql2Connection): () => void {
  return () => connection.destroy()
}

async function rollBack(connection: Mysql2Connection, statement: string | undefined): Promise<SqlRows | undefined> {
  try {
    return await send(connection, statement === undefined ? ['ROLLBACK'] : ['ROLLBACK', statement])
  } catch {
    return undefined
  }
}

/** Answers the rows of the last one. */
async function send(connection: Mysql2Connection, statements: readonly string[]): Promise<SqlRows> {
  let rows: SqlRows = { rows: [], count: 0 }
  for (const statement of statements) rows = await sendOne(connection, statement, undefined)
  return rows
}

async function sendOne(connection: Mysql2Connection, statement: string, values: readonly SqlValue[] | undefined): Promise<SqlRows> {
  const options = { rowsAsArray: false, typeCast: true } as const
  const ask = (query: Pick<Mysql2Query, 'sql' | 'values'>) => connection.query({ ...options, ...query }).catch(withoutStatement)
  if (values === undefined) return rowsOf((await ask({ sql: statement }))[0])
  const given: unknown[] = []
  const sql = statement.replaceAll(/\$(\d+)/g, (_, place: string) => {
    given.push(toDriver(values[Number(place) - 1] ?? null))
    return '?'
  })
  return rowsOf((await ask({ sql, values: given }))[0])
}

/** The driver's error carries the statement, and with it an outcome's bytes: nothing for a log. */
function withoutStatement(error: unknown): never {
  if (typeof error === 'object' && error !== null && 'sql' in error) error.sql = undefined
  throw error
}

/** A CALL answers with every result set of the procedure, and its own end after them. */
function rowsOf(result: unknown): SqlRows {
  if (!Array.isArray(result)) return { rows: [], count: Number((result as { affectedRows?: number }).affectedRows ?? 0) }
  const rows = result.filter(Array.isArray).at(-1) ?? result
  return { rows, count: rows.length }
}

/** The server itself refused a statement and still listens; anything else leaves the connection in an unknown state. */
function answered(error: unknown): boolean {
  const { errno, sqlState, fatal } = error as { errno?: unknown; sqlState?: unknown; fatal?: unknown }
  return typeof errno === 'number' && typeof sqlState === 'string' && fatal !== true
}

/** Bytes are a Buffer for the driver. */
function toDriver(value: SqlValue): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value
}
