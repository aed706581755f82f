import { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import { postgresStore } from '../../src/store/postgres/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'
import { postgresProxy } from '../support/postgres-proxy.ts'
import {
  acquired,
  commit,
  leaseRequest,
  newId,
  options,
  outcomeOf,
  refusal,
  request,
  runningTransaction,
} from '../support/transaction-claim.ts'
import { addEffect, begin, effects, inPlace, openPlace, type Place, serverUrl, urlOf } from './postgres-fixture.ts'

describe('a transaction that the handler ends itself', () => {
  test(
    'and then throws: its effect stands, the record is uncertain, and the error names the mistake',
    inPlace(async (place) => {
      const id = newId()
      const failure = new Error('after the commit')
      const attempt = place.store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(place, tx, 'paid')
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
      expect((await place.sql('SELECT state FROM {open} WHERE id = $1', [id])).length).toBe(1)
    }),
  )

  test(
    'by ROLLBACK and returns: the record is gone, so nothing is recorded and the error names the mistake',
    inPlace(async (place) => {
      const id = newId()
      const attempt = place.store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(place, tx, 'undone')
        await tx.query('ROLLBACK')
        return commit()
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_ESCAPED' })
      expect(await place.store.read(id)).toBeUndefined()
      expect(await effects(place)).toEqual([])
    }),
  )

  test(
    'and begins another: once it is overtaken, the second one never commits',
    inPlace(async (place) => {
      const id = newId()
      const result = await place.store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(place, tx, 'first')
        await tx.query('COMMIT')
        await place.store.forget(id, { reason: 'test' })
        acquired(await place.store.claim(leaseRequest(id)))
        await tx.query('BEGIN')
        await addEffect(place, tx, 'second')
        return commit()
      })
      expect(result).toEqual({ word: 'fenced' })
      expect(await effects(place)).toEqual(['first'])
    }),
  )
})

describe('a transaction that the database gives up', () => {
  test(
    'a swallowed deadlock is found at the end, and nothing is committed',
    inPlace(async (place) => {
      await place.sql("INSERT INTO {effects} (value) VALUES ('a'), ('b')")
      const touch = place.named('UPDATE {effects} SET value = value WHERE value = $1')
      const other = await begin(place.pool)
      await other.tx.query(touch, ['b'])
      const id = newId()
      const attempt = place.store.transact<string>(request(id), options, async ({ tx }) => {
        await tx.query("SET LOCAL deadlock_timeout = '10ms'")
        await tx.query(touch, ['a'])
        const [mine] = await Promise.allSettled([tx.query(touch, ['b']), other.tx.query(touch, ['a'])])
        expect(mine).toMatchObject({ status: 'rejected', reason: { code: '40P01' } })
        return commit()
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_DEAD', retryable: true })
      await other.rollback()
      expect(await place.store.read(id)).toBeUndefined()
    }),
  )

  test(
    'without a record, too: a COMMIT that the server answers with ROLLBACK is no commit',
    inPlace(async (place) => {
      const attempt = place.store.transact<string>(undefined, options, async ({ tx }) => {
        await addEffect(place, tx, 'undone')
        await tx.query('SELECT 1 / 0').catch(() => {})
        return commit()
      })
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_DEAD' })
      expect(await effects(place)).toEqual([])
    }),
  )

  test(
    'a constraint that fails at the commit is the error of the user, and nothing is committed',
    inPlace(async (place) => {
      await place.sql('ALTER TABLE {effects} ADD CONSTRAINT effects_once UNIQUE (value) DEFERRABLE INITIALLY DEFERRED')
      await place.sql("INSERT INTO {effects} (value) VALUES ('paid')")
      const id = newId()
      const attempt = place.store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(place, tx, 'paid')
        return commit()
      })
      const error = await attempt.catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: '23505', constraint: 'effects_once' })
      expect(place.store.classify(error)).toBe('theirs')
      expect(await place.store.read(id)).toBeUndefined()
    }),
  )

  test(
    'a serialization failure of the handler is a conflict that repeats the whole transaction',
    inPlace(async (place) => {
      await place.sql("INSERT INTO {effects} (value) VALUES ('balance')")
      const id = newId()
      const isolation = 'serializable'
      const once = (): Promise<{ readonly word: string }> =>
        place.store.transact<string>(request(id), { ...options, isolation }, async ({ tx }) => {
          await tx.query(place.named('SELECT * FROM {effects}'))
          await place.sql("UPDATE {effects} SET value = 'changed' WHERE value = 'balance'")
          await tx.query(place.named("UPDATE {effects} SET value = 'mine'"))
          return commit()
        })
      await expect(once()).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_CONFLICT', cause: { code: '40001' } })
      expect(await place.store.read(id)).toBeUndefined()
      expect(await once()).toMatchObject({ word: 'committed' })
    }),
  )

  test.each(['repeatable-read', 'serializable'] as const)(
    '%s: a record that its snapshot does not show is a conflict, and the repeat replays',
    async (isolation) => {
      await inPlace(async (place) => {
        const [id, inner] = [newId(), newId()]
        const attempt = place.store.transact<string>(request(id), { ...options, isolation }, async ({ tx }) => {
          await place.store.transact<string>(request(inner), options, async () => commit('inner'))
          await place.store.within(tx).claim(request(inner))
          return commit()
        })
        await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_CONFLICT' })
        expect(await refusal(place.store, request(inner), { isolation })).toBe('replay')
      })()
    },
  )
})

describe('a connection lost around COMMIT', () => {
  async function lose(place: Place, id: Uint8Array, passage: 'forward-and-cut' | 'cut'): Promise<unknown> {
    const proxy = await postgresProxy(serverUrl)
    const { store } = place.another({ pool: { connectionString: proxy.url } })
    proxy.decide((text) => (text.endsWith('COMMIT') ? passage : 'forward'))
    try {
      return await store.transact<string>(request(id), options, async ({ tx }) => {
        await addEffect(place, tx, 'paid')
        return commit('paid')
      })
    } finally {
      await proxy.close()
    }
  }

  test(
    'after the server got it: the attempt id tells that it is committed',
    inPlace(async (place) => {
      const id = newId()
      // The look goes over the same proxy, on a connection of its own.
      expect(await lose(place, id, 'forward-and-cut')).toEqual({ word: 'committed', value: 'paid', alone: false })
      expect(await effects(place)).toEqual(['paid'])
      expect(await place.store.claim(request(id))).toMatchObject({ word: 'replay', outcome: outcomeOf('paid') })
    }),
  )

  test(
    'before the server got it: surely nothing was committed',
    inPlace(async (place) => {
      const id = newId()
      await expect(lose(place, id, 'cut')).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
      expect(await effects(place)).toEqual([])
      expect(await place.store.read(id)).toBeUndefined()
    }),
  )

  test(
    'and the server is not reachable any more: unknown, the same key tells later',
    inPlace(async (place) => {
      const id = newId()
      const proxy = await postgresProxy(serverUrl)
      const { store } = place.another({ pool: { connectionString: proxy.url } })
      let closed: Promise<void> | undefined
      proxy.decide((text) => {
        if (!text.endsWith('COMMIT')) return 'forward'
        closed = proxy.close()
        return 'forward-and-cut'
      })
      const attempt = store.transact<string>(request(id), options, async () => commit())
      await expect(attempt).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'unknown' })
      await closed
    }),
  )
})

describe('inside a transaction of the user', () => {
  test('of another database with the same tables: refused by name, and the transaction lives on', async () => {
    const place = await openPlace()
    const database = `foreign_${place.schema}`
    await place.pool.query(`CREATE DATABASE ${database}`)
    const pool = new Pool({ connectionString: urlOf(database) })
    let ended: 'passed' | 'failed' = 'failed'
    try {
      const foreign = postgresStore(fromPg(pool), { schema: place.schema })
      await foreign.migrate()
      const { tx, commit: end } = await begin(pool)
      await expect(place.store.within(tx).claim(request(newId()))).rejects.toMatchObject({ code: 'ONCELY_FOREIGN_TRANSACTION' })
      expect((await tx.query('SELECT 1 AS alive')).rows).toEqual([{ alive: 1 }])
      await end()
      ended = 'passed'
    } finally {
      await pool.end()
      if (ended === 'passed') await place.pool.query(`DROP DATABASE ${database}`)
      await place.close(ended)
    }
  })

  test(
    'a handle without one is refused by name',
    inPlace(async (place) => {
      const client = await place.pool.connect()
      await expect(place.store.within(client).claim(request(newId()))).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
      client.release()
    }),
  )

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

  test(
    'a completion that is fenced leaves the rows to be rolled back',
    inPlace(async (place) => {
      const id = newId()
      const { tx, commit: end } = await begin(place.pool)
      const scope = place.store.within(tx)
      const { ownership } = acquired(await scope.claim(request(id)))
      await addEffect(place, tx, 'undone')
      await tx.query(place.named('UPDATE {keys} SET seq = seq + 1 WHERE id = $1'), [id])
      expect(await scope.complete(ownership, outcomeOf('done'))).toBe('lost')
      await scope.rollBack()
      await addEffect(place, tx, 'kept')
      await end()
      expect(await effects(place)).toEqual(['kept'])
      expect(await place.store.read(id)).toBeUndefined()
    }),
  )

  test(
    'that the user opened and leaves idle holds nobody up: a duplicate is in progress, then replays',
    inPlace(async (place) => {
      const id = newId()
      const { tx, commit: end } = await begin(place.pool)
      const scope = place.store.within(tx)
      const { ownership } = acquired(await scope.claim(request(id)))
      await scope.complete(ownership, outcomeOf('paid'))
      expect([await refusal(place.store, request(id)), await refusal(place.store, request(id, 'other'))]).toEqual([
        'in-progress',
        'mismatch',
      ])
      await end()
      expect(await refusal(place.store, request(id))).toBe('replay')
    }),
  )

  test(
    'a refused claim gives its locks back before the user ends the transaction',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id))
      const { tx, rollback } = await begin(place.pool)
      expect((await place.store.within(tx).claim(request(id, 'other'))).word).toBe('mismatch')
      const held = await tx.query("SELECT count(*)::int AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
      expect(held.rows).toEqual([{ locks: 0 }])
      await first.end()
      await rollback()
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
    expect(await place.sql('SELECT count(*)::int AS rows FROM {events}')).toEqual([{ rows: 1 }])
    expect(await place.sql('SELECT count(*)::int AS rows FROM {open}')).toEqual([{ rows: 0 }])
  }),
)
