import { Pool, type PoolClient } from 'pg'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { SqlLayer, TransactionalStore } from '../../src/core/index.ts'
import { outboxRow } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import { postgresStore } from '../../src/store/postgres/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'
import { begin, inPlace, serverUrl } from '../store/postgres-fixture.ts'
import { postgresProxy } from '../support/postgres-proxy.ts'
import { acquired, commit, leaseRequest, newId, options, outcomeOf, request } from '../support/transaction-claim.ts'

const work = ['SELECT 1', 'SELECT 2', 'SELECT 3']

describe('round trips', () => {
  test(
    'a business transaction of three statements takes as many with a record as without: five',
    inPlace(async (place) => {
      const proxy = await postgresProxy(serverUrl)
      const { pool, store } = place.another({ pool: { connectionString: proxy.url, max: 1 } })
      const handle = async (tx: PoolClient): Promise<void> => {
        for (const statement of work) await tx.query(statement)
      }
      // The first of a process registers operation and policy, once.
      await store.transact(request(newId()), options, async () => commit())

      proxy.reset()
      const { tx, commit: end } = await begin(pool)
      await handle(tx)
      await end()
      const without = proxy.roundTrips.length

      proxy.reset()
      const paid = newId()
      await store.transact(request(paid), options, async ({ tx }) => {
        await handle(tx)
        return commit('paid')
      })
      expect([without, proxy.roundTrips.length]).toEqual([5, 5])
      expect(proxy.roundTrips[0]).toMatch(/^BEGIN; .*oncely_claim/)
      expect(proxy.roundTrips[4]).toMatch(/oncely_complete.*; COMMIT$/)
      expect(await store.read(paid)).toMatchObject({ state: 'completed', outcome: outcomeOf('paid') })

      proxy.reset()
      await store.transact(request(newId()), options, async ({ tx }) => {
        await handle(tx)
        return { ...commit(), messages: [outboxRow(nodeHasher, 'origin', 0, { topic: 'payments', payload: 1 })] }
      })
      expect(proxy.roundTrips.length, 'with a message').toBe(5)
      expect(proxy.roundTrips[4]).toMatch(/oncely_outbox.*oncely_complete.*; COMMIT$/)
      expect(await store.outbox?.stats()).toMatchObject({ backlog: 1 })
      await proxy.close()
    }),
  )

  test(
    "inside the user's own transaction: one for the claim, one for the completion",
    inPlace(async (place) => {
      const proxy = await postgresProxy(serverUrl)
      const { pool, store } = place.another({ pool: { connectionString: proxy.url } })
      await store.open()
      await store.claim(request(newId()))
      const { tx, commit: end } = await begin(pool)
      proxy.reset()
      const scope = store.within(tx)
      const { ownership } = acquired(await scope.claim(request(newId())))
      expect(await scope.complete(ownership, outcomeOf('done'))).toBe('done')
      expect(proxy.roundTrips).toEqual([
        expect.stringMatching(/^SAVEPOINT .*oncely_claim/),
        expect.stringMatching(/oncely_complete.*RELEASE/),
      ])
      await end()
      await proxy.close()
    }),
  )

  test(
    'every method of the store is one',
    inPlace(async (place) => {
      const proxy = await postgresProxy(serverUrl)
      const { store } = place.another({ pool: { connectionString: proxy.url, max: 1 } })
      const id = newId()
      const { ownership } = acquired(await store.claim(leaseRequest(newId())))
      await store.release(ownership, { reason: 'connected' })
      const trips = async (call: () => Promise<unknown>): Promise<number> => {
        proxy.reset()
        await call()
        return proxy.roundTrips.length
      }
      const held = acquired(await store.claim(leaseRequest(id))).ownership
      const verdict = {
        expected: { state: 'uncertain', token: held.token },
        verdict: { applied: true, outcome: outcomeOf('found') },
        by: 'test',
        reason: '',
      } as const
      const calls: Record<string, () => Promise<unknown>> = {
        claim: () => store.claim(leaseRequest(id)),
        renew: () => store.renew(held, { leaseMs: 1_000, begun: true }),
        release: () => store.release(held, { reason: '' }),
        seal: () => store.seal(held, { reason: '' }),
        resolve: () => store.resolve(id, verdict),
        complete: () => store.complete(held, outcomeOf('found')),
        read: () => store.read(id),
        trail: () => store.trail(id),
        audit: () => store.audit([{ id, operation: 'x', minuteMs: 0, reason: 'replayed', count: 1 }]),
        stats: () => store.stats(),
        forget: () => store.forget(id, { reason: '' }),
      }
      const counted: Record<string, number> = {}
      for (const [name, call] of Object.entries(calls)) counted[name] = await trips(call)
      expect(counted).toEqual(Object.fromEntries(Object.keys(calls).map((name) => [name, 1])))
      await proxy.close()
    }),
  )
})

describe('connections', () => {
  test(
    'a connection that was lost is destroyed, and one that only failed is given back',
    inPlace(
      async (place) => {
        const pid = async (): Promise<number> => (await place.pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
        const first = await pid()
        await place.store.transact(request(newId()), options, async ({ tx }) => {
          await tx.query('SELECT 1 / 0').catch(() => {})
          return { end: 'roll-back', value: '' }
        })
        expect(await pid()).toBe(first)
        const killer = place.another().pool
        const lost = place.store.transact(request(newId()), options, async ({ tx }) => {
          const ended = new Promise((resolve) => tx.once('error', resolve))
          await killer.query('SELECT pg_terminate_backend($1)', [first])
          await ended
          return commit()
        })
        await expect(lost).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
        expect(await pid()).not.toBe(first)
        expect([place.pool.totalCount, place.pool.idleCount]).toEqual([1, 1])
      },
      { pool: { max: 1 } },
    ),
  )

  test(
    'listeners of ours do not stay on a connection that lives on',
    inPlace(
      async (place) => {
        const listeners = async (): Promise<number[]> => {
          const client = await place.pool.connect()
          client.release()
          return [client.listenerCount('error'), client.listenerCount('notice')]
        }
        const before = await listeners()
        for (let round = 0; round < 3; round++) await place.store.transact(request(newId()), options, async () => commit())
        expect(await listeners()).toEqual(before)
      },
      { pool: { max: 1 } },
    ),
  )

  test('a server that is not there: surely nothing was applied', async () => {
    const pool = new Pool({ connectionString: 'postgres://oncely@127.0.0.1:1/oncely' })
    const store = postgresStore(fromPg(pool))
    const refused = { code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' }
    await expect(store.open()).rejects.toMatchObject(refused)
    await expect(store.claim(request(newId()))).rejects.toMatchObject(refused)
    await expect(store.read(newId())).rejects.toMatchObject(refused)
    await expect(store.transact(request(newId()), options, async () => commit())).rejects.toMatchObject(refused)
    await pool.end()
  })

  test(
    'a pool without a free connection: surely nothing was applied',
    inPlace(
      async (place) => {
        await place.store.claim(request(newId()))
        const client = await place.pool.connect()
        await expect(place.store.transact(request(newId()), options, async () => commit())).rejects.toMatchObject({
          code: 'ONCELY_STORE_UNAVAILABLE',
          applied: 'no',
        })
        await expect(place.store.claim(request(newId()))).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
        client.release()
      },
      { pool: { max: 1, connectionTimeoutMillis: 100 } },
    ),
  )

  test(
    'an answer that the driver did not wait for: unknown',
    inPlace(
      async (place) => {
        const { ownership } = acquired(await place.store.claim(leaseRequest(newId())))
        const { tx, rollback } = await begin(place.another().pool)
        await tx.query(place.named('SELECT FROM {keys} FOR UPDATE'))
        await expect(place.store.complete(ownership, outcomeOf('done'))).rejects.toMatchObject({
          code: 'ONCELY_STORE_UNAVAILABLE',
          applied: 'unknown',
        })
        await rollback()
      },
      { pool: { query_timeout: 400 } },
    ),
  )
})

test('the handler gets the client type of the pool that was handed in', () => {
  interface OwnClient extends PoolClient {
    readonly shard: number
  }
  interface OwnPool extends Omit<Pool, 'connect'> {
    connect(): Promise<OwnClient>
  }
  expectTypeOf(fromPg(new Pool())).toEqualTypeOf<SqlLayer<PoolClient>>()
  expectTypeOf(postgresStore(fromPg(new Pool()))).toEqualTypeOf<TransactionalStore<PoolClient>>()
  expectTypeOf(fromPg({} as OwnPool)).toEqualTypeOf<SqlLayer<OwnClient>>()
  expect(fromPg(new Pool()).ridesAlong).toBe(true)
})
