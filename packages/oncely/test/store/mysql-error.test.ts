import { describe, expect, test } from 'vitest'
import { errorFacts, meaningOf, storeError, transactionMeaning } from '../../src/store/mysql/mysql-error.ts'

const place = { prefix: 'oncely_' }

/** As the driver reports what the server said. */
function said(errno: number, sqlState = 'HY000', sqlMessage = 'from the server'): Error {
  return Object.assign(new Error(sqlMessage), { code: 'ER_SOMETHING', errno, sqlState, sqlMessage })
}

describe('an error of the server', () => {
  test.each([
    [1213, '40001', 'retry'],
    [1020, 'HY000', 'retry'],
    [1205, 'HY000', 'in-progress'],
    [3572, 'HY000', 'in-progress'],
    [1040, '08004', 'unavailable'],
    [1053, '08S01', 'unavailable'],
    [1290, 'HY000', 'unavailable'],
    [1927, '70100', 'unavailable'],
    [4031, 'HY000', 'unavailable'],
    [1062, '23000', 'theirs'],
    [1317, '70100', 'theirs'],
    [1644, '45000', 'theirs'],
    [1644, 'ONC01', 'fenced'],
    [1644, 'ONC02', 'foreign'],
    [1644, 'ONC03', 'dead'],
    [1644, 'ONC04', 'conflict'],
    [1146, '42S02', 'schema'],
  ])('%d (%s) means %s', (errno, sqlState, meaning) => {
    expect(meaningOf(said(errno, sqlState))).toBe(meaning)
  })

  test('1305 names a savepoint, a procedure of ours, or something of the user', () => {
    expect(meaningOf(said(1305, '42000', 'SAVEPOINT oncely_1 does not exist'))).toBe('untransacted')
    expect(meaningOf(said(1305, '42000', 'PROCEDURE shop.oncely_claim_inside does not exist'))).toBe('schema')
    expect(meaningOf(said(1305, '42000', 'FUNCTION shop.total does not exist'))).toBe('theirs')
  })
})

describe('an error without an answer of the server', () => {
  test.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'PROTOCOL_CONNECTION_LOST'])(
    '%s means unavailable',
    (code) => {
      expect(meaningOf(Object.assign(new Error(code), { code, errno: -1, syscall: 'write' }))).toBe('unavailable')
    },
  )

  test.each([
    'Pool is closed.',
    "Can't add new command when connection is in closed state",
    'Connection lost: The server closed the connection.',
  ])('"%s" means unavailable', (message) => {
    expect(meaningOf(new Error(message))).toBe('unavailable')
  })

  test.each([undefined, null, 'text', 7, new Error('out of stock'), Object.assign(new Error('mine'), { errno: 1213 })])(
    '%s is the user’s',
    (error) => {
      expect(meaningOf(error)).toBe('theirs')
    },
  )
})

test('the driver’s error is found through the wrappers of data layers, ten deep and round in circles', () => {
  const wrapped = { cause: { meta: { driverError: said(1213, '40001') } } }
  expect(errorFacts(wrapped)).toMatchObject({ number: 1213, sqlState: '40001' })
  const circle: { cause?: unknown } = {}
  circle.cause = circle
  expect(errorFacts(circle).number).toBeUndefined()
})

test.each([
  [said(1213, '40001'), 'no'],
  [said(1205), 'no'],
  [said(1040, '08004'), 'no'],
  [said(1053, '08S01'), 'unknown'],
  [said(1317, '70100'), 'unknown'],
  [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'no'],
  [Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' }), 'no'],
  [Object.assign(new Error('read'), { code: 'ECONNRESET' }), 'unknown'],
])('%s of a call committed by itself is unavailable, applied: %s', (error, applied) => {
  expect(storeError(error, place, 'a claim')).toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied, cause: error })
})

test('missing tables are named, an unexpected error comes back as it is, and the port has its own words', () => {
  expect(storeError(said(1146, '42S02'), place, 'a claim')).toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
  const other = said(1054, '42S22')
  expect(storeError(other, place, 'a claim')).toBe(other)
  expect(
    ['fenced', 'conflict', 'dead', 'foreign', 'untransacted', 'schema', 'retry'].map((word) => transactionMeaning(word as never)),
  ).toEqual(['dead', 'dead', 'dead', 'theirs', 'theirs', 'theirs', 'retry'])
})
