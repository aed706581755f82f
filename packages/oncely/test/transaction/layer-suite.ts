import { inspect } from 'node:util'
import { createOncely, type Oncely } from 'oncely'
import { handle } from 'oncely/adapter/fetch'
import { reply } from 'oncely/http'
import { postgresStore } from 'oncely/store/postgres'
import { describe, expect, test } from 'vitest'
import { type BucketLease, type OutboxRow, outboxRow, type SqlLayer } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import { effects, openPlace, type Place, serverUrl, urlOf } from '../store/postgres-fixture.ts'
import { postgresProxy } from '../support/postgres-proxy.ts'
import { acquired, commit, newId, options, outcomeOf, request } from '../support/transaction-claim.ts'

/** One data layer, connected as its users connect it. */
export interface LayerHarness<Tx> {
  readonly layer: SqlLayer<Tx>
  /** Runs one statement in a transaction, the way the layer's users do. */
  execute(tx: Tx, statement: string): Promise<unknown>
  /** A transaction that the user opens. */
  begin(work: (tx: Tx) => Promise<unknown>): Promise<unknown>
  close(): Promise<unknown>
}

/** A layer on a server, with as many connections as it may have. */
export type OpenLayer<Tx> = (url: string, connections: number) => LayerHarness<Tx> | Promise<LayerHarness<Tx>>

/** The handle of whichever layer is under test: the cases know nothing about it. */
interface Tx {
  readonly ofLayer: true
}

interface World extends LayerHarness<Tx> {
  readonly place: Place
  /** Another process: it remembers nothing. */
  another(): Oncely<Tx>
  insert(tx: Tx, value: string): Promise<unknown>
  records(): Promise<number>
}

const call = { principal: 'acme', key: 'k1', input: { amount: 1 } }
function message(letter: string): OutboxRow {
  return outboxRow(nodeHasher, letter, 0, { topic: letter, aggregate: 'one', payload: `${letter} ü $1 ?` })
}

const never = (): never => {
  throw new Error('it ran')
}

export interface LayerSuiteOptions {
  /** Round trips of a transaction beyond those of the same one without a record. */
  readonly extra: number
  /** The same of `within`. */
  readonly extraWithin: number
  /** The layer opens connections before it is used, so that it cannot be given a server that is not there. */
  readonly connectsFirst?: boolean
}

/** The cases that every data layer passes on a real server. */
export function layerSuite<Handle>(openLayer: OpenLayer<Handle>, { extra, extraWithin, connectsFirst = false }: LayerSuiteOptions): void {
  const open = openLayer as unknown as OpenLayer<Tx>
  const inWorld = (body: (world: World) => Promise<void>) => async () => {
    const place = await openPlace()
    const harness = await open(serverUrl, 4)
    let ended: 'passed' | 'failed' = 'failed'
    try {
      await body({
        ...harness,
        place,
        another: () => createOncely({ namespace: 'layers', store: postgresStore(harness.layer, { schema: place.schema }) }),
        insert: (tx, value) => harness.execute(tx, place.named(`INSERT INTO {effects} (value) VALUES ('${value}')`)),
        records: async () => (await place.sql('SELECT FROM {keys}')).length,
      })
      ended = 'passed'
    } finally {
      await harness.close()
      await place.close(ended)
    }
  }

  test(
    "an error of the store's own statements carries nothing of their text, which holds bodies",
    inWorld(async ({ layer }) => {
      const statement = "SELECT 'of a body' FROM nowhere"
      const failures = await Promise.all([
        layer.query(statement).catch((error: unknown) => error),
        layer
          .transaction({ isolation: 'default', statements: [statement] }, async () => ({ end: 'commit', statements: [], value: 1 }))
          .catch((error: unknown) => error),
        layer
          .transaction({ isolation: 'default', statements: ['SELECT 1'] }, async () => ({
            end: 'commit',
            statements: [statement],
            value: 1,
          }))
          .catch((error: unknown) => error),
      ])
      for (const failure of failures) {
        const told = inspect(failure, { depth: null })
        expect(told).toContain('nowhere')
        expect(told).not.toContain('of a body')
      }
    }),
  )

  describe('a transaction that the library opens', () => {
    test(
      'run: rows and outcome are one commit, and the outcome is replayed',
      inWorld(async ({ another, insert, place, records }) => {
        const pay = another().operation('pay', { bind: 'transaction' })
        const result = await pay.run(call, async ({ tx }) => {
          await insert(tx, 'paid')
          expect([await effects(place), await records()]).toEqual([[], 0])
          return { id: 7 }
        })
        expect(result).toEqual({ status: 'done', value: { id: 7 }, attempt: 1 })
        expect([await effects(place), await records()]).toEqual([['paid'], 1])
        const replayed = { status: 'replayed', value: { id: 7 } }
        expect(await pay.run(call, never)).toEqual(replayed)
        expect(await another().operation('pay', { bind: 'transaction' }).run(call, never)).toEqual(replayed)
      }),
    )

    test(
      'handle: the stored response is sent again',
      inWorld(async ({ another, insert, place }) => {
        const post = () =>
          handle(another().operation('pay', { bind: 'transaction' }), { principal: () => 'acme' }, async ({ tx }) => {
            await insert(tx, 'paid')
            return reply(201, { id: 7 })
          })
        const send = () => {
          const headers = { 'content-type': 'application/json', 'idempotency-key': '"k1"' }
          return post()(new Request('http://localhost/payments', { method: 'POST', headers, body: '{"amount":1}' }))
        }
        const answers = [await send(), await send()]
        expect(answers.map(({ status }) => status)).toEqual([201, 201])
        expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([{ id: 7 }, { id: 7 }])
        expect(await effects(place)).toEqual(['paid'])
      }),
    )

    test(
      'a throw leaves neither rows nor record, and the key is free',
      inWorld(async ({ another, insert, place, records }) => {
        const pay = another().operation('pay', { bind: 'transaction' })
        const failure = new Error('declined')
        const failed = pay.run(call, async ({ tx }) => {
          await insert(tx, 'undone')
          throw failure
        })
        await expect(failed).rejects.toBe(failure)
        expect([await effects(place), await records()]).toEqual([[], 0])
        expect(await pay.run(call, ({ tx }) => insert(tx, 'paid').then(() => 'second'))).toMatchObject({ status: 'done', value: 'second' })
        expect(await effects(place)).toEqual(['paid'])
      }),
    )

    test(
      'an error of a statement that the handler swallows: nothing is committed',
      inWorld(async ({ another, execute, insert, place, records }) => {
        const pay = another().operation('pay', { bind: 'transaction' })
        const swallowed = pay.run(call, async ({ tx }) => {
          await insert(tx, 'undone')
          await execute(tx, 'SELECT 1 / 0').catch(() => {})
        })
        await expect(swallowed).rejects.toThrow()
        expect([await effects(place), await records()]).toEqual([[], 0])
      }),
    )

    test(
      'without a record too: a transaction that the server gave up is not reported as committed',
      inWorld(async ({ layer, execute, insert, place }) => {
        const store = postgresStore(layer, { schema: place.schema })
        const plain = store.transact(undefined, options, async ({ tx }) => {
          await insert(tx, 'undone')
          await execute(tx, 'SELECT 1 / 0').catch(() => {})
          return commit()
        })
        await expect(plain).rejects.toThrow()
        expect(await effects(place)).toEqual([])
        const kept = await store.transact(undefined, options, async ({ tx }) => {
          await insert(tx, 'kept')
          return commit()
        })
        expect([kept, await effects(place)]).toEqual([{ word: 'committed', value: 'done', alone: false }, ['kept']])
      }),
    )

    test(
      'a deadlock is repeated as a whole',
      inWorld(async ({ another, execute, place }) => {
        await place.sql("INSERT INTO {effects} (value) VALUES ('a'), ('b')")
        const pay = another().operation('pay', { bind: 'transaction' })
        const touch = (tx: Tx, value: string) => execute(tx, place.named(`UPDATE {effects} SET value = value WHERE value = '${value}'`))
        let arrived = 0
        let bothArrived: () => void = () => {}
        const both = new Promise<void>((resolve) => {
          bothArrived = resolve
        })
        const lock = (key: string, first: string, second: string) =>
          pay.run({ ...call, key }, async ({ tx }) => {
            await execute(tx, "SET LOCAL deadlock_timeout = '50ms'")
            await touch(tx, first)
            arrived++
            if (arrived === 2) bothArrived()
            await both
            await touch(tx, second)
            return key
          })
        const results = await Promise.all([lock('k1', 'a', 'b'), lock('k2', 'b', 'a')])
        expect(results).toMatchObject([
          { status: 'done', value: 'k1' },
          { status: 'done', value: 'k2' },
        ])
        expect(arrived).toBe(3)
      }),
    )

    test(
      'a serialization failure is repeated as a whole, at the isolation that the operation names',
      inWorld(async ({ another, execute, place }) => {
        await place.sql("INSERT INTO {effects} (value) VALUES ('0')")
        const add = another().operation('add', { bind: 'transaction', isolation: 'repeatable-read' })
        let calls = 0
        const result = await add.run(call, async ({ tx }) => {
          calls++
          if (calls === 1) await place.sql("UPDATE {effects} SET value = '10'")
          await execute(tx, place.named('UPDATE {effects} SET value = (value::integer + 1)::text'))
          return calls
        })
        expect(result).toMatchObject({ status: 'done', value: 2 })
        expect(await effects(place)).toEqual(['11'])
      }),
    )

    test(
      'a handler that commits by itself and throws: the error names the mistake',
      inWorld(async ({ layer, execute, insert, place }) => {
        const store = postgresStore(layer, { schema: place.schema })
        const escaped = store.transact(request(newId()), options, async ({ tx }) => {
          await insert(tx, 'escaped')
          await execute(tx, 'COMMIT')
          throw new Error('too late')
        })
        await expect(escaped).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_ESCAPED' })
        expect(await effects(place)).toEqual(['escaped'])
      }),
    )
  })

  describe('a transaction that the user opens', () => {
    test(
      'rows, claim and outcome are final with its commit',
      inWorld(async ({ another, begin, insert, place, records }) => {
        const pay = another().operation('pay', { bind: 'transaction' })
        await begin(async (tx) => {
          const result = await pay.within(tx, call, async (context) => {
            await insert(context.tx, 'paid')
            return { id: 7 }
          })
          expect(result).toEqual({ status: 'done', value: { id: 7 }, attempt: 1 })
          expect([await effects(place), await records()]).toEqual([[], 0])
        })
        expect([await effects(place), await records()]).toEqual([['paid'], 1])
        expect(await pay.run(call, never)).toEqual({ status: 'replayed', value: { id: 7 } })
      }),
    )

    test(
      'a throw inside goes back to the savepoint, and what the user did stays',
      inWorld(async ({ another, begin, insert, place, records }) => {
        const pay = another().operation('pay', { bind: 'transaction' })
        const failure = new Error('declined')
        await begin(async (tx) => {
          await insert(tx, 'before')
          const failed = pay.within(tx, call, async () => {
            await insert(tx, 'undone')
            throw failure
          })
          await expect(failed).rejects.toBe(failure)
          await insert(tx, 'after')
        })
        expect([await effects(place), await records()]).toEqual([['before', 'after'], 0])
      }),
    )

    test(
      'one of another database is refused',
      inWorld(async ({ another, place, records }) => {
        const pay = another().operation('pay', { bind: 'transaction' })
        const foreign = await open(urlOf('postgres'), 1)
        let refused: unknown
        // Some layers give a transaction up for an error that was caught.
        await foreign
          .begin(async (tx) => {
            refused = await pay.within(tx, call, never).catch((error: unknown) => error)
          })
          .catch(() => {})
        await foreign.close()
        expect(refused).toMatchObject({ code: 'ONCELY_FOREIGN_TRANSACTION' })
        expect([await effects(place), await records()]).toEqual([[], 0])
      }),
    )
  })

  describe('the wire', () => {
    test(
      `a transaction with a record takes ${extra} round trips more than without, and within() ${extraWithin}`,
      inWorld(async ({ place }) => {
        const proxy = await postgresProxy(serverUrl)
        const harness = await open(proxy.url, 1)
        const store = postgresStore(harness.layer, { schema: place.schema })
        const work = async (tx: Tx) => {
          for (const value of ['a', 'b', 'c']) await harness.execute(tx, place.named(`INSERT INTO {effects} (value) VALUES ('${value}')`))
        }
        const paid = async () => {
          await store.transact(request(newId()), options, async ({ tx }) => {
            await work(tx)
            return commit()
          })
        }
        // The first of each registers names, reads types and prepares statements.
        await paid()
        await harness.begin(work)
        proxy.reset()
        await harness.begin(work)
        const without = proxy.roundTrips.length
        proxy.reset()
        await paid()
        expect(proxy.roundTrips.length - without).toBe(extra)
        await store.open()
        proxy.reset()
        await harness.begin(async (tx) => {
          const scope = store.within(tx)
          const { ownership } = acquired(await scope.claim(request(newId())))
          await work(tx)
          await scope.complete(ownership, outcomeOf('paid'))
        })
        expect(proxy.roundTrips.length - without).toBe(extraWithin)
        // Messages ride in the statement that completes.
        proxy.reset()
        await store.transact(request(newId()), options, async ({ tx }) => {
          await work(tx)
          return { ...commit('paid'), messages: [message('a')] }
        })
        expect(proxy.roundTrips.length - without).toBe(extra)
        proxy.reset()
        await harness.begin(async (tx) => {
          const scope = store.within(tx)
          const { ownership } = acquired(await scope.claim(request(newId())))
          await work(tx)
          await scope.complete(ownership, outcomeOf('paid'), [message('b'), message('c')])
        })
        expect(proxy.roundTrips.length - without).toBe(extraWithin)
        await harness.begin(async (tx) => store.outbox?.enqueue(tx, [message('d')]))
        const [lease] = (await store.outbox?.lease({ owner: 'relay', leaseMs: 10_000, bucketsMax: 1, sinks: [''] })) ?? []
        const messages = lease && (await store.outbox?.read(lease, { leaseMs: 10_000, messagesMax: 9, sinks: [''] }))
        expect(messages).toMatchObject(
          [...'abcd'].map((letter) => ({ topic: letter, payload: new TextEncoder().encode(`"${letter} ü $1 ?"`) })),
        )
        expect(await store.outbox?.settle(lease as BucketLease, { sent: [], freed: [], held: [] })).toBe('done')
        await harness.close()
        await proxy.close()
      }),
    )

    test(
      'the store works through it: migration, claim, outcome, trail',
      inWorld(async ({ layer, place }) => {
        const store = postgresStore(layer, { schema: place.schema, prefix: 'own_', migrate: 'auto' })
        expect(await store.open()).toMatchObject({ survives: expect.any(String), instanceId: expect.any(String) })
        const id = newId()
        await store.transact(request(id), options, async () => commit('paid'))
        expect(await store.read(id)).toMatchObject({ id, state: 'completed', outcome: outcomeOf('paid') })
        expect((await store.trail(id)).map(({ event }) => event)).toContain('completed')
        expect(await store.stats()).toMatchObject({ records: 1, completed: 1 })
      }),
    )

    if (connectsFirst) return
    test('a server that is not there: surely nothing was applied', async () => {
      const harness = await open('postgres://oncely@127.0.0.1:1/oncely', 1)
      const store = postgresStore(harness.layer)
      const refused = { code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' }
      await expect(store.claim(request(newId()))).rejects.toMatchObject(refused)
      await expect(store.transact(undefined, options, async () => commit())).rejects.toMatchObject(refused)
      await harness.close()
    })
  })
}
