import { createOncely } from 'oncely'
import { expect, test } from 'vitest'
import { acquired, leaseRequest, newId, outcomeOf } from '../support/transaction-claim.ts'
import { inPlace, type Place } from './postgres-fixture.ts'

const week = [1, 1.1, 1.2, 1.1, 1, 0.4, 0.3]
const [retentionDays, tombstoneDays, historyDays, monthDays] = [7, 14, 35, 30]
/** Calls of one day of the story, which rises and has a week. */
const callsOn = (day: number): number => Math.round((200 + 3 * day) * (week[day % 7] as number))

/**
 * Plays the days of the story from one to another so that it ends now: each day's records are written as a call would leave them,
 * and what has aged is removed at the end of each day, with the vacuum that a server does by itself.
 */
async function play(place: Place, days: number): Promise<void> {
  const { ownership } = acquired(
    await place.store.claim(
      leaseRequest(newId(), {
        policy: { ...leaseRequest(newId()).policy, retentionMs: retentionDays * 86_400_000, tombstoneMs: tombstoneDays * 86_400_000 },
      }),
    ),
  )
  await place.store.complete(ownership, outcomeOf('x'))
  await place.sql(`CREATE TABLE "${place.schema}".sample AS SELECT * FROM {keys}`)
  await place.sql('DELETE FROM {keys}; DELETE FROM {open}; DELETE FROM {outcomes}; DELETE FROM {events}')
  for (let day = 0; day < days; day++) {
    // In the middle of the day that ends with the next one, as calls over the whole of it are on average.
    const at = `({now_ms}() - ${days - day} * 86400000::bigint + 43200000)`
    await place.sql(
      `SELECT {add_partition}('oncely_events', {day_of}(${at})), {add_partition}('oncely_outcomes', {day_of}(${at} + ${retentionDays} * 86400000::bigint))`,
    )
    await place.sql(
      `INSERT INTO {keys} SELECT (jsonb_populate_record(NULL::{keys}, to_jsonb(s) || jsonb_build_object('id', sha256(('${day} ' || n)::bytea), 'seq', ${day * 100_000} + n,
        'created', ${at} + n, 'since', ${at} + n + 5, 'outcome_day', {day_of}(${at} + ${retentionDays} * 86400000::bigint)))).* FROM "${place.schema}".sample s, generate_series(1, ${callsOn(day)}) AS g (n)`,
    )
    await place.sql(`INSERT INTO {outcomes} (day, id, region, seq, codec, checksum, bytes)
      SELECT k.outcome_day, k.id, k.region, k.seq, 1, substring(k.id FROM 1 FOR 16), convert_to(repeat(md5(k.seq::text), 12), 'UTF8')
        FROM {keys} k WHERE k.seq / 100000 = ${day}`)
    await place.sql(`INSERT INTO {events} (day, at, id, region, event, epoch, seq, attempt_id, owner)
      SELECT {day_of}(k.created), to_timestamp(k.created / 1000.0), k.id, k.region, e, k.epoch, k.seq, k.attempt_id, 'host:1'
        FROM {keys} k, unnest(ARRAY['claimed', 'completed']) AS e WHERE k.seq / 100000 = ${day}`)
    await place.sql(`DELETE FROM {keys} WHERE created < ${at} + 43200000::bigint - ${tombstoneDays} * 86400000::bigint`)
    await place.sql('VACUUM {keys}')
  }
  await place.store.sweep({ batchMax: 5_000 })
}

test('a month is forecast within 10 %, with what ages away', { timeout: 60_000 }, async () => {
  let predicted = { records: 0, outcomes: 0, trailLines: 0, bytes: 0 }
  await inPlace(async (place) => {
    await play(place, historyDays)
    const forecast = await createOncely({ namespace: 'n', store: place.store }).forecast(monthDays)
    expect(forecast.historyDays).toBeGreaterThanOrEqual(28)
    predicted = forecast.days.at(-1) ?? predicted
  })()
  await inPlace(async (place) => {
    await play(place, historyDays + monthDays)
    const usage = await place.store.usage?.()
    if (usage === undefined) throw new TypeError('no usage')
    const came = {
      records: usage.records.rows,
      outcomes: usage.outcomes.rows,
      trailLines: usage.trail.rows,
      bytes: usage.records.bytes + usage.outcomes.bytes + usage.trail.bytes,
    }
    const off = Object.fromEntries(Object.entries(came).map(([name, value]) => [name, predicted[name as keyof typeof came] / value - 1]))
    for (const [name, share] of Object.entries(off)) expect(Math.abs(share), `${name}: ${JSON.stringify(off)}`).toBeLessThan(0.1)
    expect(came.records).toBeGreaterThan(2_000)
  })()
})
