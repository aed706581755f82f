import assert from 'node:assert/strict'
import type { Store } from '../../core/index.ts'
import type { StoreCases } from '../store-harness.ts'
import {
  acquire,
  answered,
  assertSame,
  claimRequest,
  completedRecord,
  leaseMs,
  newId,
  outcomeOf,
  payload,
  quarantinedRecord,
  sealedRecord,
  suitePolicy,
} from './claim-request.ts'

const { retentionMs, tombstoneMs } = suitePolicy

/** A person asks for it: the record goes, whatever its state, and its trail stays. */
export const forgetCases: StoreCases = {
  'forget: erases a record of any state and says whether there was one': async ({ store }) => {
    const running = (await acquire(store, claimRequest(newId()))).ownership.id
    const completed = (await completedRecord(store, claimRequest(newId()))).id
    const uncertain = (await sealedRecord(store, claimRequest(newId()))).id
    const quarantined = (await quarantinedRecord(store, newId())).id
    for (const id of [running, completed, uncertain, quarantined]) {
      assert.equal(await store.forget(id, { reason: 'asked for' }), true)
      assert.equal(await store.read(id), undefined)
      assert.equal(await store.forget(id, { reason: 'asked for' }), false)
    }
    assert.equal(await store.forget(newId(), { reason: 'asked for' }), false)
  },

  'forget: the key is free for any payload, and its former owner writes nothing': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await store.forget(id, { reason: 'asked for' })
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'lost')
    const { attempt, ownership: next } = await acquire(store, claimRequest(id, { fingerprint: payload('other') }))
    assert.equal(attempt, 1)
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'lost')
    assert.equal(await store.complete(next, outcomeOf('of the next life')), 'done')
    assertSame(
      answered(await store.claim(claimRequest(id, { fingerprint: payload('other') })), 'replay').outcome,
      outcomeOf('of the next life'),
    )
  },

  'forget: the trail stays and says who asked': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    await store.forget(id, { reason: 'erasure request 7' })
    const trail = await store.trail(id)
    assert.deepEqual(
      trail.map(({ event }) => event),
      ['claimed', 'completed', 'forgotten'],
    )
    assert.equal(trail.at(-1)?.reason, 'erasure request 7')
  },
}

/** Removes what has outlived its own policy, and nothing else. */
export const sweepCases: StoreCases = {
  'sweep: removes completed records at the end of their tombstone, not before': async ({ store, advance }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    await advance(retentionMs + 5_000)
    assert.equal(await sweepAll(store), 0)
    answered(await store.claim(claimRequest(id)), 'expired')
    await advance(tombstoneMs - retentionMs)
    assert.equal(await sweepAll(store), 1)
    assert.equal((await store.stats()).records, 0)
  },

  'sweep: leaves alone what has not ended': async ({ store, advance }) => {
    const running = (await acquire(store, claimRequest(newId()))).ownership.id
    const uncertain = (await sealedRecord(store, claimRequest(newId()))).id
    const quarantined = (await quarantinedRecord(store, newId())).id
    await advance(20 * tombstoneMs)
    assert.equal(await sweepAll(store), 0)
    for (const [id, state] of [
      [running, 'running'],
      [uncertain, 'uncertain'],
      [quarantined, 'quarantined'],
    ] as const) {
      assert.equal((await store.read(id))?.state, state)
    }
  },

  'sweep: removes released records in the end': async ({ store, advance }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    await store.release(ownership, { reason: 'failed' })
    await advance(tombstoneMs + leaseMs)
    assert.equal(await sweepAll(store), 1)
    assert.equal(await store.read(ownership.id), undefined)
  },

  'sweep: looks at each record by its own policy': async ({ store, advance }) => {
    const short = { ...suitePolicy, name: 'short', retentionMs: 60_000, tombstoneMs: 120_000 }
    await completedRecord(store, claimRequest(newId(), { policy: short }))
    const kept = (await completedRecord(store, claimRequest(newId()))).id
    await advance(125_000)
    assert.equal(await sweepAll(store), 1)
    assert.equal((await store.read(kept))?.state, 'completed')
  },

  'sweep: goes in batches, until less than a batch is left': async ({ store, advance }) => {
    for (let count = 0; count < 5; count++) await completedRecord(store, claimRequest(newId()))
    await advance(tombstoneMs + 5_000)
    const fresh = (await completedRecord(store, claimRequest(newId()))).id
    const removed: number[] = []
    do removed.push((await store.sweep({ batchMax: 2 })).removed)
    while (removed.at(-1) === 2)
    assert.deepEqual(removed, [2, 2, 1])
    assert.equal((await store.read(fresh))?.state, 'completed')
  },

  'sweep: the trail outlives the record': async ({ store, advance }) => {
    const { id } = await completedRecord(store, claimRequest(newId()))
    await advance(tombstoneMs + 5_000)
    assert.equal(await sweepAll(store), 1)
    assert.deepEqual(
      (await store.trail(id)).map(({ event }) => event),
      ['claimed', 'completed'],
    )
  },
}

/** What an operator sees first. */
export const statsCases: StoreCases = {
  'stats: count the records of each state': async ({ store }) => {
    await acquire(store, claimRequest(newId()))
    await acquire(store, claimRequest(newId()))
    await completedRecord(store, claimRequest(newId()), outcomeOf('three'))
    await sealedRecord(store, claimRequest(newId()))
    await quarantinedRecord(store, newId())
    const { records, running, uncertain, quarantined, completed, bytes } = await store.stats()
    assert.deepEqual(
      { records, running, uncertain, quarantined, completed },
      { records: 5, running: 2, uncertain: 1, quarantined: 1, completed: 1 },
    )
    assert.ok(bytes >= 5, `${bytes} bytes for an outcome of 5`)
  },
}

async function sweepAll(store: Store): Promise<number> {
  let total = 0
  for (;;) {
    const { removed } = await store.sweep({ batchMax: 100 })
    total += removed
    if (removed < 100) return total
  }
}
