import type { Isolation, SqlClosed, SqlEnding, SqlLayer, SqlOpening, SqlRows, SqlValue } from '../../core/index.ts'

/** The part of a `pg` client that is called here. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<PgResult>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'notice', listener: (notice: PgNotice) => void): unknown
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own listener type
  removeListener(event: 'error' | 'notice', listener: (...values: any[]) => void): unknown
  release(destroy?: boolean): void
}

export interface PgResult {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own row type, which its callers narrow
  readonly rows: any[]
  readonly rowCount: number | null
  readonly command: string
}

export interface PgNotice {
  readonly routine?: string | undefined
}

/** The part of a `pg` pool that is called here. */
export interface PgPool {
  connect(): Promise<PgClient>
}

/** The client type that a pool hands out; `Pool` of `@types/pg` overloads `connect`. */
// biome-ignore lint/suspicious/noExplicitAny: matches any callback overload
export type PgClientOf<Pool> = Pool extends { connect: { (): Promise<infer Client>; (...parameters: any[]): any } } ? Client : never

/**
 * Takes the pool of `pg`: the handler gets the pool's own client as `tx`. Opening rides with BEGIN and closing with COMMIT, so a
 * transaction costs the same number of round trips as without this library.
 *
 * ```ts
 * const store = postgresStore(fromPg(new Pool({ connectionString })))
 * ```
 */
export function fromPg<Pool extends PgPool>(pool: Pool): SqlLayer<PgClientOf<Pool>> {
  return {
    name: 'pg',
    ridesAlong: true,
    transaction: (opening, body) => transaction<PgClientOf<Pool>, never>(pool, opening, body as never) as never,
    run: async (tx, statements) => lastRows(await send(tx as PgClient, statements)),
    query: (statement, values) => query(pool, statement, values),
  }
}

/** A connection in use: what the server says beside its answers is listened to, and whether it can be given back is decided. */
class Checkout {
  readonly client: PgClient
  /** Whether the server warned that its wait for a synchronous standby was cut short; it still says COMMIT then. */
  unreplicated = false
  /** A connection whose state is not known for certain is destroyed, never given back. */
  clean = false

  constructor(client: PgClient) {
    this.client = client
    // A checked-out client without a listener turns a lost connection into an uncaught exception.
    client.on('error', ignore)
    client.on('notice', this.#watch)
  }

  readonly #watch = (notice: PgNotice): void => {
    if (notice.routine === 'SyncRepWaitForLSN') this.unreplicated = true
  }

  end(): void {
    this.client.removeListener('error', ignore)
    this.client.removeListener('notice', this.#watch)
    this.client.release(!this.clean)
  }
}

async function query(pool: PgPool, statement: string, values: readonly SqlValue[] | undefined): Promise<SqlRows> {
  const checkout = new Checkout(await pool.connect())
  try {
    const result = await checkout.client.query(statement, values?.map(toDriver))
    checkout.clean = true
    return checkout.unreplicated ? { ...rowsOf(result), unreplicated: true } : rowsOf(result)
  } catch (error) {
    checkout.clean = answered(error)
    throw error
  } finally {
    checkout.end()
  }
}

/**
 *   connect ──▶ BEGIN + opening ──▶ body ──commit────▶ closing + COMMIT ──▶ release
 *                     └─fails─▶ ROLLBACK  └─roll-back─▶ ROLLBACK + statement ──▶ release
 */
async function transaction<Tx, R>(
  pool: PgPool,
  opening: SqlOpening,
  body: (tx: Tx, opened: SqlRows) => Promise<SqlEnding<R>>,
): Promise<SqlClosed<R>> {
  const checkout = new Checkout(await pool.connect())
  const { client } = checkout
  try {
    const opened = lastRows(await send(client, [begin(opening.isolation), ...opening.statements]))
    const ending = await body(client as Tx, opened)
    if (ending.end === 'roll-back') {
      const rows = await rollBack(client, ending.statement)
      checkout.clean = rows !== undefined
      return { value: ending.value, ended: 'rolled-back', rows: ending.statement === undefined ? undefined : rows }
    }
    const results = await send(client, [...ending.statements, 'COMMIT'])
    checkout.clean = true
    const committed = results.at(-1)?.command === 'COMMIT'
    const rows = ending.statements.length === 0 ? undefined : rowsOf(results.at(-2) as PgResult)
    return { value: ending.value, ended: !committed ? 'rolled-back' : checkout.unreplicated ? 'unreplicated' : 'committed', rows }
  } catch (error) {
    if (!checkout.clean) checkout.clean = answered(error) && (await rollBack(client, undefined)) !== undefined
    throw error
  } finally {
    checkout.end()
  }
}

const isolations: Readonly<Record<Isolation, string>> = {
  default: '',
  'read-committed': ' ISOLATION LEVEL READ COMMITTED',
  'repeatable-read': ' ISOLATION LEVEL REPEATABLE READ',
  serializable: ' ISOLATION LEVEL SERIALIZABLE',
}

function begin(isolation: Isolation): string {
  return `BEGIN${isolations[isolation]}`
}

/** Several statements in one message; the server answers them in order and stops at the first that fails. */
async function send(client: PgClient, statements: readonly string[]): Promise<readonly PgResult[]> {
  const results: PgResult | readonly PgResult[] = await client.query(statements.join('; '))
  return Array.isArray(results) ? results : [results as PgResult]
}

async function rollBack(client: PgClient, statement: string | undefined): Promise<SqlRows | undefined> {
  try {
    return lastRows(await send(client, statement === undefined ? ['ROLLBACK'] : ['ROLLBACK', statement]))
  } catch {
    return undefined
  }
}

/** The server itself refused a statement and still listens; anything else leaves the connection in an unknown state. */
function answered(error: unknown): boolean {
  const { code, severity } = error as { code?: unknown; severity?: unknown }
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && typeof severity === 'string' && !/^(08|57P|25P03)/.test(code)
}

function ignore(): void {}

function lastRows(results: readonly PgResult[]): SqlRows {
  return rowsOf(results.at(-1) as PgResult)
}

function rowsOf(result: PgResult): SqlRows {
  return { rows: result.rows, count: result.rowCount ?? 0 }
}

/** The driver takes a plain byte array for JSON in some versions; a Buffer is bytes in all. */
function toDriver(value: SqlValue): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value
}
