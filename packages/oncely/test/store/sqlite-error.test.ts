import { describe, expect, test } from 'vitest'
import { StoreUnavailable, TransactionConflict } from '../../src/core/index.ts'
import { classifySqliteError, isBusy, storeError } from '../../src/store/sqlite/sqlite-error.ts'

/** How `node:sqlite` and `@photostructure/sqlite` report a result code. */
function numbered(errcode: number, message = 'failed'): Error {
  return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode })
}

/** How `better-sqlite3` does. */
function named(code: string, message = 'failed'): Error {
  return Object.assign(new Error(message), { code })
}

describe('what an error of a statement means', () => {
  test.each([
    ['in-progress', numbered(5), named('SQLITE_BUSY')],
    ['in-progress', numbered(261), named('SQLITE_BUSY_RECOVERY')],
    ['in-progress', numbered(6), named('SQLITE_LOCKED')],
    ['retry', numbered(517), named('SQLITE_BUSY_SNAPSHOT')],
    ['retry', numbered(17), named('SQLITE_SCHEMA')],
    ['unavailable', numbered(778), named('SQLITE_IOERR_WRITE')],
    ['unavailable', numbered(13), named('SQLITE_FULL')],
    ['unavailable', numbered(14), named('SQLITE_CANTOPEN')],
    ['unavailable', numbered(11), named('SQLITE_CORRUPT')],
    ['unavailable', numbered(26), named('SQLITE_NOTADB')],
    ['unavailable', numbered(8), named('SQLITE_READONLY')],
    ['dead', numbered(516), named('SQLITE_ABORT_ROLLBACK')],
    ['dead', numbered(1, 'cannot commit - no transaction is active'), named('SQLITE_ERROR', 'cannot commit - no transaction is active')],
    ['dead', named('ERR_INVALID_STATE', 'database is not open'), new TypeError('The database connection is not open')],
    ['theirs', numbered(2067), named('SQLITE_CONSTRAINT_UNIQUE')],
    ['theirs', numbered(1, 'no such table: bookings'), named('SQLITE_ERROR', 'no such table: bookings')],
    ['theirs', numbered(20), named('SQLITE_MISMATCH')],
  ] as const)('%s, from %o and from %o', (meaning, ...errors) => {
    for (const error of errors) {
      expect(classifySqliteError(error)).toBe(meaning)
      expect(classifySqliteError(new Error('the order failed', { cause: new Error('the query failed', { cause: error }) }))).toBe(meaning)
    }
  })

  test('of anything else it is the user’s own', () => {
    for (const thrown of [new Error('declined'), undefined, null, 'declined', 7, {}]) expect(classifySqliteError(thrown)).toBe('theirs')
  })

  test('of the library’s own errors it is their meaning', () => {
    expect(classifySqliteError(new TransactionConflict('conflict'))).toBe('retry')
    expect(classifySqliteError(new StoreUnavailable('down', { applied: 'no' }))).toBe('unavailable')
  })

  test('a chain of causes without an end is given up', () => {
    const error = new Error('around')
    error.cause = error
    expect(classifySqliteError(error)).toBe('theirs')
  })
})

describe('what the store throws for an error of its own statements', () => {
  test('an input or output error leaves open what its caller leaves open', () => {
    for (const applied of ['no', 'unknown'] as const)
      expect(storeError(numbered(1034), applied)).toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied })
  })

  test('a full disk was surely not applied, nor was anything that met a lock', () => {
    for (const error of [numbered(13), numbered(5), named('SQLITE_LOCKED')]) {
      expect(storeError(error, 'unknown')).toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no', cause: error })
    }
  })

  test('a snapshot that is too old is a conflict, and no lock to wait for', () => {
    expect(storeError(numbered(517), 'no')).toBeInstanceOf(TransactionConflict)
    expect([isBusy(numbered(517)), isBusy(numbered(5)), isBusy(new Error('busy'))]).toEqual([false, true, false])
  })

  test('what SQLite did not say comes back as it is', () => {
    for (const error of [
      new TypeError('a bug'),
      new StoreUnavailable('closed', { applied: 'no' }),
      numbered(1, 'near "selec": syntax error'),
    ]) {
      expect(storeError(error, 'no')).toBe(error)
    }
  })
})
