import { StoreSchemaMismatch, StoreUnavailable, type TransactionErrorMeaning } from '../../core/index.ts'
import { errorChain } from '../../sql/index.ts'
import type { SqlPlace } from './sql-name.ts'

/** What an error says about the server, wherever the user's data layer keeps it. */
export interface ErrorFacts {
  /** Five characters; undefined when the server did not answer. */
  readonly sqlState: string | undefined
  readonly constraint: string | undefined
  readonly table: string | undefined
}

/**
 *   theirs        the user's own error
 *   retry         serialization failure, deadlock, our own key inserted by somebody else meanwhile, or a partition of ours added
 *                 between the choice of a partition and the insertion into it
 *   in-progress   the wait for a lock was bounded, and over
 *   dead          an earlier statement failed, or the server ended an idle transaction
 *   unavailable   no connection, or it was lost: whether the statement happened is another question
 *   fenced, conflict, foreign, gone   raised by our own functions
 *   schema        our tables or functions are not there
 *   untransacted  a savepoint outside of a transaction, or one that is gone
 */
export type ErrorMeaning = TransactionErrorMeaning | 'fenced' | 'conflict' | 'foreign' | 'gone' | 'schema' | 'untransacted'

const meanings: Readonly<Record<string, ErrorMeaning>> = {
  ONC01: 'fenced',
  ONC02: 'foreign',
  ONC03: 'gone',
  ONC04: 'conflict',
  '40001': 'retry',
  '40P01': 'retry',
  '55P03': 'in-progress',
  '25P02': 'dead',
  '25P03': 'dead',
  '25P04': 'dead',
  '25P01': 'untransacted',
  '3B001': 'untransacted',
  '42883': 'schema',
  '42P01': 'schema',
  '3F000': 'schema',
  // A standby, after a failover to another server.
  '25006': 'unavailable',
  '57P01': 'unavailable',
  '57P02': 'unavailable',
  '57P03': 'unavailable',
  '57P05': 'unavailable',
}

/** Refused while connecting, or before anything was sent: surely not applied. */
const neverSent =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|DatabaseNotReachable)$|^Unable to start a transaction in|timeout exceeded when trying to connect|after calling end on the pool|^Client was closed|not queryable/

/** The connection went away, or the driver stopped waiting: these errors carry no code of the server. */
const lost =
  /^(ECONNRESET|EPIPE|ETIMEDOUT|ECONNABORTED|CONNECTION_(CLOSED|ENDED|DESTROYED)|CONNECT_TIMEOUT|ConnectionClosed|SocketTimeout)$|connection (terminated|closed|ended|error)|terminating connection|read timeout|query timeout|socket hang up/i

export function meaningOf(error: unknown, place: SqlPlace): ErrorMeaning {
  const { sqlState, constraint, table } = errorFacts(error)
  if (sqlState === undefined) return describes(error, neverSent) || describes(error, lost) ? 'unavailable' : 'theirs'
  if (sqlState === '23505' && constraint === `${place.prefix}keys_pkey`) return 'retry'
  if (sqlState === '23514' && (table === `${place.prefix}outcomes_default` || table === `${place.prefix}events_default`)) return 'retry'
  return meanings[sqlState] ?? (/^(08|53)/.test(sqlState) ? 'unavailable' : 'theirs')
}

/** What the user's data layer is told, in the words of the port. */
export function transactionMeaning(meaning: ErrorMeaning): TransactionErrorMeaning {
  switch (meaning) {
    case 'retry':
    case 'in-progress':
    case 'dead':
    case 'unavailable':
    case 'theirs':
      return meaning
    case 'fenced':
    case 'conflict':
    case 'gone':
      return 'dead'
    case 'foreign':
    case 'schema':
    case 'untransacted':
      return 'theirs'
    default:
      return meaning satisfies never
  }
}

/** The error of a call that committed by itself, in the words of the port; an unexpected one comes back as it is. */
export function storeError(error: unknown, place: SqlPlace, what: string): unknown {
  const meaning = meaningOf(error, place)
  const { sqlState } = errorFacts(error)
  switch (meaning) {
    case 'schema':
      return schemaMissing(place, error)
    case 'retry':
    case 'in-progress':
    case 'dead':
      return new StoreUnavailable(
        `PostgreSQL refused ${what} (${sqlState}) because of another transaction; nothing was changed.`,
        { applied: 'no' },
        { cause: error },
      )
    case 'unavailable': {
      const refused = sqlState === undefined ? describes(error, neverSent) : /^(53|57P03|25006|0800[14])/.test(sqlState)
      const applied = refused ? 'no' : 'unknown'
      return new StoreUnavailable(
        `PostgreSQL did not answer ${what}${sqlState === undefined ? '' : ` (${sqlState})`}.`,
        { applied },
        { cause: error },
      )
    }
    case 'theirs':
      if (sqlState !== '57014') return error
      return new StoreUnavailable(
        `PostgreSQL cancelled ${what} (statement_timeout); nothing was changed.`,
        { applied: 'no' },
        { cause: error },
      )
    case 'fenced':
    case 'conflict':
    case 'foreign':
    case 'gone':
    case 'untransacted':
      return error
    default:
      return meaning satisfies never
  }
}

export function schemaMissing(place: SqlPlace, cause: unknown): StoreSchemaMismatch {
  return new StoreSchemaMismatch(
    `The tables or functions "${place.prefix}…" are missing in schema "${place.schema}": run store.migrate(), or hand printMigrations() to whoever may change the schema.`,
    { cause },
  )
}

/**
 * What the server said, under whatever wrappers. A code counts only in the server's form, and never when the operating system gave
 * it (EPIPE has five letters, too) or Prisma (whose P2010 wraps the server's in `meta`, where a driver adapter calls it
 * `originalCode` and the constraint `{ index }`).
 */
export function errorFacts(error: unknown): ErrorFacts {
  for (const found of errorChain(error)) {
    const { originalCode, code = originalCode, constraint, constraint_name, table, table_name, syscall, errno, clientVersion } = found
    if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) continue
    if (syscall !== undefined || typeof errno === 'number' || (clientVersion !== undefined && code.startsWith('P'))) continue
    return { sqlState: code, constraint: named(constraint ?? constraint_name), table: named(table ?? table_name) }
  }
  return { sqlState: undefined, constraint: undefined, table: undefined }
}

function named(value: unknown): string | undefined {
  if (typeof value === 'object' && value !== null) return named((value as Record<string, unknown>)['index'])
  return typeof value === 'string' ? value : undefined
}

function describes(error: unknown, pattern: RegExp): boolean {
  // `kind` is how a driver adapter of Prisma names what its driver said.
  return errorChain(error).some(({ code, kind, message }) =>
    [code, kind, message].some((word) => typeof word === 'string' && pattern.test(word)),
  )
}
