import { inspect } from 'node:util'
import { createPool, type PoolConnection, type PoolOptions, type RowDataPacket } from 'mysql2/promise'
import { expect, onTestFinished, test } from 'vitest'
import { fromMysql2 } from '../../src/transaction/mysql2/index.ts'
import { serverUrl } from '../store/mysql-fixture.ts'

/** One connection, so that whatever a transaction left behind is seen by the next one. */
function onePool(options: PoolOptions = {}) {
  const pool = createPool({ uri: serverUrl, connectionLimit: 1, ...options })
  onTestFinished(() => pool.end())
  return { pool, layer: fromMysql2(pool) }
}

async function session(pool: ReturnType<typeof createPool>): Promise<unknown> {
  const [rows] = await pool.query<RowDataPacket[]>(
    'SELECT CONNECTION_ID() AS id, @@autocommit AS autocommit, @@innodb_lock_wait_timeout AS lock_wait, @@wait_timeout AS idle',
  )
  return rows[0]
}

const timeouts = 'SET SESSION innodb_lock_wait_timeout = 7, SESSION wait_timeout = 9'

test('the handler gets the connection of the pool, inside the transaction', async () => {
  const { layer } = onePool()
  const closed = await layer.transaction({ isolation: 'serializable', statements: [timeouts, 'SELECT 1 AS one'] }, async (tx, opened) => {
    const own: PoolConnection = tx
    const [rows] = await own.query<RowDataPacket[]>('SELECT @@autocommit AS autocommit, @@innodb_lock_wait_timeout AS lock_wait')
    return { end: 'commit', statements: ['SELECT 2 AS two'], value: [opened.rows, rows] }
  })
  expect(closed).toEqual({
    value: [[{ one: 1 }], [{ autocommit: 0, lock_wait: 7 }]],
    ended: 'committed',
    rows: { rows: [{ two: 2 }], count: 1 },
  })
})

test("an error of the store's own statements carries nothing of their text, which holds bodies", async () => {
  const { layer } = onePool()
  const failing = layer.query("SELECT 'of a body' FROM nowhere")
  const error: unknown = await failing.catch((failure: unknown) => failure)
  expect(inspect(error, { depth: null })).toContain('nowhere')
  expect(inspect(error, { depth: null })).not.toContain('of a body')
})

test.each([
  ['a commit', { end: 'commit', statements: [], value: 1 }],
  ['a roll-back', { end: 'roll-back', statement: undefined, value: 1 }],
] as const)('after %s the session is as it was, on the same connection', async (_, ending) => {
  const { pool, layer } = onePool()
  await pool.query('SET SESSION wait_timeout = 1234')
  const before = await session(pool)
  await layer.transaction<number>({ isolation: 'default', statements: [timeouts] }, async () => ending)
  expect(await session(pool)).toEqual(before)
})

test('after a failed opening and a failed closing the session is as it was', async () => {
  const { pool, layer } = onePool()
  const before = await session(pool)
  const body = async () => ({ end: 'commit', statements: ['SELECT * FROM nowhere'], value: 1 }) as const
  await expect(layer.transaction({ isolation: 'default', statements: [timeouts, 'SELECT nothing'] }, body)).rejects.toMatchObject({
    errno: 1054,
  })
  await expect(layer.transaction({ isolation: 'default', statements: [timeouts] }, body)).rejects.toMatchObject({ errno: 1146 })
  expect(await session(pool)).toEqual(before)
})

test('a statement after the roll-back is committed by itself, and its rows are answered', async () => {
  const { layer } = onePool()
  const closed = await layer.transaction({ isolation: 'default', statements: [] }, async () => {
    return { end: 'roll-back', statement: 'SELECT 3 AS three', value: 'undone' }
  })
  expect(closed).toEqual({ value: 'undone', ended: 'rolled-back', rows: { rows: [{ three: 3 }], count: 1 } })
})

test('a lost connection is given up, and the next transaction gets another', async () => {
  const { pool, layer } = onePool()
  const killer = onePool().pool
  const attempt = layer.transaction<number>({ isolation: 'default', statements: ['SELECT CONNECTION_ID() AS id'] }, async (_, { rows }) => {
    await killer.query(`KILL ${rows[0]?.['id']}`)
    return { end: 'commit', statements: [], value: 1 }
  })
  await expect(attempt).rejects.toThrow()
  expect(await session(pool)).toMatchObject({ autocommit: 1 })
})

test('one statement: rows of a table and of a procedure, counts, bound values in any order', async () => {
  const { layer } = onePool({ rowsAsArray: true })
  expect(await layer.query('SELECT 1 AS one')).toEqual({ rows: [{ one: 1 }], count: 1 })
  expect(await layer.query('SELECT $2 AS b, $1 AS a', ['first', new Uint8Array([1, 2])])).toEqual({
    rows: [{ b: Buffer.from([1, 2]), a: 'first' }],
    count: 1,
  })
  expect(await layer.query('SET @nothing = 1')).toEqual({ rows: [], count: 0 })
  await expect(layer.query('SELECT nothing')).rejects.toMatchObject({ errno: 1054 })
  expect(await layer.query('SELECT 1 AS one FROM DUAL WHERE 1 = 0')).toEqual({ rows: [], count: 0 })
  expect(layer).toMatchObject({ name: 'mysql2', ridesAlong: false })
})
