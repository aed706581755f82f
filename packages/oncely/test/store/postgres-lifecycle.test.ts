import { describe, expect, test } from 'vitest'
import { acquired, leaseRequest, newId, outcomeOf, policy } from '../support/transaction-claim.ts'
import { inPlace, type Place } from './postgres-fixture.ts'

const said = { by: 'counsel', reason: 'case 7' }

async function complete(place: Place, id: Uint8Array = newId()): Promise<Uint8Array> {
  const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
  await place.store.complete(ownership, outcomeOf('done'))
  return id
}

/** Sets outcome and trail of the records to a day that is due, in partitions of that day or in the default ones. */
async function longAgo(place: Place, partitioned: boolean): Promise<void> {
  if (partitioned)
    for (const table of ['outcomes', 'events']) await place.sql("SELECT {add_partition}($1, '2020-01-01')", [`oncely_${table}`])
  await place.sql(
    "UPDATE {outcomes} SET day = '2020-01-01'; UPDATE {events} SET day = '2020-01-01'; UPDATE {keys} SET outcome_day = '2020-01-01'",
  )
}

async function count(place: Place, table: string, id: Uint8Array): Promise<number> {
  return (await place.sql<{ count: number }>(`SELECT count(*)::int AS count FROM {${table}} WHERE id = $1`, [id]))[0]?.count ?? -1
}

describe('a legal hold', () => {
  test.each([true, false])('keeps outcome and trail when their day is dropped (in partitions of their own: %s)', (partitioned) =>
    inPlace(async (place) => {
      const [held, free] = [await complete(place), await complete(place)]
      await place.store.hold?.({ record: held }, { ...said, held: true })
      await longAgo(place, partitioned)
      await place.store.sweep({ batchMax: 10 })
      expect([await count(place, 'outcomes', free), await count(place, 'events', free)]).toEqual([0, 0])
      expect(await place.store.read(held)).toMatchObject({ state: 'completed', outcome: outcomeOf('done') })
      expect((await place.store.trail(held)).map(({ event }) => event)).toEqual(['claimed', 'completed'])

      await place.store.hold?.({ record: held }, { ...said, held: false })
      await place.advance(policy.tombstoneMs + 1_000)
      await place.store.sweep({ batchMax: 10 })
      expect(await place.store.read(held)).toBeUndefined()
      const left = ['held_keys', 'held_outcomes', 'held_events', 'outcomes', 'events', 'keys'].map((table) => count(place, table, held))
      expect(await Promise.all(left)).toEqual([0, 0, 0, 0, 0, 0])
    })(),
  )

  test(
    'gives a record back the policy that it had, and two holds are lifted one by one',
    inPlace(async (place) => {
      const id = await complete(place)
      const before = await place.store.read(id)
      if (before === undefined) throw new TypeError('no record')
      await place.store.hold?.({ record: id }, { ...said, held: true })
      await place.store.hold?.({ principal: before.principal }, { ...said, held: true })
      await place.store.hold?.({ record: id }, { ...said, held: false })
      expect((await place.store.read(id))?.policy.tombstoneMs).toBe(3_155_760_000_000)
      await place.store.hold?.({ principal: before.principal }, { ...said, held: false })
      expect(await place.store.read(id)).toEqual(before)
    }),
  )
})

test(
  'an erasure by principal reads the index, whatever the size of the table',
  inPlace(async (place) => {
    const id = await complete(place)
    await place.sql(`INSERT INTO {keys} SELECT (k).* FROM (SELECT jsonb_populate_record(NULL::{keys}, to_jsonb(k) || jsonb_build_object(
      'id', sha256(n::text::bytea), 'principal', sha256(n::text::bytea), 'principal_head', n)) AS k FROM {keys} k, generate_series(1, 20000) AS s (n)) r`)
    await place.sql('ANALYZE {keys}')
    const record = await place.store.read(id)
    const plan = await place.sql<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT k.* FROM {keys} k WHERE k.principal_head = {principal_head}($1) AND k.principal = $1 AND k.state IN (2, 3)`,
      [record?.principal],
    )
    expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toContain('oncely_keys_principal')
    const batch = await place.store.erasePrincipal?.(record?.principal ?? new Uint8Array(), { reason: 'asked for', batchMax: 10 })
    expect(batch).toEqual({ erased: [id], held: 0, kept: 0 })
  }),
)
