import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { ForeignTransaction, TransactionConflict, TransactionEscaped, Unsupported } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'
import { claimOf, inTransaction, newId, outcomeOf } from './sqlite-claim.ts'
import { book, connect, entries, openBooks, openStore, temporaryFile } from './sqlite-fixture.ts'

const transactional = { bind: 'transaction' } as const
const commit = { end: 'commit', outcome: outcomeOf('booked'), value: 'value' } as const
const rollBack = { end: 'roll-back', value: 'value' } as const

async function acquire(
  scope: ReturnType<Awaited<ReturnType<typeof openBooks>>['store']['within']>,
  request = claimOf(newId(), transactional),
) {
  const answer = await scope.claim(request)
  if (answer.word !== 'acquired') throw new TypeError(answer.word)
  return { request, ownership: answer.ownership }
}

describe('inside a transaction of the user’s own', () => {
  test('claim, rows and outcome are final with the user’s commit', async () => {
    const { path, store, user } = await openBooks()
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    const scope = store.within(tx)
    const { request, ownership } = await acquire(scope)
    book(tx, 'a')
    expect(await scope.complete(ownership, outcomeOf('done'))).toBe('done')
    expect(await store.read(request.id)).toBeUndefined()
    tx.exec('COMMIT')
    expect(entries(user)).toEqual(['a'])
    expect((await store.claim(claimOf(request.id))).word).toBe('replay')
  })

  test('the user’s roll-back takes everything back', async () => {
    const { path, store, user } = await openBooks()
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    const scope = store.within(tx)
    const { request, ownership } = await acquire(scope)
    book(tx, 'a')
    await scope.complete(ownership, outcomeOf('done'))
    tx.exec('ROLLBACK')
    expect([entries(user), await store.read(request.id)]).toEqual([[], undefined])
  })

  test('rolling back undoes this call and leaves the user’s transaction alive, for another claim too', async () => {
    const { path, store, user } = await openBooks()
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    book(tx, 'before')
    const scope = store.within(tx)
    const { request } = await acquire(scope)
    book(tx, 'undone')
    await scope.rollBack()
    await scope.rollBack()
    const again = await acquire(scope, claimOf(request.id, transactional))
    expect(await scope.complete(again.ownership, outcomeOf('rejected'))).toBe('done')
    tx.exec('COMMIT')
    expect(entries(user)).toEqual(['before'])
    expect(await store.claim(claimOf(request.id))).toMatchObject({ word: 'replay', outcome: outcomeOf('rejected') })
  })

  test('a record that is there answers, and the transaction goes on', async () => {
    const { path, store, user } = await openBooks()
    const id = newId()
    await store.transact(claimOf(id, transactional), inTransaction, async () => commit)
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    expect((await store.within(tx).claim(claimOf(id, transactional))).word).toBe('replay')
    book(tx, 'a')
    tx.exec('COMMIT')
    expect(entries(user)).toEqual(['a'])
  })

  test('a claim committed without its outcome is uncertain for everybody', async () => {
    const { path, store } = await openBooks()
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    const { request } = await acquire(store.within(tx))
    tx.exec('COMMIT')
    const answer = await store.transact(claimOf(request.id, transactional), inTransaction, () => expect.unreachable())
    expect(answer).toMatchObject({ word: 'refused', answer: { word: 'uncertain', resolve: false } })
    expect(await store.read(request.id)).toMatchObject({
      state: 'uncertain',
      reason: 'the transaction was committed without completing its record',
    })
  })

  test('a transaction ended before the completion is completed alone, or lost', async () => {
    const { path, store } = await openBooks()
    const tx = connect(path)
    const scope = store.within(tx)
    tx.exec('BEGIN IMMEDIATE')
    const kept = await acquire(scope)
    tx.exec('COMMIT')
    expect(await scope.complete(kept.ownership, outcomeOf('done'))).toBe('done')
    expect((await store.read(kept.request.id))?.state).toBe('completed')
    tx.exec('BEGIN IMMEDIATE')
    const dropped = await acquire(scope)
    tx.exec('ROLLBACK')
    expect(await scope.complete(dropped.ownership, outcomeOf('done'))).toBe('lost')
  })

  test('a transaction committed before the roll-back escaped', async () => {
    const { path, store } = await openBooks()
    const tx = connect(path)
    const scope = store.within(tx)
    tx.exec('BEGIN IMMEDIATE')
    const { request } = await acquire(scope)
    tx.exec('COMMIT')
    await expect(scope.rollBack()).rejects.toBeInstanceOf(TransactionEscaped)
    expect((await store.read(request.id))?.state).toBe('uncertain')
  })

  test('of another file it is foreign, with or without the tables', async () => {
    const { store } = await openBooks()
    const [withTables, without] = [await openBooks(), connect(temporaryFile())]
    for (const tx of [connect(withTables.path), without]) {
      tx.exec('BEGIN IMMEDIATE')
      await expect(store.within(tx).claim(claimOf(newId(), transactional))).rejects.toBeInstanceOf(ForeignTransaction)
      tx.exec('ROLLBACK')
    }
  })

  test('after a restore renewed the file’s name, its transactions are still its own', async () => {
    const { path, store } = await openBooks()
    const other = openStore({ path })
    await other.markRestored()
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    expect((await acquire(store.within(tx))).ownership.token.epoch).toBeGreaterThan(1)
    tx.exec('ROLLBACK')
  })

  test('of another copy of SQLite it is refused, because the two do not see each other’s locks', async () => {
    const { path, store } = await openBooks()
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    const other: SqliteConnection = {
      isTransaction: true,
      exec: (sql) => tx.exec(sql),
      prepare: (sql) => tx.prepare(sql.replace('sqlite_source_id()', "'another build'")),
      close: () => tx.close(),
    }
    await expect(store.within(other).claim(claimOf(newId(), transactional))).rejects.toThrow(/another copy of SQLite.*factory/)
    tx.exec('ROLLBACK')
  })

  test('a connection without a transaction is refused', async () => {
    const { path, store } = await openBooks()
    await expect(store.within(connect(path)).claim(claimOf(newId(), transactional))).rejects.toBeInstanceOf(Unsupported)
  })

  test('while another writer is busy the claim is in progress; a snapshot that is too old is a conflict', async () => {
    const { path, store, user } = await openBooks({ busyTimeoutMs: 50 })
    const tx = connect(path)
    user.exec('BEGIN IMMEDIATE')
    book(user, 'a')
    tx.exec('BEGIN')
    expect(await store.within(tx).claim(claimOf(newId(), transactional))).toEqual({ word: 'in-progress', retryAfterMs: 1_000 })
    user.exec('COMMIT')
    await expect(store.within(tx).claim(claimOf(newId(), transactional))).rejects.toBeInstanceOf(TransactionConflict)
    tx.exec('ROLLBACK')
    tx.exec('BEGIN')
    expect((await acquire(store.within(tx))).ownership.token.seq).toBeGreaterThan(0n)
    tx.exec('ROLLBACK')
  })
})

describe('on one connection that the whole process shares', () => {
  async function openShared() {
    const path = temporaryFile()
    const handle = connect(path)
    const store = openStore({ handle, busyTimeoutMs: 200 })
    await store.open()
    handle.exec('CREATE TABLE books (entry TEXT NOT NULL UNIQUE, size BLOB)')
    return { handle, store, outside: connect(path) }
  }

  test('a synchronous handler commits and rolls back', async () => {
    const { handle, store, outside } = await openShared()
    const run = (entry: string, end: typeof commit | typeof rollBack) =>
      store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
        expect(tx).toBe(handle)
        book(tx, entry)
        return end
      })
    expect((await run('kept', commit)).word).toBe('committed')
    expect((await run('dropped', rollBack)).word).toBe('rolled-back')
    expect(entries(outside)).toEqual(['kept'])
  })

  test('an asynchronous handler is rolled back and refused', async () => {
    const { store, outside } = await openShared()
    const id = newId()
    const attempt = store.transact(claimOf(id, transactional), inTransaction, async ({ tx }) => {
      book(tx, 'a')
      await new Promise((resolve) => setTimeout(resolve, 1))
      return commit
    })
    await expect(attempt).rejects.toBeInstanceOf(Unsupported)
    expect([entries(outside), await store.read(id)]).toEqual([[], undefined])
  })

  test('a write of another request, acknowledged around a roll-back, is never inside it', async () => {
    const { handle, store, outside } = await openShared()
    const acknowledged: string[] = []
    const others = async (): Promise<void> => {
      for (let count = 0; count < 300; count++) {
        await (count % 60 === 59 ? new Promise((resolve) => setImmediate(resolve)) : undefined)
        book(handle, `other ${count}`)
        acknowledged.push(`other ${count}`)
      }
    }
    const handlers = Array.from({ length: 30 }, (_, index) =>
      store.transact(claimOf(newId(), transactional), { ...inTransaction, lockTimeoutMs: 20_000 }, async ({ tx }) => {
        book(tx, `handler ${index}`)
        return rollBack
      }),
    )
    const [results] = await Promise.all([Promise.all(handlers), others()])
    expect(results.map(({ word }) => word)).toEqual(Array.from({ length: 30 }, () => 'rolled-back'))
    expect(entries(outside)).toEqual(acknowledged)
  })

  test('the store waits for a transaction that the user has open on it, and keeps the user’s busy time-out', async () => {
    const { handle, store } = await openShared()
    handle.exec('PRAGMA busy_timeout = 1234; BEGIN')
    const id = newId()
    const claimed = store.claim(claimOf(id))
    const turn = deferred()
    setTimeout(turn.resolve, 30)
    await turn.promise
    handle.exec('COMMIT')
    expect((await claimed).word).toBe('acquired')
    expect(handle.prepare('PRAGMA busy_timeout').get()).toEqual({ timeout: 1234 })
    handle.exec('BEGIN')
    await expect(store.claim(claimOf(newId()))).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
    await expect(store.read(id)).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
    handle.exec('ROLLBACK')
  })

  test('claims inside the user’s own transaction on it', async () => {
    const { handle, store, outside } = await openShared()
    handle.exec('BEGIN IMMEDIATE')
    const scope = store.within(handle)
    const { request, ownership } = await acquire(scope)
    book(handle, 'a')
    expect(await scope.complete(ownership, outcomeOf('done'))).toBe('done')
    handle.exec('COMMIT')
    expect(entries(outside)).toEqual(['a'])
    expect((await store.read(request.id))?.state).toBe('completed')
  })
})

test('a driver that does not tell whether a transaction is open is asked by trying', async () => {
  const path = temporaryFile()
  const bare = (): SqliteConnection => {
    const connection = connect(path)
    return { exec: (sql) => connection.exec(sql), prepare: (sql) => connection.prepare(sql), close: () => connection.close() }
  }
  const store = openStore({ factory: bare })
  const id = newId()
  expect((await store.transact(claimOf(id, transactional), inTransaction, async () => commit)).word).toBe('committed')
  const escaped = store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
    tx.exec('COMMIT')
    return rollBack
  })
  expect((await escaped).word).toBe('escaped')
  const tx = bare()
  await expect(store.within(tx).claim(claimOf(newId(), transactional))).rejects.toBeInstanceOf(Unsupported)
  tx.exec('BEGIN')
  expect((await store.within(tx).claim(claimOf(id, transactional))).word).toBe('replay')
  tx.exec('ROLLBACK')
})
