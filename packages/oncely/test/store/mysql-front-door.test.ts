import { describe, expect, test } from 'vitest'
import {
  acquired,
  commit,
  leaseRequest,
  newId,
  options,
  outcomeOf,
  policy,
  refusal,
  request,
  runningTransaction,
} from '../support/transaction-claim.ts'
import { addEffect, begin, effects, inPlace, type Place } from './mysql-fixture.ts'

const isolations = ['default', 'read-committed', 'repeatable-read', 'serializable'] as const

async function pay(place: Place, id: Uint8Array, payloadText = 'same'): Promise<string> {
  const result = await place.store.transact<string>(request(id, payloadText), options, async ({ tx }) => {
    await addEffect(tx, payloadText)
    return commit(payloadText)
  })
  return result.word === 'refused' ? result.answer.word : result.word
}

describe('while another transaction runs under the key', () => {
  test.each(isolations)('%s: another payload is a mismatch and the same one in progress, before the first has ended', async (isolation) => {
    await inPlace(async (place) => {
      const id = newId()
      const order: string[] = []
      const first = await runningTransaction(place.store, request(id), async ({ tx }) => {
        await addEffect(tx, 'paid')
        return commit()
      })
      const refused = (payloadText = 'same'): Promise<string> => refusal(place.store, request(id, payloadText), { isolation })
      const beforeMs = performance.now()
      order.push(await refused('other'), await refused())
      expect(performance.now() - beforeMs).toBeLessThan(2_000)
      order.push((await first.end()).word)
      order.push(await refused('other'), await refused())
      expect(order).toEqual(['mismatch', 'in-progress', 'committed', 'mismatch', 'replay'])
      expect(await effects(place)).toEqual(['paid'])
    })()
  })

  test(
    'a secret or a version that this process does not know proves nothing: in progress',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id))
      const { plain } = request(id).fingerprint
      const rotated = { version: 1, plain, keyed: [{ keyId: 2, digest: newId() }] }
      const newer = { version: 2, plain, keyed: [{ keyId: 0, digest: newId() }] }
      expect(await refusal(place.store, request(id, 'same', { fingerprint: rotated }))).toBe('in-progress')
      expect(await refusal(place.store, request(id, 'same', { fingerprint: newer }))).toBe('in-progress')
      expect((await first.end()).word).toBe('committed')
    }),
  )

  test(
    'a claim under a lease does not wait for it either',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id))
      const beforeMs = performance.now()
      expect((await place.store.claim(leaseRequest(id))).word).toBe('in-progress')
      expect((await place.store.claim(request(id, 'other', { bind: 'lease' }))).word).toBe('mismatch')
      expect(performance.now() - beforeMs).toBeLessThan(2_000)
      expect((await first.end()).word).toBe('committed')
    }),
  )

  test(
    'a killed session frees the key at once',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id), async ({ tx }) => {
        await addEffect(tx, 'undone')
        return commit()
      })
      await place.sql(`KILL ${first.work.tx.threadId}`)
      await expect.poll(() => pay(place, id, 'other')).toBe('committed')
      await expect(first.end()).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
      expect(await effects(place)).toEqual(['other'])
    }),
  )

  test(
    'a silent handler loses its transaction after the idle time-out, and the key is free',
    inPlace(async (place) => {
      const id = newId()
      const result = place.store.transact<string>(request(id), { ...options, idleTimeoutMs: 100 }, async () => {
        await expect.poll(() => pay(place, id, 'other'), { timeout: 10_000 }).toBe('committed')
        return commit()
      })
      await expect(result).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
      expect(await effects(place)).toEqual(['other'])
    }),
  )
})

describe('a row that somebody holds', () => {
  test(
    'does not keep a committed record from answering',
    inPlace(async (place) => {
      const id = newId()
      await pay(place, id)
      const { tx, rollback } = await begin(place.pool)
      await tx.query(place.named('SELECT 1 FROM {keys} WHERE id = ? FOR UPDATE'), [Buffer.from(id)])
      expect([await refusal(place.store, request(id)), await refusal(place.store, request(id, 'other'))]).toEqual(['replay', 'mismatch'])
      await rollback()
    }),
  )

  test.each(['aged', 'released'] as const)('%s, with another payload of its former life, is no proof of a mismatch', async (state) => {
    await inPlace(async (place) => {
      const id = newId()
      const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
      if (state === 'released') await place.store.release(ownership, { reason: 'failed' })
      else {
        await place.store.complete(ownership, outcomeOf('old'))
        await place.advance(policy.tombstoneMs + 1_000)
      }
      const { tx, rollback } = await begin(place.pool)
      await tx.query(place.named('SELECT 1 FROM {keys} WHERE id = ? FOR UPDATE'), [Buffer.from(id)])
      expect(await refusal(place.store, request(id, 'other'))).toBe('in-progress')
      expect((await place.store.claim(request(id, 'other', { bind: 'lease' }))).word).toBe('in-progress')
      await rollback()
      expect(await pay(place, id, 'other')).toBe('committed')
    })()
  })

  test(
    'whose transaction has completed it and goes on: in progress, another payload a mismatch',
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
    'under a lease that is not committed yet: in progress for as long as the lease lasts',
    inPlace(async (place) => {
      const id = newId()
      const { tx, rollback } = await begin(place.pool)
      acquired(await place.store.within(tx).claim(leaseRequest(id)))
      const answer = await place.store.claim(leaseRequest(id))
      expect(answer).toMatchObject({ word: 'in-progress', retryAfterMs: expect.any(Number) })
      expect('retryAfterMs' in answer && answer.retryAfterMs).toBeGreaterThan(20_000)
      await rollback()
      expect((await place.store.claim(leaseRequest(id))).word).toBe('acquired')
    }),
  )

  test(
    'uncertain, and held: not sealed, lent or run again',
    inPlace(async (place) => {
      const id = newId()
      const { ownership } = acquired(await place.store.claim(leaseRequest(id, { begun: true })))
      await place.store.seal(ownership, { reason: 'in doubt' })
      const { tx, rollback } = await begin(place.pool)
      await tx.query(place.named('SELECT 1 FROM {keys} WHERE id = ? FOR UPDATE'), [Buffer.from(id)])
      expect(await refusal(place.store, request(id, 'same', { resolverMs: 10_000 }))).toBe('in-progress')
      await rollback()
      const again = await place.store.transact(request(id, 'same', { resolverMs: 10_000 }), options, async () => commit())
      expect(again).toMatchObject({ word: 'refused', answer: { word: 'uncertain', resolve: true } })
    }),
  )
})

describe('races', () => {
  test.each(isolations)(
    '%s: of 25 racers for each of 20 keys one body runs, whoever rolls back, and none hears mismatch',
    async (isolation) => {
      await inPlace(async (place) => {
        const ids = Array.from({ length: 20 }, newId)
        const words = new Map<string, number>()
        const racers = ids.flatMap((id, key) =>
          Array.from({ length: 25 }, async (_, racer) => {
            const result = await place.store
              .transact<string>(request(id), { ...options, isolation }, async ({ tx }) => {
                await addEffect(tx, `key ${key}`)
                return racer % 3 === 0 ? { end: 'roll-back', value: '' } : commit()
              })
              .catch((error: { code: string }) => ({ word: error.code }))
            const word = 'answer' in result ? result.answer.word : result.word
            words.set(word, (words.get(word) ?? 0) + 1)
          }),
        )
        await Promise.all(racers)
        const expected = ['committed', 'rolled-back', 'in-progress', 'replay', 'ONCELY_TRANSACTION_CONFLICT']
        expect([...words.keys()].filter((word) => !expected.includes(word))).toEqual([])
        // Every key that nobody has committed is free again.
        await Promise.all(ids.map((id) => pay(place, id)))
        const counted = await place.sql(
          'SELECT (SELECT COUNT(*) FROM {keys} WHERE state = 2) AS records, (SELECT COUNT(*) FROM {effects}) AS effects',
        )
        expect(counted).toEqual([{ records: 20, effects: 20 }])
      })()
    },
  )

  test.each(['read-committed', 'repeatable-read'] as const)('%s: new keys side by side never deadlock', async (isolation) => {
    await inPlace(async (place) => {
      const results = await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          place.store.transact<string>(request(newId()), { ...options, isolation }, async ({ tx }) => {
            await addEffect(tx, `effect ${index}`)
            return commit()
          }),
        ),
      )
      expect(results.filter(({ word }) => word !== 'committed')).toEqual([])
    })()
  })

  test(
    'a handler that waits for its row does not change who may run: under every isolation one racer commits',
    inPlace(async (place) => {
      const id = newId()
      let bodies = 0
      const words = await Promise.all(
        Array.from({ length: 24 }, async (_, racer) => {
          const isolation = isolations[racer % 4] ?? 'default'
          const result = await place.store
            .transact<string>(request(id), { ...options, isolation }, async ({ tx }) => {
              bodies++
              await addEffect(tx, 'paid')
              return commit('paid')
            })
            .catch((error: { code: string }) => ({ word: error.code }))
          return 'answer' in result ? result.answer.word : result.word
        }),
      )
      expect(bodies).toBe(1)
      expect(await effects(place)).toEqual(['paid'])
      expect(words.filter((word) => word === 'committed')).toHaveLength(1)
      expect(await place.store.claim(request(id))).toMatchObject({ word: 'replay', outcome: outcomeOf('paid') })
    }),
  )
})
