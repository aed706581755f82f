import { describe, expect, test } from 'vitest'
import { lockKeysOf } from '../../src/store/postgres/lock-key.ts'
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
import { addEffect, begin, effects, inPlace, type Place } from './postgres-fixture.ts'

/** The advisory locks of a claim, as another backend would hold them. */
function locksOf(place: Place, id: Uint8Array, payloadText = 'same'): { readonly id: string; readonly pair: string } {
  const keys = lockKeysOf({ schema: place.schema, prefix: 'oncely_' })(request(id, payloadText))
  return { id: String(keys.id), pair: String(keys.pair) }
}

/** A session that holds locks until the place is closed or it is told to let go. */
async function holding(place: Place, ...keys: readonly string[]): Promise<{ letGo(): Promise<void> }> {
  const { tx, rollback } = await begin(place.pool)
  for (const key of keys) await tx.query('SELECT pg_advisory_xact_lock($1)', [key])
  return { letGo: rollback }
}

async function pay(place: Place, id: Uint8Array, payloadText = 'same'): Promise<string> {
  const result = await place.store.transact<string>(request(id, payloadText), options, async ({ tx }) => {
    await addEffect(place, tx, payloadText)
    return commit(payloadText)
  })
  return result.word === 'refused' ? result.answer.word : result.word
}

describe('while another transaction runs under the key', () => {
  test(
    'another payload is a mismatch and the same one in progress, before the first has ended',
    inPlace(async (place) => {
      const id = newId()
      const order: string[] = []
      const first = await runningTransaction(place.store, request(id), async ({ tx }) => {
        await addEffect(place, tx, 'paid')
        return commit()
      })
      order.push(await refusal(place.store, request(id, 'other')), await refusal(place.store, request(id)))
      order.push((await first.end()).word)
      order.push(await refusal(place.store, request(id, 'other')), await refusal(place.store, request(id)))
      expect(order).toEqual(['mismatch', 'in-progress', 'committed', 'mismatch', 'replay'])
      expect(await effects(place)).toEqual(['paid'])
    }),
  )

  test(
    'a rotated secret changes nothing: the locks know the unkeyed payload only',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id))
      const { plain } = request(id).fingerprint
      const rotated = { version: 1, plain, keyed: [{ keyId: 2, digest: newId() }] }
      expect(await refusal(place.store, request(id, 'same', { fingerprint: rotated }))).toBe('in-progress')
      await first.end()
    }),
  )

  test(
    'a claim under a lease does not wait for it either',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id))
      expect((await place.store.claim(leaseRequest(id))).word).toBe('in-progress')
      expect((await first.end()).word).toBe('committed')
    }),
  )

  test(
    'a killed backend frees the key at once',
    inPlace(async (place) => {
      const id = newId()
      const first = await runningTransaction(place.store, request(id), async ({ tx }) => {
        await addEffect(place, tx, 'undone')
        return commit()
      })
      const [backend] = (await first.work.tx.query('SELECT pg_backend_pid() AS pid')).rows
      await place.sql('SELECT pg_terminate_backend($1, 5000)', [backend.pid])
      expect(await pay(place, id, 'other')).toBe('committed')
      await expect(first.end()).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
      expect(await effects(place)).toEqual(['other'])
    }),
  )

  test(
    'a silent handler loses its transaction after the idle time-out, and the key is free',
    inPlace(async (place) => {
      const id = newId()
      let lost: (error: Error) => void = () => {}
      const silence = new Promise<Error>((resolve) => {
        lost = resolve
      })
      const result = place.store.transact<string>(request(id), { ...options, idleTimeoutMs: 100 }, async ({ tx }) => {
        tx.on('error', lost)
        await silence
        return commit()
      })
      await expect(result).rejects.toMatchObject({ code: expect.stringMatching(/^ONCELY_(TRANSACTION_DEAD|STORE_UNAVAILABLE)$/) })
      expect(await pay(place, id, 'other')).toBe('committed')
    }),
  )
})

describe('the front door', () => {
  test(
    'takes no lock where the committed row decides',
    inPlace(async (place) => {
      const id = newId()
      await pay(place, id)
      const locks = locksOf(place, id)
      const holder = await holding(place, locks.id, locks.pair, locksOf(place, id, 'other').pair)
      expect([await refusal(place.store, request(id)), await refusal(place.store, request(id, 'other'))]).toEqual(['replay', 'mismatch'])
      await holder.letGo()
    }),
  )

  test(
    'pair taken: in progress, whoever holds the id',
    inPlace(async (place) => {
      const id = newId()
      const holder = await holding(place, locksOf(place, id).pair)
      expect(await refusal(place.store, request(id))).toBe('in-progress')
      await holder.letGo()
      expect(await pay(place, id)).toBe('committed')
    }),
  )

  test(
    'id taken by a holder without a pair: no proof, so in progress; it may carry this very payload and be rolling back',
    inPlace(async (place) => {
      const id = newId()
      const holder = await holding(place, locksOf(place, id).id)
      expect([await refusal(place.store, request(id)), await refusal(place.store, request(id, 'other'))]).toEqual([
        'in-progress',
        'in-progress',
      ])
      await holder.letGo()
      expect(await pay(place, id, 'other')).toBe('committed')
    }),
  )

  test(
    'id taken by a holder of another pair: mismatch',
    inPlace(async (place) => {
      const id = newId()
      const holder = await holding(place, locksOf(place, id, 'other').pair, locksOf(place, id).id)
      expect(await refusal(place.store, request(id))).toBe('mismatch')
      await holder.letGo()
      expect(await pay(place, id)).toBe('committed')
    }),
  )

  test(
    'id taken by one backend, another pair by a second: no proof, so in progress',
    inPlace(async (place) => {
      const id = newId()
      const holder = await holding(place, locksOf(place, id).id)
      const other = await holding(place, locksOf(place, id, 'other').pair)
      expect(await refusal(place.store, request(id))).toBe('in-progress')
      await holder.letGo()
      await other.letGo()
    }),
  )

  test(
    'id taken by a holder whose pair was made under another version of the fingerprint: no proof, so in progress',
    inPlace(async (place) => {
      const id = newId()
      const other = request(id, 'other')
      const elsewhere = lockKeysOf({ schema: place.schema, prefix: 'oncely_' })({
        ...other,
        fingerprint: { ...other.fingerprint, version: 1 + 256 * 77 },
      })
      const holder = await holding(place, String(elsewhere.pair), String(elsewhere.id))
      expect(await refusal(place.store, request(id))).toBe('in-progress')
      await holder.letGo()
    }),
  )

  test(
    "id taken by a holder of another record's pair: no proof, so in progress",
    inPlace(async (place) => {
      const id = newId()
      const holder = await holding(place, locksOf(place, id).id, locksOf(place, newId(), 'other').pair)
      expect(await refusal(place.store, request(id))).toBe('in-progress')
      await holder.letGo()
    }),
  )

  test.each(['repeatable-read', 'serializable'] as const)(
    '%s never concludes a mismatch from what its snapshot does not show',
    async (isolation) => {
      await inPlace(async (place) => {
        const id = newId()
        const holder = await holding(place, locksOf(place, id, 'other').pair, locksOf(place, id).id)
        expect(await refusal(place.store, request(id), { isolation })).toBe('in-progress')
        await holder.letGo()
      })()
    },
  )

  test(
    'a key that was freed is claimed through it as well: another payload in flight is a mismatch, no proof is in progress',
    inPlace(async (place) => {
      const id = newId()
      const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
      await place.store.release(ownership, { reason: 'failed' })
      const first = await runningTransaction(place.store, request(id, 'other'))
      expect([await refusal(place.store, request(id)), await refusal(place.store, request(id, 'other'))]).toEqual([
        'mismatch',
        'in-progress',
      ])
      await first.end({ end: 'roll-back', value: '' })
      const holder = await holding(place, locksOf(place, id).id)
      expect(await refusal(place.store, request(id))).toBe('in-progress')
      await holder.letGo()
      expect(await pay(place, id)).toBe('committed')
    }),
  )

  test(
    'an uncertain record is not sealed, lent or run again by whoever finds the door closed',
    inPlace(async (place) => {
      const id = newId()
      const { ownership } = acquired(await place.store.claim(leaseRequest(id, { begun: true })))
      await place.store.seal(ownership, { reason: 'in doubt' })
      const holder = await holding(place, locksOf(place, id).id)
      const result = await place.store.transact(request(id, 'same', { resolverMs: 10_000 }), options, async () => commit())
      expect(result).toMatchObject({ word: 'refused', answer: { word: 'uncertain', resolve: false } })
      await holder.letGo()
      const again = await place.store.transact(request(id, 'same', { resolverMs: 10_000 }), options, async () => commit())
      expect(again).toMatchObject({ word: 'refused', answer: { word: 'uncertain', resolve: true } })
    }),
  )
})

describe('races', () => {
  test(
    'of 25 racers for each of 20 keys one body runs, and no racer of the same payload hears mismatch, whoever rolls back',
    inPlace(async (place) => {
      const ids = Array.from({ length: 20 }, newId)
      const words = new Map<string, number>()
      const racers = ids.flatMap((id, key) =>
        Array.from({ length: 25 }, async (_, racer) => {
          const result = await place.store.transact<string>(request(id), options, async ({ tx }) => {
            await addEffect(place, tx, `key ${key}`)
            return racer % 3 === 0 ? { end: 'roll-back', value: '' } : commit()
          })
          const word = result.word === 'refused' ? result.answer.word : result.word
          words.set(word, (words.get(word) ?? 0) + 1)
        }),
      )
      await Promise.all(racers)
      expect([...words.keys()].filter((word) => !['committed', 'rolled-back', 'in-progress', 'replay'].includes(word))).toEqual([])
      // Every key that nobody has committed is free again.
      await Promise.all(ids.map((id) => pay(place, id)))
      const counted = await place.sql<{ records: string; effects: string }>(
        'SELECT (SELECT count(*) FROM {keys} WHERE state = 2) AS records, (SELECT count(*) FROM {effects}) AS effects',
      )
      expect(counted).toEqual([{ records: '20', effects: '20' }])
    }),
  )

  test(
    'without the advisory locks the primary key decides alone',
    inPlace(async (place) => {
      const [found] = await place.sql<{ source: string }>("SELECT pg_get_functiondef('{claim}'::regproc) AS source")
      const blind = (found?.source ?? '').replaceAll(/pg_try_advisory_xact_lock(_shared)?\(/g, 'coalesce(true, 0 = ')
      expect(blind).not.toBe(found?.source)
      await place.pool.query(blind)
      const id = newId()
      let bodies = 0
      const words = await Promise.all(
        Array.from({ length: 25 }, async (_, racer) => {
          const isolation = (['read-committed', 'repeatable-read', 'serializable'] as const)[racer % 3] ?? 'default'
          const result = await place.store
            .transact<string>(request(id), { ...options, isolation }, async ({ tx }) => {
              bodies++
              await addEffect(place, tx, 'paid')
              return commit('paid')
            })
            .catch((error: { code: string }) => ({ word: error.code }))
          return 'answer' in result ? result.answer.word : result.word
        }),
      )
      expect(bodies).toBe(1)
      expect(await effects(place)).toEqual(['paid'])
      expect(words.filter((word) => word === 'committed')).toHaveLength(1)
      expect(words.filter((word) => !['committed', 'replay', 'ONCELY_TRANSACTION_CONFLICT'].includes(word))).toEqual([])
      expect(await place.store.claim(request(id))).toMatchObject({ word: 'replay', outcome: outcomeOf('paid') })
    }),
  )
})
