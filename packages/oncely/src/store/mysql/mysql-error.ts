import { StoreSchemaMismatch, StoreUnavailable, type TransactionErrorMeaning } from '../../core/index.ts'
import { errorChain } from '../../sql/index.ts'
import type { SqlPlace } from './sql-name.ts'

/** What an error says about the server, wherever the user's data layer keeps it. */
export interface ErrorFacts {
  /** The server's number; undefined when the server did not answer. */
  readonly number: number | undefined
  readonly sqlState: string | undefined
  readonly message: string
}

/**
 *   theirs        the user's own error
 *   retry         deadlock, or a row newer than the transaction's snapshot: the server rolled the whole transaction back
 *   in-progress   the wait for a lock was bounded, and over: only the statement is undone
 *   dead          the record that the transaction claimed is gone: rolled back by a deadlock that was swallowed, or by the handler
 *   unavailable   no connection, or it was lost: whether the statement happened is another question
 *   fenced, conflict, foreign   raised by our own procedures
 *   schema        our tables or procedures are not there
 *   untransacted  a savepoint outside of a transaction, or one that is gone
 */
export type ErrorMeaning = TransactionErrorMeaning | 'fenced' | 'conflict' | 'foreign' | 'schema' | 'untransacted'

const raised: Readonly<Record<string, ErrorMeaning>> = { ONC01: 'fenced', ONC02: 'foreign', ONC03: 'dead', ONC04: 'conflict' }

const meanings: Readonly<Record<number, ErrorMeaning>> = {
  1213: 'retry',
  1020: 'retry',
  1205: 'in-progress',
  3572: 'in-progress',
  1046: 'schema',
  1049: 'schema',
  1146: 'schema',
  // Too many connections, out of memory or disk: refused.
  1021: 'unavailable',
  1037: 'unavailable',
  1040: 'unavailable',
  1041: 'unavailable',
  1114: 'unavailable',
  1203: 'unavailable',
  1226: 'unavailable',
  // Read-only: a replica, after a failover to another server.
  1290: 'unavailable',
  1792: 'unavailable',
  1836: 'unavailable',
  // Shutting down, killed, idle for too long, or broken off.
  1053: 'unavailable',
  1077: 'unavailable',
  1152: 'unavailable',
  1158: 'unavailable',
  1159: 'unavailable',
  1160: 'unavailable',
  1161: 'unavailable',
  1184: 'unavailable',
  1927: 'unavailable',
  2006: 'unavailable',
  2013: 'unavailable',
  3169: 'unavailable',
  4031: 'unavailable',
}

/** The server refused before it did anything. */
const refused: ReadonlySet<number> = new Set([1021, 1037, 1040, 1041, 1114, 1203, 1226, 1290, 1792, 1836])

/** KILL QUERY and the time limits of a statement: the statement is undone. */
const cancelled: ReadonlySet<number> = new Set([1317, 1969, 3024])

/** Refused while connecting, or before anything was sent: surely not applied. */
const neverSent =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|POOL_CLOSED)$|^connect ETIMEDOUT|Pool is closed|Queue limit reached|No connections available|Can't add new command when connection is in closed state/

/** The connection went away, or the driver stopped waiting: these errors carry no number of the server. */
const lost =
  /^(ECONNRESET|EPIPE|ETIMEDOUT|ECONNABORTED|PROTOCOL_(CONNECTION_LOST|SEQUENCE_TIMEOUT|ENQUEUE_AFTER_\w+))$|connection (lost|closed|ended)|socket hang up/i

export function meaningOf(error: unknown): ErrorMeaning {
  const { number, sqlState, message } = errorFacts(error)
  if (number === undefined) return describes(error, neverSent) || describes(error, lost) ? 'unavailable' : 'theirs'
  const own = raised[sqlState ?? '']
  if (own !== undefined) return own
  // "SAVEPOINT x does not exist" and "PROCEDURE x does not exist" have one number.
  if (number === 1305) return /^SAVEPOINT/i.test(message) ? 'untransacted' : /oncely|PROCEDURE/i.test(message) ? 'schema' : 'theirs'
  return meanings[number] ?? 'theirs'
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
  const meaning = meaningOf(error)
  const { number } = errorFacts(error)
  switch (meaning) {
    case 'schema':
      return schemaMissing(place, error)
    case 'retry':
    case 'in-progress':
    case 'dead':
      return new StoreUnavailable(
        `MySQL refused ${what} (${number}) because of another transaction; nothing was changed.`,
        { applied: 'no' },
        { cause: error },
      )
    case 'unavailable': {
      const applied = (number === undefined ? describes(error, neverSent) : refused.has(number)) ? 'no' : 'unknown'
      return new StoreUnavailable(
        `MySQL did not answer ${what}${number === undefined ? '' : ` (${number})`}.`,
        { applied },
        { cause: error },
      )
    }
    case 'theirs':
      if (number === undefined || !cancelled.has(number)) return error
      // A procedure that is cancelled runs no handler: what it had committed by then is not known here.
      return new StoreUnavailable(`MySQL cancelled ${what} (${number}).`, { applied: 'unknown' }, { cause: error })
    case 'fenced':
    case 'conflict':
    case 'foreign':
    case 'untransacted':
      return error
    default:
      return meaning satisfies never
  }
}

export function schemaMissing(place: SqlPlace, cause: unknown): StoreSchemaMismatch {
  return new StoreSchemaMismatch(
    `The tables or procedures "${place.prefix}…" are missing in the database of the connection: run store.migrate(), or hand printMigrations() to whoever may change the schema.`,
    { cause },
  )
}

/**
 * What the server said, under whatever wrappers. A number counts only beside the server's SQLSTATE: the operating system numbers its
 * errors as well.
 */
export function errorFacts(error: unknown): ErrorFacts {
  for (const { errno, sqlState, sqlMessage, message } of errorChain(error)) {
    if (typeof errno !== 'number' || typeof sqlState !== 'string' || !/^[0-9A-Z]{5}$/.test(sqlState)) continue
    return { number: errno, sqlState, message: String(sqlMessage ?? message ?? '') }
  }
  return { number: undefined, sqlState: undefined, message: '' }
}

function describes(error: unknown, pattern: RegExp): boolean {
  return errorChain(error).some(
    ({ code, message }) => (typeof code === 'string' && pattern.test(code)) || (typeof message === 'string' && pattern.test(message)),
  )
}
