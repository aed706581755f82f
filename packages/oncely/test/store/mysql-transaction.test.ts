import { createPool, type Pool, type PoolConnection, type RowDataPacket } from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import type { TransactionalStore } from '../../src/core/index.ts'
import { mysqlStore } from '../../src/store/mysql/index.ts'
import { fromMysql2 } from '../../src/transaction/mysql2/index.ts'
import { acquired, commit, newId, options, outcomeOf, refusal, request, runningTransaction } from '../support/transaction-claim.ts'
import { addEffect, begin, effects, inPlace, openPlace, type Place, urlOf } from './mysql-fixture.ts'

/** Two handlers that lock two rows in opposite orders: the server ends one of them, which then does `andThen`. */
async function deadlocked(
  place: Place,
  andThen: (error: unknown, tx: PoolConnection) => Promise<void>,
): Promise<PromiseSettledResult<unknown>[]> {
  await place.pool.query('CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE = InnoDB')
  await place.pool.query('INSERT INTO accounts VALUES (1, 0), (2, 0)')
  let arrived = 0
  let meet: () => void = () => {}
  const both = new Promise<void>((resolve) => {
    meet = resolve
  })
  const move = (first: number, second: number): Promise<unknown> =>
    place.store.transact<string>(request(newId()), options, async ({ tx }) => {
      await addEffect(tx, `of ${first}`)
      await tx.query('UPDATE accounts SET balance = balance + 1 WHERE id = ?', [first])
      arrived++
      if (arrived === 2) meet()
      await both
      try {
        await tx.query('UPDATE accounts SET balance = balance + 1 WHERE id = ?', [second])
      } catch (error) {
        await andThen(error, tx)
      }
      return commit()
    })
  return Promise.allSettled([move(1, 2), move(2, 1)])
}

/** A store whose COMMIT is answered by a broken connection, after it was done or instead of it. */
function losingCommits(place: Place, done: boolean): TransactionalStore<PoolConnection> {
  const { pool } = place.another()
  const broken = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  const losing = async (): Promise<PoolConnection> => {
    const connection = await pool.getConnection()
    const own = connection.query.bind(connection) as (...given: never[]) => Promise<unknown>
    connection.query = (async (sent: string | { sql: string }, ...values: never[]) => {
      if ((typeof sent === 'string' ? sent : sent.sql) !== 'COMMIT') return own(sent as never, ...values)
      if (done) await own(sent as never)
      else connection.destroy()
      throw broken
    }) as never
    return connection
  }
  return mysqlStore(fromMysql2({ getConnection: losing }))
}

describe('a transaction that ends unseen', () => {
  test(
    'by a deadlock that the handler swallows: nothing is committed, and the error says so',
    inPlace(async (place) => {
      const ended = await deadlocked(place, async (error, tx) => {
        expect(place.store.classify(error)).toBe('retry')
        await addEffect(tx, 'after the deadlock')
      })
      expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(ended.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'ONCELY_TRANSACTION_DEAD' } })
      expect(await effects(place)).toHaveLength(1)
      expect(await place.sql('SELECT id, balance FROM accounts')).toEqual([
        { id: 1, balance: 1 },
        { id: 2, balance: 1 },
      ])
    }),
  )

  test(
    'by a deadlock that passes: repeat all of it',
    inPlace(async (place) => {
      const ended = await deadlocked(place, async (error) => {
        throw error
      })
      expect(ended.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'ONCELY_TRANSACTION_CONFLICT' } })
      expect(await effects(place)).toHaveLength(1)
    }),
  )

  test(
    'by a statement that commits: the record is completed after it, and said to be alone',
    inPlace(async (place) => {
      const id = newId()
      const result = await place.store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(tx, 'paid')
        await tx.query('CREATE TABLE surprise (id INT PRIMARY KEY) ENGINE = InnoDB')
        return commit('paid')
      })
      expect(result).toEqual({ word: 'committed', value: 'paid', alone: true })
      expect(await effects(place)).toEqual(['paid'])
      expect(await refusal(place.store, request(id))).toBe('replay')
    }),
  )

  test(
    'by COMMIT, and the handler throws: its effect stands, the record is uncertain, and the error names the mistake',
    inPlace(async (place) => {
      const id = newId()
      const failure = new Error('after the commit')
      const attempt = place.store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(tx, 'paid')
        await tx.query('COMMIT')
        throw failure
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_ESCAPED', cause: failure })
      expect(await place.store.read(id)).toMatchObject({
        state: 'uncertain',
        reason: 'the handler ended its transaction itself and then failed',
      })
      expect(await refusal(place.store, request(id))).toBe('uncertain')
      expect(await effects(place)).toEqual(['paid'])
    }),
  )

  test(
    'by ROLLBACK: what was written before and after is undone, and the error names the mistake',
    inPlace(async (place) => {
      const attempt = place.store.transact<string>(request(newId()), options, async ({ tx }) => {
        await addEffect(tx, 'before')
        await tx.query('ROLLBACK')
        await addEffect(tx, 'after')
        return commit()
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_DEAD' })
      expect(await effects(place)).toEqual([])
    }),
  )

  test(
    'without a claim: nothing of it is committed either',
    inPlace(async (place) => {
      const attempt = place.store.transact<string>(undefined, options, async ({ tx }) => {
        await addEffect(tx, 'before')
        await tx.query('ROLLBACK')
        await addEffect(tx, 'after')
        return { end: 'commit', outcome: undefined, value: '' }
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_DEAD' })
      expect(await effects(place)).toEqual([])
    }),
  )
})

describe('a COMMIT whose answer is lost', () => {
  test(
    'and that was done: the look by attempt id finds it',
    inPlace(async (place) => {
      const id = newId()
      const result = await losingCommits(place, true).transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(tx, 'paid')
        return commit('paid')
      })
      expect(result).toEqual({ word: 'committed', value: 'paid', alone: false })
      expect(await refusal(place.store, request(id))).toBe('replay')
    }),
  )

  test(
    'and that never arrived: nothing was changed, and the key is free',
    inPlace(async (place) => {
      const id = newId()
      const attempt = losingCommits(place, false).transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(tx, 'undone')
        return commit()
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
      expect(await effects(place)).toEqual([])
      expect(await place.store.read(id)).toBeUndefined()
    }),
  )

  test(
    'while the transaction is still open, or on another server than before: unknown',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id))
      const look = async (attemptId: string): Promise<unknown> => {
        const [[rows]] = await place.pool.query<RowDataPacket[][]>(place.named('CALL {after_commit}(?, ?)'), [Buffer.from(id), attemptId])
        return rows?.[0]?.['answer']
      }
      const attemptId = first.work.claim?.ownership.attemptId ?? ''
      expect(await look(attemptId)).toBe('unknown')
      await first.end({ end: 'roll-back', value: '' })
      expect(await look(attemptId)).toBe('absent')
      await place.sql("UPDATE {instance} SET origin = 'elsewhere'")
      expect(await look(attemptId)).toBe('unknown')
    }),
  )
})

describe('a transaction that the user opened', () => {
  test(
    'is needed: without one nothing is written',
    inPlace(async (place) => {
      const tx = await place.pool.getConnection()
      const id = newId()
      await expect(place.store.within(tx).claim(request(id))).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
      tx.release()
      expect(await place.store.read(id)).toBeUndefined()
    }),
  )

  test('of another database with the same tables is refused by name', async () => {
    const [here, there] = [await openPlace(), await openPlace()]
    const { tx, rollback } = await begin(there.pool)
    await expect(here.store.within(tx).claim(request(newId()))).rejects.toMatchObject({ code: 'ONCELY_FOREIGN_TRANSACTION' })
    await rollback()
    await here.close('passed')
    await there.close('passed')
  })

  test(
    'that the function ended: the error names the mistake',
    inPlace(async (place) => {
      const { tx } = await begin(place.pool)
      const scope = place.store.within(tx)
      const { ownership } = acquired(await scope.claim(request(newId())))
      await tx.query('COMMIT')
      await expect(scope.complete(ownership, outcomeOf('late'))).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_ESCAPED' })
      await expect(scope.rollBack()).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_ESCAPED' })
      tx.release()
    }),
  )

  test.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])(
    '%s: a completion that is fenced leaves the rows to be rolled back',
    async (isolation) => {
      await inPlace(async (place) => {
        const id = newId()
        const { tx, commit: end } = await begin(place.pool, isolation)
        const scope = place.store.within(tx)
        const { ownership } = acquired(await scope.claim(request(id)))
        await addEffect(tx, 'undone')
        await tx.query(place.named('UPDATE {keys} SET seq = seq + 1 WHERE id = ?'), [Buffer.from(id)])
        expect(await scope.complete(ownership, outcomeOf('done'))).toBe('lost')
        await scope.rollBack()
        await addEffect(tx, 'kept')
        await end()
        expect(await effects(place)).toEqual(['kept'])
        expect(await place.store.read(id)).toBeUndefined()
      })()
    },
  )

  test(
    'keeps its settings, whatever is claimed in it',
    inPlace(async (place) => {
      const { tx, commit: end } = await begin(place.pool)
      await tx.query('SET SESSION innodb_lock_wait_timeout = 17')
      const scope = place.store.within(tx)
      const { ownership } = acquired(await scope.claim(request(newId())))
      const first = await runningTransaction(place.store, request(newId()))
      expect(await place.store.within(tx).claim(request(first.work.claim?.ownership.id ?? newId()))).toMatchObject({ word: 'in-progress' })
      expect(await scope.complete(ownership, outcomeOf('done'))).toBe('done')
      expect((await tx.query('SELECT @@innodb_lock_wait_timeout AS seconds'))[0]).toEqual([{ seconds: 17 }])
      await first.end()
      await end()
    }),
  )

  test(
    'still knows the number of its last row, whatever is claimed and completed in it',
    inPlace(async (place) => {
      const { tx, commit: end } = await begin(place.pool)
      await addEffect(tx, 'first')
      await addEffect(tx, 'second')
      const scope = place.store.within(tx)
      const lastRow = async (): Promise<unknown> => (await tx.query('SELECT LAST_INSERT_ID() AS number'))[0]
      const { ownership } = acquired(await scope.claim(request(newId())))
      expect(await lastRow()).toEqual([{ number: 2 }])
      expect(await scope.complete(ownership, outcomeOf('done'))).toBe('done')
      expect(await lastRow()).toEqual([{ number: 2 }])
      await end()
    }),
  )

  test.each([
    ['finds the row held', async () => ({ rows: [{ answer: 'busy f' }], count: 1 })],
    ['waits too long', async () => Promise.reject(Object.assign(new Error('Lock wait timeout'), { errno: 1205, sqlState: 'HY000' }))],
  ] as const)('that a server with innodb_rollback_on_timeout rolls back when a claim %s: repeat all of it', async (_, answer) => {
    await inPlace(async (place) => {
      const layer = fromMysql2(place.pool)
      const run: typeof layer.run = async (tx, statements) => {
        if (!statements.some((statement) => statement.startsWith('CALL'))) return layer.run(tx, statements)
        await tx.query('ROLLBACK')
        return answer()
      }
      const { tx, rollback } = await begin(place.pool)
      const claim = mysqlStore({ ...layer, run })
        .within(tx)
        .claim(request(newId()))
      await expect(claim).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_CONFLICT' })
      await rollback()
    })()
  })

  test(
    'before the operation was known hears its outcome all the same',
    inPlace(async (place) => {
      const claim = (): ReturnType<typeof request> => request(id, 'same', { operation: 'newer-than-the-snapshot' })
      const id = newId()
      const { tx, rollback } = await begin(place.pool)
      await tx.query('SELECT * FROM effects')
      await place.store.transact(claim(), options, async () => commit('paid'))
      expect(await place.store.within(tx).claim(claim())).toMatchObject({
        word: 'replay',
        record: { operation: 'newer-than-the-snapshot' },
        outcome: outcomeOf('paid'),
      })
      await rollback()
    }),
  )

  test(
    'whose connection is lost: the claim says that nothing was applied',
    inPlace(async (place) => {
      const pool: Pool = createPool({ uri: urlOf(place.database), connectionLimit: 1 })
      const { tx } = await begin(pool)
      await place.sql(`KILL ${tx.threadId}`)
      await expect(place.store.within(tx).claim(request(newId()))).rejects.toMatchObject({
        code: 'ONCELY_STORE_UNAVAILABLE',
        applied: 'no',
      })
      await pool.end()
    }),
  )
})

test(
  "the trail of a transaction tells claim and completion, with who and in which trace, in the transaction's own commit",
  inPlace(async (place) => {
    const id = newId()
    const claim = request(id, 'same', { owner: 'host:7', traceId: 'trace "7"' })
    await place.store.transact<string>(claim, options, async () => commit())
    const { attemptId } = claim
    expect(await place.store.trail(id)).toMatchObject([
      { event: 'claimed', attemptId, owner: 'host:7', traceId: 'trace "7"' },
      { event: 'completed', attemptId, owner: 'host:7', traceId: 'trace "7"' },
    ])
    expect(await place.sql('SELECT COUNT(*) AS `rows` FROM {events}')).toEqual([{ rows: 1 }])
    expect(await place.sql('SELECT COUNT(*) AS `rows` FROM {open}')).toEqual([{ rows: 0 }])
  }),
)
