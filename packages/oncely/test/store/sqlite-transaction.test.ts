import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { StoreUnavailable, TransactionDead } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'
import { claimOf, inTransaction, newId, outcomeOf } from './sqlite-claim.ts'
import { book, connect, entries, openBooks, openStore, temporaryFile } from './sqlite-fixture.ts'

const transactional = { bind: 'transaction' } as const
const commit = { end: 'commit', outcome: outcomeOf('booked'), value: 'value' } as const
const rollBack = { end: 'roll-back', value: 'value' } as const

describe('a handler in a transaction', () => {
  test('its rows, the claim and the outcome are one commit', async () => {
    const { store, user } = await openBooks()
    const request = claimOf(newId(), transactional)
    const result = await store.transact(request, inTransaction, async ({ tx, claim }) => {
      expect(claim?.attempt).toBe(1)
      book(tx, 'a')
      expect(entries(user)).toEqual([])
      expect(await store.read(request.id)).toBeUndefined()
      return commit
    })
    expect(result).toEqual({ word: 'committed', value: 'value', alone: false })
    expect(entries(user)).toEqual(['a'])
    const again = await store.transact(claimOf(request.id, transactional), inTransaction, () => expect.unreachable())
    expect(again).toMatchObject({ word: 'refused', answer: { word: 'replay', outcome: outcomeOf('booked') } })
    const other = await store.transact(claimOf(request.id, { ...transactional, payload: 'other' }), inTransaction, () =>
      expect.unreachable(),
    )
    expect(other).toEqual({ word: 'refused', answer: { word: 'mismatch' } })
    expect((await store.trail(request.id)).map(({ event }) => event)).toEqual(['claimed', 'completed'])
  })

  test('a roll-back leaves nothing, and the next attempt is the first', async () => {
    const { store, user } = await openBooks()
    const id = newId()
    const result = await store.transact(claimOf(id, transactional), inTransaction, async ({ tx }) => {
      book(tx, 'a')
      return rollBack
    })
    expect(result).toEqual({ word: 'rolled-back', value: 'value' })
    expect([entries(user), await store.read(id), await store.trail(id)]).toEqual([[], undefined, []])
    const again = await store.transact(claimOf(id, transactional), inTransaction, async ({ claim }) => {
      expect(claim?.attempt).toBe(1)
      return commit
    })
    expect(again.word).toBe('committed')
  })

  test('what it throws is thrown, and nothing is left', async () => {
    const { store, user } = await openBooks()
    const id = newId()
    const declined = new Error('declined')
    const attempt = store.transact(claimOf(id, transactional), inTransaction, async ({ tx }) => {
      book(tx, 'a')
      throw declined
    })
    await expect(attempt).rejects.toBe(declined)
    expect([entries(user), await store.read(id)]).toEqual([[], undefined])
  })

  test('without a claim it is a plain transaction', async () => {
    const { store, user } = await openBooks()
    const run = (entry: string, end: typeof commit | typeof rollBack) =>
      store.transact(undefined, inTransaction, async ({ tx, claim }) => {
        expect(claim).toBeUndefined()
        book(tx, entry)
        return end
      })
    expect(await run('kept', commit)).toEqual({ word: 'committed', value: 'value', alone: false })
    expect(await run('dropped', rollBack)).toEqual({ word: 'rolled-back', value: 'value' })
    expect(entries(user)).toEqual(['kept'])
  })

  test('a write of another request, acknowledged meanwhile or after, survives its roll-back', async () => {
    const { store, user } = await openBooks()
    const [wait, entered] = [deferred(), deferred()]
    const attempt = store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
      book(tx, 'of the handler')
      entered.resolve()
      await wait.promise
      return rollBack
    })
    await entered.promise
    const other = claimOf(newId())
    let acknowledged = false
    const claimed = store.claim(other).then((answer) => {
      acknowledged = true
      return answer
    })
    // It waits for the writer and is not smuggled into the handler's transaction.
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(acknowledged).toBe(false)
    wait.resolve()
    expect((await attempt).word).toBe('rolled-back')
    expect((await claimed).word).toBe('acquired')
    expect((await store.read(other.id))?.state).toBe('running')
    expect(entries(user)).toEqual([])
  })

  test('a committed record answers while another handler holds the writer', async () => {
    const { store } = await openBooks()
    const id = newId()
    await store.transact(claimOf(id, transactional), inTransaction, async () => commit)
    const [wait, entered] = [deferred(), deferred()]
    const holder = store.transact(undefined, { ...inTransaction, idleTimeoutMs: 60_000 }, async ({ tx }) => {
      book(tx, 'held')
      entered.resolve()
      await wait.promise
      return commit
    })
    await entered.promise
    // Longer than this test may take: an answer that waited for the writer would come too late.
    const inTime = { ...inTransaction, lockTimeoutMs: 60_000 }
    expect(await store.transact(claimOf(id, transactional), inTime, () => expect.unreachable())).toMatchObject({
      answer: { word: 'replay' },
    })
    expect((await store.claim(claimOf(id))).word).toBe('replay')
    expect((await store.read(id))?.state).toBe('completed')
    wait.resolve()
    await holder
  })

  test('a duplicate that waited for the writer gets the replay or the mismatch', async () => {
    const { store, user } = await openBooks()
    const id = newId()
    const [wait, entered] = [deferred(), deferred()]
    const first = store.transact(claimOf(id, transactional), inTransaction, async ({ tx }) => {
      book(tx, 'once')
      entered.resolve()
      await wait.promise
      return commit
    })
    await entered.promise
    const same = store.transact(claimOf(id, transactional), inTransaction, () => expect.unreachable())
    const other = store.transact(claimOf(id, { ...transactional, payload: 'other' }), inTransaction, () => expect.unreachable())
    wait.resolve()
    expect((await first).word).toBe('committed')
    expect(await same).toMatchObject({ answer: { word: 'replay', outcome: outcomeOf('booked') } })
    expect(await other).toEqual({ word: 'refused', answer: { word: 'mismatch' } })
    expect(entries(user)).toEqual(['once'])
  })

  test('a wait for the writer that runs out is in progress; without a claim the store is unavailable', async () => {
    const { path, store } = await openBooks({ busyTimeoutMs: 50 })
    const holder = connect(path)
    holder.exec('BEGIN IMMEDIATE')
    const brief = { ...inTransaction, lockTimeoutMs: 50 }
    const refused = await store.transact(claimOf(newId(), transactional), brief, () => expect.unreachable())
    expect(refused).toEqual({ word: 'refused', answer: { word: 'in-progress', retryAfterMs: 1_000 } })
    await expect(store.transact(undefined, brief, () => expect.unreachable())).rejects.toMatchObject({
      code: 'ONCELY_STORE_UNAVAILABLE',
      applied: 'no',
    })
    await expect(store.claim(claimOf(newId()))).rejects.toSatisfy((error) => error instanceof StoreUnavailable && error.applied === 'no')
    holder.exec('ROLLBACK')
    expect((await store.claim(claimOf(newId()))).word).toBe('acquired')
  })
})

describe('a handler that ends the transaction itself', () => {
  async function attempt(body: (tx: SqliteConnection) => typeof commit | typeof rollBack) {
    const { store, user } = await openBooks()
    const request = claimOf(newId(), transactional)
    const result = await store.transact(request, inTransaction, async ({ tx }) => {
      book(tx, 'a')
      return body(tx)
    })
    return { result, entries: entries(user), record: await store.read(request.id), next: await store.claim(claimOf(request.id)) }
  }

  test('commits and returns: the outcome is recorded alone', async () => {
    const { result, entries, next } = await attempt((tx) => {
      tx.exec('COMMIT')
      return commit
    })
    expect(result).toEqual({ word: 'committed', value: 'value', alone: true })
    expect([entries, next.word]).toEqual([['a'], 'replay'])
  })

  test('commits, opens another and returns: both are committed, the outcome with the second', async () => {
    const { result, entries, next } = await attempt((tx) => {
      tx.exec('COMMIT; BEGIN')
      book(tx, 'b')
      return commit
    })
    expect(result).toEqual({ word: 'committed', value: 'value', alone: true })
    expect([entries, next.word]).toEqual([['a', 'b'], 'replay'])
  })

  test('commits and fails: it escaped, and the record is sealed', async () => {
    const { result, entries, record, next } = await attempt((tx) => {
      tx.exec('COMMIT')
      return rollBack
    })
    expect(result).toEqual({ word: 'escaped', value: 'value' })
    expect(entries).toEqual(['a'])
    expect(record).toMatchObject({ state: 'uncertain', reason: 'the handler committed its transaction itself and then failed' })
    expect(next.word).toBe('uncertain')
  })

  test('commits, opens another and fails: only the first one stands', async () => {
    const { result, entries, record } = await attempt((tx) => {
      tx.exec('COMMIT; BEGIN')
      book(tx, 'b')
      return rollBack
    })
    expect([result.word, entries, record?.state]).toEqual(['escaped', ['a'], 'uncertain'])
  })

  test('commits and throws: its error is thrown, and the record is sealed', async () => {
    const { store } = await openBooks()
    const request = claimOf(newId(), transactional)
    const attempt = store.transact(request, inTransaction, async ({ tx }) => {
      tx.exec('COMMIT')
      throw new Error('too late')
    })
    await expect(attempt).rejects.toThrow('too late')
    expect((await store.read(request.id))?.state).toBe('uncertain')
  })

  test('rolls back and fails: nothing is left', async () => {
    const { result, entries, record } = await attempt((tx) => {
      tx.exec('ROLLBACK')
      return rollBack
    })
    expect([result.word, entries, record]).toEqual(['rolled-back', [], undefined])
  })

  test.each(['ROLLBACK', 'ROLLBACK; BEGIN'])('runs %s and returns as if all were well: the transaction is dead', async (sql) => {
    await expect(
      attempt((tx) => {
        tx.exec(sql)
        return commit
      }),
    ).rejects.toBeInstanceOf(TransactionDead)
  })
})

describe('a transaction that dies', () => {
  test('of a connection that the handler closed is dead', async () => {
    const { store, user } = await openBooks()
    const closed = store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
      tx.exec('ROLLBACK')
      tx.close()
      return commit
    })
    await expect(closed).rejects.toBeInstanceOf(TransactionDead)
    const next = await store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
      book(tx, 'by another connection')
      return commit
    })
    expect([next.word, entries(user)]).toEqual(['committed', ['by another connection']])
  })

  test('of a full disk whose error was swallowed is dead, and its connection is good again', async () => {
    const { store, user } = await openBooks()
    const id = newId()
    const swallowed = store.transact(claimOf(id, transactional), inTransaction, async ({ tx }) => {
      fillDisk(tx)
      return commit
    })
    await expect(swallowed).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_DEAD' })
    expect([entries(user), await store.read(id)]).toEqual([[], undefined])
    expect((await store.transact(claimOf(id, transactional), inTransaction, async () => commit)).word).toBe('committed')
  })

  test('of a full disk whose error passed is rolled back, and the error is the disk’s', async () => {
    const { store } = await openBooks()
    let failure: unknown
    const result = await store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
      failure = fillDisk(tx)
      return rollBack
    })
    expect([result.word, store.classify(failure)]).toEqual(['rolled-back', 'unavailable'])
  })

  test('of a full disk at the outcome is unavailable, surely not applied', async () => {
    const { store, user } = await openBooks()
    const large = { codec: 2, bytes: new Uint8Array(1_000_000), checksum: new Uint8Array(16) }
    const attempt = store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
      book(tx, 'a')
      tx.exec('PRAGMA max_page_count = 1')
      return { end: 'commit', outcome: large, value: 'value' }
    })
    await expect(attempt).rejects.toMatchObject({
      code: 'ONCELY_STORE_UNAVAILABLE',
      applied: 'no',
      message: expect.stringContaining('FULL'),
    })
    expect(entries(user)).toEqual([])
  })

  test('of a deferred foreign key fails with the user’s error, and nothing is left', async () => {
    const { store, user } = await openBooks()
    user.exec('CREATE TABLE lines (entry TEXT REFERENCES books (entry) DEFERRABLE INITIALLY DEFERRED)')
    const id = newId()
    const attempt = store.transact(claimOf(id, transactional), inTransaction, async ({ tx }) => {
      tx.exec("INSERT INTO lines VALUES ('nowhere')")
      return commit
    })
    const error = await attempt.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ message: expect.stringContaining('FOREIGN KEY') })
    expect([store.classify(error), await store.read(id)]).toEqual(['theirs', undefined])
  })

  test('of silence is rolled back, its late statements fail, and other writers go on', async () => {
    const { store, user } = await openBooks()
    const id = newId()
    const wait = deferred()
    let late: unknown
    const silent = store.transact(claimOf(id, transactional), { ...inTransaction, idleTimeoutMs: 100 }, async ({ tx }) => {
      book(tx, 'a')
      await wait.promise
      try {
        book(tx, 'late')
      } catch (error) {
        late = error
      }
      return commit
    })
    const next = store.claim(claimOf(newId()))
    expect(await silent).toEqual({ word: 'fenced' })
    expect((await next).word).toBe('acquired')
    wait.resolve()
    await expect.poll(() => late).toBeInstanceOf(Error)
    expect([store.classify(late), entries(user), await store.read(id)]).toEqual(['dead', [], undefined])
  })

  test('a handler that keeps writing is not silent', async () => {
    const { store, user } = await openBooks()
    const result = await store.transact(claimOf(newId(), transactional), { ...inTransaction, idleTimeoutMs: 150 }, async ({ tx }) => {
      for (let count = 0; count < 8; count++) {
        book(tx, `entry ${count}`)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      return commit
    })
    expect([result.word, entries(user).length]).toEqual(['committed', 8])
  })

  test('a claim that is no longer the newest is fenced', async () => {
    const { store, user } = await openBooks()
    const result = await store.transact(claimOf(newId(), transactional), inTransaction, async ({ tx }) => {
      book(tx, 'a')
      tx.exec('UPDATE oncely_keys SET seq = seq + 1')
      return commit
    })
    expect([result, entries(user)]).toEqual([{ word: 'fenced' }, []])
  })
})

test('a factory’s own connections are handed to the handler', async () => {
  const path = temporaryFile()
  const opened: SqliteConnection[] = []
  const store = openStore({
    factory: () => {
      const connection = connect(path)
      opened.push(connection)
      return connection
    },
  })
  await store.open()
  for (let count = 0; count < 3; count++) {
    await store.transact(undefined, inTransaction, async ({ tx }) => {
      expect(opened).toContain(tx)
      return rollBack
    })
  }
  // Writer, reader, and one for handlers.
  expect(opened.length).toBe(3)
})

function fillDisk(tx: SqliteConnection): unknown {
  const { page_count: pages } = tx.prepare('PRAGMA page_count').get() as { page_count: number }
  tx.exec(`PRAGMA max_page_count = ${pages}`)
  try {
    for (let count = 0; count < 100; count++) tx.prepare('INSERT INTO books VALUES (?, zeroblob(9000))').run(`filler ${count}`)
  } catch (error) {
    return error
  } finally {
    tx.exec('PRAGMA max_page_count = 1000000')
  }
  return undefined
}
