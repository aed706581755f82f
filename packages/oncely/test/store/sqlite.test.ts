import type { SqliteConnection } from 'oncely/store/sqlite'
import { ManualClock, storeSuite } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { encryptedLife } from '../support/encrypted-life.ts'
import { claimOf, newId, outcomeOf } from './sqlite-claim.ts'
import { connect, openStore, temporaryFile } from './sqlite-fixture.ts'
import { openHarness } from './sqlite-harness.ts'

await storeSuite<SqliteConnection>({ test, open: openHarness })

const hourMs = 3_600_000
const dayMs = 24 * hourMs

describe('the SQLite store', () => {
  test('keeps encrypted outcomes, which outlive a rotation and nothing else', async () => encryptedLife(await openHarness()))

  test('says what it can do', () => {
    const { name, capabilities } = openStore()
    expect([name, capabilities]).toEqual(['sqlite', { transactional: true, clock: 'process', shared: true, seesOpenTransactions: false }])
  })

  test('keeps everything of a record over a restart', async () => {
    const path = temporaryFile()
    const store = openStore({ path })
    const request = claimOf(newId(), { actor: new Uint8Array([1, 2, 3]) })
    const claimed = await acquire(store, request)
    await store.complete(claimed.ownership, outcomeOf('paid'))
    const before = await store.read(request.id)
    await store.close()
    const reopened = openStore({ path })
    expect(await reopened.read(request.id)).toEqual(before)
    expect(await reopened.claim(claimOf(request.id))).toMatchObject({
      word: 'replay',
      outcome: outcomeOf('paid'),
      record: { actor: new Uint8Array([1, 2, 3]) },
    })
  })

  test('keeps what is empty', async () => {
    const store = openStore()
    const request = claimOf(newId(), { actor: new Uint8Array(0), principal: new Uint8Array(0) })
    const { ownership } = await acquire(store, request)
    const empty = { codec: 0, bytes: new Uint8Array(0), checksum: new Uint8Array(0) }
    expect(await store.renew(ownership, { leaseMs: 60_000 })).toBe('done')
    expect(await store.complete(ownership, empty)).toBe('done')
    expect(await store.read(request.id)).toMatchObject({ actor: new Uint8Array(0), principal: new Uint8Array(0), outcome: empty })
  })

  test('hands out every token once, over two stores of one file', async () => {
    const path = temporaryFile()
    const stores = [openStore({ path }), openStore({ path })] as const
    const claims = await Promise.all(Array.from({ length: 60 }, (_, index) => acquire(stores[index % 2 === 0 ? 0 : 1], claimOf(newId()))))
    expect(new Set(claims.map(({ ownership }) => ownership.token.seq)).size).toBe(60)
  })

  test('uses no token up for a claim that is refused', async () => {
    const store = openStore()
    const [id, other] = [newId(), newId()]
    const first = await acquire(store, claimOf(id))
    for (let count = 0; count < 5; count++) expect((await store.claim(claimOf(id))).word).toBe('in-progress')
    const second = await acquire(store, claimOf(other))
    expect(second.ownership.token.seq).toBe(first.ownership.token.seq + 1n)
  })

  test('a claim that has to wait for the writer longer than busyTimeoutMs was not applied', async () => {
    const path = temporaryFile()
    const store = openStore({ path, busyTimeoutMs: 60 })
    await store.open()
    const holder = connect(path)
    holder.exec('BEGIN IMMEDIATE')
    const id = newId()
    const claims = await Promise.allSettled([store.claim(claimOf(id)), store.claim(claimOf(id)), store.audit([])])
    expect(claims.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
    holder.exec('COMMIT')
    expect(await store.read(id)).toBeUndefined()
    expect((await acquire(store, claimOf(id))).attempt).toBe(1)
  })

  test('counts duplicates once a minute and reason, and keeps the trail of a record that is forgotten', async () => {
    const store = openStore()
    const { id } = (await acquire(store, claimOf(newId(), { owner: 'host:1', traceId: 'trace' }))).ownership
    const minuteMs = Math.floor(Date.now() / 60_000) * 60_000 + 60_000
    const counted = { id, operation: 'create-payment', minuteMs, reason: 'replay' }
    await store.audit([
      { ...counted, count: 2 },
      { ...counted, reason: 'in-progress', count: 1 },
    ])
    await store.audit([{ ...counted, count: 3 }])
    expect(await store.forget(id, { reason: 'asked' })).toBe(true)
    expect(await store.forget(id, { reason: 'asked' })).toBe(false)
    const trail = await store.trail(id)
    expect(trail.filter(({ count }) => count > 0).map(({ event, reason, count }) => [event, reason, count])).toEqual([
      ['duplicates', 'replay', 5],
      ['duplicates', 'in-progress', 1],
    ])
    expect(trail.filter(({ count }) => count === 0).map(({ event, owner, traceId, reason }) => [event, owner, traceId, reason])).toEqual([
      ['claimed', 'host:1', 'trace', ''],
      ['forgotten', '', '', 'asked'],
    ])
  })

  test('sweeps what has aged, in batches, and nothing that waits for somebody', async () => {
    const clock = new ManualClock()
    const store = openStore({ clock, trailDays: 10 })
    const kept = await acquire(store, claimOf(newId()))
    await store.seal(kept.ownership, { reason: 'in doubt' })
    const completed = await Promise.all(
      Array.from({ length: 600 }, async () => {
        const { ownership } = await acquire(store, claimOf(newId()))
        await store.complete(ownership, outcomeOf('done'))
        return ownership.id
      }),
    )
    const { ownership: released } = await acquire(store, claimOf(newId(), { begun: false }))
    await store.release(released, { reason: 'failed' })
    expect(await store.stats()).toEqual({ records: 602, running: 0, uncertain: 1, quarantined: 0, completed: 600, bytes: 2_400 })

    await clock.advance(2 * dayMs)
    expect(await store.sweep({ batchMax: 1_000 })).toEqual({ removed: 0 })
    // The outcomes have aged, the use of the keys is still known.
    expect((await store.stats()).bytes).toBe(0)
    const [first = newId()] = completed
    expect((await store.claim(claimOf(first))).word).toBe('expired')

    await clock.advance(2 * dayMs)
    expect(await store.sweep({ batchMax: 400 })).toEqual({ removed: 400 })
    expect(await store.sweep({ batchMax: 400 })).toEqual({ removed: 201 })
    expect(await store.stats()).toMatchObject({ records: 1, uncertain: 1 })
    expect((await store.trail(first)).length).toBe(2)

    await clock.advance(20 * dayMs)
    await store.sweep({ batchMax: 10_000 })
    expect(await store.trail(first)).toEqual([])
    expect((await store.trail(kept.ownership.id)).length).toBe(2)
  })

  test('finds what the sweep removes without reading the rest', async () => {
    const path = temporaryFile()
    await openStore({ path }).open()
    const user = connect(path)
    const plan = (sql: string): string =>
      (user.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]).map(({ detail }) => detail).join('\n')
    expect(plan('SELECT id FROM oncely_keys WHERE removable_at_ms <= 1 ORDER BY removable_at_ms, id LIMIT 5')).toContain(
      'oncely_keys_removable',
    )
    expect(plan('SELECT id FROM oncely_keys WHERE removable_at_ms <= 1 ORDER BY removable_at_ms, id LIMIT 5')).not.toContain('TEMP B-TREE')
    expect(plan('SELECT rowid FROM oncely_outcomes WHERE expiry_day <= 1 LIMIT 5')).toContain('oncely_outcomes_expiry')
  })
})

async function acquire(store: ReturnType<typeof openStore>, request: ReturnType<typeof claimOf>) {
  const answer = await store.claim(request)
  if (answer.word !== 'acquired') throw new TypeError(answer.word)
  return answer
}
