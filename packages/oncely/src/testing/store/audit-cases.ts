import assert from 'node:assert/strict'
import type { TrailEntry } from '../../core/index.ts'
import type { StoreCases } from '../store-harness.ts'
import { acquire, answered, claimRequest, completedRecord, leaseMs, newId, outcomeOf, sealedRecord, suitePolicy } from './claim-request.ts'

/** The trail says which one execution committed, and why each other one did not. */
export const auditCases: StoreCases = {
  'audit: each state change is a line with its token and attempt, oldest first': async ({ store, advance }) => {
    const id = newId()
    const [one, two, three] = [claimRequest(id), claimRequest(id), claimRequest(id)]
    const first = await acquire(store, one)
    await advance(leaseMs + 5_000)
    const second = await acquire(store, two)
    await store.release(second.ownership, { reason: 'failed' })
    const third = await acquire(store, three)
    await store.renew(third.ownership, { leaseMs, begun: true })
    await store.seal(third.ownership, { reason: 'the answer was lost' })
    await store.complete(third.ownership, outcomeOf('late'))
    const expected = [
      ['claimed', first, one],
      ['taken-over', second, two],
      ['released', second, two],
      ['claimed', third, three],
      ['begun', third, three],
      ['uncertain', third, three],
      ['completed', third, three],
    ] as const
    const trail = await store.trail(id)
    assert.deepEqual(
      trail.map(({ event, token, attemptId, count }) => ({ event, token, attemptId, count })),
      expected.map(([event, { ownership }, { attemptId }]) => ({
        event,
        token: `${ownership.token.epoch}:${ownership.token.seq}`,
        attemptId,
        count: 0,
      })),
    )
  },

  'audit: a claim says who claimed and in which trace': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { owner: 'host-a:1', traceId: 'a'.repeat(32) }))
    await advance(leaseMs + 5_000)
    await acquire(store, claimRequest(id, { owner: 'host-b:2', traceId: 'b'.repeat(32) }))
    const told = (await store.trail(id)).map(({ event, owner, traceId }) => ({ event, owner, traceId }))
    assert.deepEqual(told, [
      { event: 'claimed', owner: 'host-a:1', traceId: 'a'.repeat(32) },
      { event: 'taken-over', owner: 'host-b:2', traceId: 'b'.repeat(32) },
    ])
  },

  'audit: a release, a seal and a verdict say why': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await store.release(ownership, { reason: 'status 503' })
    const sealed = await sealedRecord(store, claimRequest(id))
    const expected = { state: 'uncertain', token: sealed.token } as const
    await store.resolve(id, {
      expected,
      verdict: { applied: true, outcome: outcomeOf('found') },
      by: 'jo@example.com',
      reason: 'ticket 12',
    })
    const trail = await store.trail(id)
    assert.equal(only(trail, 'released').reason, 'status 503')
    assert.equal(only(trail, 'uncertain').reason, 'the answer was lost')
    assert.deepEqual([only(trail, 'completed').owner, only(trail, 'completed').reason], ['jo@example.com', 'ticket 12'])
  },

  'audit: what a claim found lost or used up says why': async ({ store, advance }) => {
    const [lost, used] = [newId(), newId()]
    const policy = { ...suitePolicy, attemptsMax: 1 }
    await acquire(store, claimRequest(lost, { begun: true }))
    await acquire(store, claimRequest(used, { policy }))
    await advance(leaseMs + 5_000)
    const uncertain = answered(await store.claim(claimRequest(lost)), 'uncertain')
    const quarantined = answered(await store.claim(claimRequest(used, { policy })), 'quarantined')
    assert.equal(only(await store.trail(lost), 'uncertain').reason, uncertain.record.reason)
    assert.equal(only(await store.trail(used), 'quarantined').reason, quarantined.record.reason)
  },

  "audit: lines carry the store's time": async ({ store, nowMs }) => {
    const id = newId()
    const beforeMs = await nowMs()
    await completedRecord(store, claimRequest(id))
    const afterMs = await nowMs()
    for (const { atMs } of await store.trail(id))
      assert.ok(atMs >= beforeMs - 2 && atMs <= afterMs + 2, `${atMs} is not from ${beforeMs} to ${afterMs}`)
  },

  'audit: a refused duplicate is no line of its own': async ({ store }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    for (let duplicate = 0; duplicate < 3; duplicate++) answered(await store.claim(claimRequest(id)), 'in-progress')
    assert.equal((await store.trail(id)).length, 1)
  },

  'audit: counts of one record, minute and reason add up': async ({ store, nowMs }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    const minuteMs = Math.floor((await nowMs()) / 60_000) * 60_000
    const counted = { id, operation: 'create-payment', minuteMs, reason: 'replayed', count: 2 }
    await store.audit([counted, { ...counted, reason: 'mismatch', count: 1 }])
    await store.audit([
      { ...counted, count: 3 },
      { ...counted, minuteMs: minuteMs + 60_000, count: 4 },
    ])
    await store.audit([])
    const counts = (await store.trail(id)).filter(({ count }) => count > 0)
    assert.deepEqual(counts.map(({ atMs, reason, count }) => [(atMs - minuteMs) / 60_000, reason, count]).sort(), [
      [0, 'mismatch', 1],
      [0, 'replayed', 5],
      [1, 'replayed', 4],
    ])
  },

  'audit: the counts of two records in one batch stay apart': async ({ store, nowMs }) => {
    const [one, two] = [newId(), newId()]
    const minuteMs = Math.floor((await nowMs()) / 60_000) * 60_000
    const counted = { operation: 'create-payment', minuteMs, reason: 'in-progress' }
    await store.audit([
      { ...counted, id: one, count: 1 },
      { ...counted, id: two, count: 20 },
      { ...counted, id: one, count: 300 },
    ])
    assert.deepEqual(
      (await store.trail(one)).map(({ count }) => count),
      [301],
    )
    assert.deepEqual(
      (await store.trail(two)).map(({ count }) => count),
      [20],
    )
  },

  'audit: a record that never was has no trail': async ({ store }) => {
    assert.deepEqual(await store.trail(newId()), [])
  },
}

function only(trail: readonly TrailEntry[], event: string): TrailEntry {
  const found = trail.filter((entry) => entry.event === event)
  assert.equal(found.length, 1, `${found.length} lines "${event}" among ${trail.map((entry) => entry.event).join(', ')}`)
  return found[0] as TrailEntry
}
