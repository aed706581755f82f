import { isOncelyError, StoreUnavailable, TransactionConflict, type TransactionErrorMeaning } from '../../core/index.ts'

/**
 * What SQLite's result codes mean here. `node:sqlite` and `@photostructure/sqlite` give the extended code as the number
 * `errcode`; `better-sqlite3` gives its name as `code`. (https://www.sqlite.org/rescode.html)
 */
const primaryNames: Readonly<Record<number, string>> = {
  1: 'ERROR',
  4: 'ABORT',
  5: 'BUSY',
  6: 'LOCKED',
  7: 'NOMEM',
  8: 'READONLY',
  10: 'IOERR',
  11: 'CORRUPT',
  13: 'FULL',
  14: 'CANTOPEN',
  15: 'PROTOCOL',
  17: 'SCHEMA',
  19: 'CONSTRAINT',
  22: 'NOLFS',
  23: 'AUTH',
  26: 'NOTADB',
}
const busySnapshot = 517

interface SqliteCode {
  /** The primary result code's name without its prefix: `BUSY`, `IOERR`. */
  readonly primary: string
  /** The read snapshot is older than the newest commit, so this transaction can never write. */
  readonly snapshot: boolean
}

/** The result code of an error that SQLite reported itself; undefined for any other error. */
function codeOf(error: unknown): SqliteCode | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { errcode, code } = error as { errcode?: unknown; code?: unknown }
  if (typeof errcode === 'number')
    return { primary: primaryNames[errcode & 255] ?? String(errcode & 255), snapshot: errcode === busySnapshot }
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) return undefined
  return { primary: code.split('_')[1] ?? '', snapshot: code === 'SQLITE_BUSY_SNAPSHOT' }
}

/** Another connection holds a lock; the same statement can succeed later. */
export function isBusy(error: unknown): boolean {
  const code = codeOf(error)
  return code !== undefined && (code.primary === 'BUSY' || code.primary === 'LOCKED') && !code.snapshot
}

/** A rule of the user's own schema was broken. */
export function isConstraint(error: unknown): boolean {
  return codeOf(error)?.primary === 'CONSTRAINT'
}

export function isMissingTable(error: unknown): boolean {
  return codeOf(error)?.primary === 'ERROR' && error instanceof Error && error.message.includes('no such table')
}

/** What an error thrown by a handler's statement means for its transaction; looks through `cause`. */
export function classifySqliteError(error: unknown): TransactionErrorMeaning {
  for (let depth = 0, current = error; depth < 8 && typeof current === 'object' && current !== null; depth++) {
    const meaning = ownMeaning(current)
    if (meaning !== undefined) return meaning
    current = (current as { cause?: unknown }).cause
  }
  return 'theirs'
}

function ownMeaning(error: object): TransactionErrorMeaning | undefined {
  if (error instanceof TransactionConflict) return 'retry'
  if (error instanceof StoreUnavailable) return 'unavailable'
  const code = codeOf(error)
  if (code === undefined) return isClosed(error) ? 'dead' : undefined
  switch (code.primary) {
    case 'BUSY':
    case 'LOCKED':
      return code.snapshot ? 'retry' : 'in-progress'
    case 'SCHEMA':
      return 'retry'
    case 'ABORT':
      return 'dead'
    case 'ERROR':
      return error instanceof Error && error.message.includes('no transaction is active') ? 'dead' : 'theirs'
    case 'CONSTRAINT':
      return 'theirs'
    default:
      return diskProblems[code.primary] === undefined ? 'theirs' : 'unavailable'
  }
}

/** The connection was closed: under a handler that was silent for too long, or by the handler itself. */
export function isClosed(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { code, message } = error as { code?: unknown; message?: unknown }
  return code === 'ERR_INVALID_STATE' || (typeof message === 'string' && message.includes('database connection is not open'))
}

const diskProblems: Readonly<Record<string, string>> = {
  NOMEM: 'SQLite ran out of memory',
  READONLY: 'the file or its folder cannot be written; the folder needs write permission too, for the -wal and -shm files',
  IOERR: 'reading or writing the file failed; look at the disk and its file system',
  CORRUPT: 'the file is corrupt; run PRAGMA integrity_check and restore a backup',
  FULL: 'the disk is full, or max_page_count is reached; free space',
  CANTOPEN: 'the file or its -wal and -shm files cannot be opened; its folder must exist and be writable',
  PROTOCOL: 'file locking did not settle; the file must be on a local file system',
  NOLFS: 'the file system cannot hold a file of this size',
  AUTH: 'an authorizer refused a statement of the store',
  NOTADB: 'the file is not an SQLite database, or its encryption key was not given',
}

/** The library's error for one that SQLite threw in a statement of the store; anything else comes back as it is. */
export function storeError(error: unknown, applied: 'no' | 'unknown'): unknown {
  if (isOncelyError(error)) return error
  const code = codeOf(error)
  if (code === undefined) {
    return isClosed(error) ? new StoreUnavailable('The SQLite store is closed.', { applied: 'no' }, { cause: error }) : error
  }
  if (code.snapshot)
    return new TransactionConflict(
      'Another connection committed after this transaction first read, so it cannot write; repeat it, and open it with BEGIN IMMEDIATE.',
      { cause: error },
    )
  if (code.primary === 'BUSY' || code.primary === 'LOCKED')
    return new StoreUnavailable('Another connection holds a lock on the SQLite file.', { applied: 'no' }, { cause: error })
  const problem = diskProblems[code.primary]
  if (problem === undefined) return error
  // A write-ahead log that could not be written whole has no commit record, so nothing of it can come back.
  return new StoreUnavailable(
    `SQLite reported ${code.primary}: ${problem}.`,
    { applied: code.primary === 'FULL' ? 'no' : applied },
    { cause: error },
  )
}

/** Nothing was applied: the writer never came. */
export function lockedOut(limitMs: number): StoreUnavailable {
  return new StoreUnavailable(
    `Another connection kept the SQLite file locked for ${limitMs} ms, the busyTimeoutMs. Look for a long or stopped transaction; slow handlers use lease mode.`,
    { applied: 'no' },
  )
}
