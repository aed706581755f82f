import assert from 'node:assert/strict'
import type { StoreCases } from '../store-harness.ts'
import {
  acquire,
  answered,
  assertNewer,
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

/** Only `completed` ages, counted from completion. */
export const ageingCases: StoreCases = {
  'ageing: replayed, then expired, then free for any payload': async ({ store, advance }) => {
    const id = newId()
    const first = await completedRecord(store, claimRequest(id))
    await advance(retentionMs - 10_000)
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcomeOf('first'))
    await advance(15_000)
    assert.equal(answered(await store.claim(claimRequest(id)), 'expired').record.state, 'completed')
    await advance(tombstoneMs - retentionMs - 10_000)
    answered(await store.claim(claimRequest(id)), 'expired')
    await advance(10_000)
    const { attempt, begunAttempt, takeover, ownership } = await acquire(store, claimRequest(id, { fingerprint: payload('other') }))
    assert.deepEqual([attempt, begunAttempt, takeover], [1, 0, false])
    assertNewer(ownership.token, first.token)
  },

  'ageing: counts from completion, not from the claim': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await advance(retentionMs + 5_000)
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
    await advance(retentionMs - 10_000)
    answered(await store.claim(claimRequest(id)), 'replay')
  },

  'ageing: a new life remembers nothing of the one before': async ({ store, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id, { begun: true }))
    assert.equal(await store.complete(first.ownership, outcomeOf('first')), 'done')
    await advance(tombstoneMs + 5_000)
    const second = await acquire(store, claimRequest(id))
    assert.equal(await store.complete(first.ownership, outcomeOf('late')), 'lost')
    assert.equal(await store.release(second.ownership, { reason: 'failed' }), 'done')
  },

  'ageing: a record that aged away reads as absent': async ({ store, advance }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    await advance(tombstoneMs - 10_000)
    assert.equal((await store.read(id))?.state, 'completed')
    await advance(15_000)
    assert.equal(await store.read(id), undefined)
  },

  'ageing: each record keeps the ages of its own policy': async ({ store, advance }) => {
    const [short, long] = [newId(), newId()]
    await completedRecord(
      store,
      claimRequest(short, { policy: { ...suitePolicy, name: 'short', retentionMs: 60_000, tombstoneMs: 60_000 } }),
    )
    await completedRecord(store, claimRequest(long))
    await advance(65_000)
    await acquire(store, claimRequest(short))
    answered(
      await store.claim(claimRequest(long, { policy: { ...suitePolicy, name: 'short', retentionMs: 60_000, tombstoneMs: 60_000 } })),
      'replay',
    )
  },

  'ageing: what runs, is uncertain or is quarantined is never free by age': async ({ store, advance }) => {
    const [running, uncertain, quarantined] = [newId(), newId(), newId()]
    await acquire(store, claimRequest(running, { begun: true }))
    await sealedRecord(store, claimRequest(uncertain))
    await quarantinedRecord(store, quarantined)
    await advance(20 * tombstoneMs)
    await store.sweep({ batchMax: 100 })
    answered(await store.claim(claimRequest(running)), 'uncertain')
    answered(await store.claim(claimRequest(uncertain)), 'expired')
    answered(await store.claim(claimRequest(quarantined)), 'quarantined')
  },

  'ageing: a released record stays free': async ({ store, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    await store.release(first.ownership, { reason: 'failed' })
    await advance(20 * tombstoneMs)
    const { ownership } = await acquire(store, claimRequest(id))
    assertNewer(ownership.token, first.ownership.token)
  },
}

/** On a clock that only the case moves, boundaries are exact to the millisecond. */
export const ageingClockCases: StoreCases = {
  'ageing: replay, expired and free follow each other at the exact millisecond': async ({ store, advance }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    await advance(retentionMs - 1)
    answered(await store.claim(claimRequest(id)), 'replay')
    await advance(1)
    answered(await store.claim(claimRequest(id)), 'expired')
    await advance(tombstoneMs - retentionMs - 1)
    answered(await store.claim(claimRequest(id)), 'expired')
    assert.equal((await store.read(id))?.state, 'completed')
    await advance(1)
    assert.equal(await store.read(id), undefined)
    await acquire(store, claimRequest(id))
  },

  'ageing: an uncertain record expires at the exact millisecond': async ({ store, advance }) => {
    const { id } = await sealedRecord(store, claimRequest(newId()))
    await advance(tombstoneMs - 1)
    answered(await store.claim(claimRequest(id)), 'uncertain')
    await advance(1)
    answered(await store.claim(claimRequest(id)), 'expired')
  },

  'ageing: not applied counts from the exact millisecond': async ({ store, advance }) => {
    const { id, token } = await sealedRecord(store, claimRequest(newId()))
    const verdict = { expected: { state: 'uncertain', token }, verdict: { applied: false }, by: 'operator', reason: 'looked up' } as const
    assert.deepEqual(await store.resolve(id, verdict), { word: 'early', retryAfterMs: leaseMs + suitePolicy.effectTimeoutMs })
    await advance(leaseMs + suitePolicy.effectTimeoutMs - 1)
    assert.deepEqual(await store.resolve(id, verdict), { word: 'early', retryAfterMs: 1 })
    await advance(1)
    assert.deepEqual(await store.resolve(id, verdict), { word: 'resolved' })
  },
}
