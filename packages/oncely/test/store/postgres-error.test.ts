import { describe, expect, test } from 'vitest'
import { errorFacts, meaningOf, storeError, transactionMeaning } from '../../src/store/postgres/postgres-error.ts'

const place = { schema: 'public', prefix: 'oncely_' }

/** As the driver reports what the server said. */
function said(code: string, more: object = {}): Error {
  return Object.assign(new Error('from the server'), { code, severity: 'ERROR', ...more })
}

describe('an error of the server', () => {
  test.each([
    ['40001', 'retry'],
    ['40P01', 'retry'],
    ['55P03', 'in-progress'],
    ['25P02', 'dead'],
    ['25P03', 'dead'],
    ['57P01', 'unavailable'],
    ['57P03', 'unavailable'],
    ['53300', 'unavailable'],
    ['08006', 'unavailable'],
    ['25006', 'unavailable'],
    ['23505', 'theirs'],
    ['22012', 'theirs'],
    ['57014', 'theirs'],
    ['P0001', 'theirs'],
    ['ONC01', 'fenced'],
    ['42883', 'schema'],
  ])('%s means %s', (code, meaning) => {
    expect(meaningOf(said(code), place)).toBe(meaning)
  })

  test('about our own key or partition is a conflict, about one of the user is the user’s', () => {
    expect(meaningOf(said('23505', { constraint: 'oncely_keys_pkey' }), place)).toBe('retry')
    expect(meaningOf(said('23505', { constraint: 'keys_pkey' }), place)).toBe('theirs')
    expect(meaningOf(said('23514', { table: 'oncely_outcomes_default' }), place)).toBe('retry')
    expect(meaningOf(said('23514', { table: 'accounts', constraint: 'positive' }), place)).toBe('theirs')
  })
})

describe('an error without an answer of the server', () => {
  test.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'])('%s means unavailable', (code) => {
    expect(meaningOf(Object.assign(new Error(code), { code, errno: -1, syscall: 'write' }), place)).toBe('unavailable')
  })

  test.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Query read timeout',
  ])('"%s" means unavailable', (message) => {
    expect(meaningOf(new Error(message), place)).toBe('unavailable')
  })

  test.each([undefined, null, 'text', 7, new Error('out of stock'), Object.assign(new Error('mine'), { code: 'lower' })])(
    '%s is the user’s',
    (error) => {
      expect(meaningOf(error, place)).toBe('theirs')
    },
  )

  test('tells whether anything can have been applied', () => {
    const applied = (error: unknown): unknown => (storeError(error, place, 'a claim') as { applied?: unknown }).applied
    expect(applied(Object.assign(new Error(''), { code: 'ECONNREFUSED', syscall: 'connect' }))).toBe('no')
    expect(applied(new Error('timeout exceeded when trying to connect'))).toBe('no')
    expect(applied(said('53300'))).toBe('no')
    expect(applied(said('40P01'))).toBe('no')
    expect(applied(said('57014'))).toBe('no')
    expect(applied(Object.assign(new Error(''), { code: 'ECONNRESET', syscall: 'read' }))).toBe('unknown')
    expect(applied(new Error('Query read timeout'))).toBe('unknown')
    expect(applied(said('57P01'))).toBe('unknown')
  })
})

describe('a wrapped error', () => {
  test('is read through cause, meta and driverError, and in an aggregate', () => {
    expect(errorFacts(new Error('query', { cause: said('40001') })).sqlState).toBe('40001')
    expect(errorFacts({ code: 'P2010', clientVersion: '6', meta: { code: '40P01' } }).sqlState).toBe('40P01')
    expect(errorFacts({ name: 'x', driverError: said('23505', { constraint: 'c' }) })).toEqual({
      sqlState: '23505',
      constraint: 'c',
      table: undefined,
    })
    expect(meaningOf(new AggregateError([Object.assign(new Error(''), { code: 'ECONNREFUSED', syscall: 'connect' })]), place)).toBe(
      'unavailable',
    )
  })

  test('is read as a driver adapter of Prisma says it', () => {
    const told = (cause: object) => ({ code: 'P2010', clientVersion: '7', meta: { driverAdapterError: new Error('adapter', { cause }) } })
    expect(meaningOf(told({ originalCode: '40P01', kind: 'TransactionWriteConflict' }), place)).toBe('retry')
    const ours = { originalCode: '23505', kind: 'UniqueConstraintViolation', constraint: { index: `${place.prefix}keys_pkey` } }
    expect(meaningOf(told(ours), place)).toBe('retry')
    expect(meaningOf(told({ ...ours, constraint: { fields: ['id'] } }), place)).toBe('theirs')
    expect(meaningOf(told({ kind: 'DatabaseNotReachable' }), place)).toBe('unavailable')
    expect(storeError(told({ kind: 'DatabaseNotReachable' }), place, 'a claim')).toMatchObject({ applied: 'no' })
    expect(storeError(told({ kind: 'ConnectionClosed' }), place, 'a claim')).toMatchObject({ applied: 'unknown' })
  })

  test('is read ten deep, and a circle ends', () => {
    const deep = (depth: number): Error => (depth === 0 ? said('40001') : new Error('wrapped', { cause: deep(depth - 1) }))
    expect(errorFacts(deep(9)).sqlState).toBe('40001')
    expect(errorFacts(deep(10)).sqlState).toBeUndefined()
    const circle = new Error('circle')
    circle.cause = circle
    expect(errorFacts(circle).sqlState).toBeUndefined()
  })
})

test('every meaning is one that the port knows', () => {
  const meanings = [
    'retry',
    'in-progress',
    'dead',
    'unavailable',
    'theirs',
    'fenced',
    'conflict',
    'gone',
    'foreign',
    'schema',
    'untransacted',
  ] as const
  expect(meanings.map(transactionMeaning)).toEqual([
    'retry',
    'in-progress',
    'dead',
    'unavailable',
    'theirs',
    'dead',
    'dead',
    'dead',
    'theirs',
    'theirs',
    'theirs',
  ])
})
