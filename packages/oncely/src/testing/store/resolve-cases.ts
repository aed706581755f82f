import assert from 'node:assert/strict'
import type { Ownership, Resolution } from '../../core/index.ts'
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

const { effectTimeoutMs } = suitePolicy

function resolution(of: Ownership, verdict: Resolution['verdict'], state: Resolution['expected']['state'] = 'uncertain'): Resolution {
  return { expected: { state, token: of.token }, verdict, by: 'operator', reason: 'looked up' }
}

const notApplied = { applied: false } as const
const applied = { applied: true, outcome: outcomeOf('found') } as const

/** A resolver's or an operator's verdict is compare-and-set on (state, token). */
export const resolveCases: StoreCases = {
  'resolve: applied completes the record with the outcome that was found': async ({ store }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    assert.deepEqual(await store.resolve(ownership.id, resolution(ownership, applied)), { word: 'resolved' })
    const replay = answered(await store.claim(claimRequest(ownership.id)), 'replay')
    assertSame([replay.outcome, replay.record.attemptId], [applied.outcome, ownership.attemptId])
  },

  'resolve: after it the late owner finds its equal outcome done and another in conflict': async ({ store }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    await store.resolve(ownership.id, resolution(ownership, applied))
    assert.equal(await store.complete(ownership, outcomeOf('found')), 'done')
    assert.equal(await store.complete(ownership, outcomeOf('of the owner')), 'conflict')
    assertSame(answered(await store.claim(claimRequest(ownership.id)), 'replay').outcome, outcomeOf('found'))
  },

  'resolve: not applied is too early while an effect may still arrive': async ({ store, advance }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    const early = await store.resolve(ownership.id, resolution(ownership, notApplied))
    assert.equal(early.word, 'early')
    const retryAfterMs = early.word === 'early' ? early.retryAfterMs : 0
    assert.ok(retryAfterMs > leaseMs && retryAfterMs <= leaseMs + effectTimeoutMs, `retry after ${retryAfterMs}`)
    await advance(leaseMs + effectTimeoutMs - 10_000)
    assert.equal((await store.resolve(ownership.id, resolution(ownership, notApplied))).word, 'early')
    answered(await store.claim(claimRequest(ownership.id)), 'uncertain')
  },

  'resolve: not applied frees the key once no effect can arrive': async ({ store, advance }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    await advance(leaseMs + effectTimeoutMs + 5_000)
    assert.deepEqual(await store.resolve(ownership.id, resolution(ownership, notApplied)), { word: 'resolved' })
    const {
      attempt,
      begunAttempt,
      takeover,
      ownership: next,
    } = await acquire(store, claimRequest(ownership.id, { fingerprint: payload('other') }))
    assert.deepEqual([attempt, begunAttempt, takeover], [2, 0, false])
    assertNewer(next.token, ownership.token)
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'lost')
  },

  'resolve: not applied waits for the lease that a renewal prolonged': async ({ store, advance }) => {
    const { ownership } = await acquire(store, claimRequest(newId(), { begun: true }))
    await store.renew(ownership, { leaseMs: 10 * leaseMs })
    await store.seal(ownership, { reason: 'the answer was lost' })
    await advance(leaseMs + effectTimeoutMs + 5_000)
    assert.equal((await store.resolve(ownership.id, resolution(ownership, notApplied))).word, 'early')
  },

  'resolve: applied needs no waiting': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id)), 'uncertain')
    assert.deepEqual(await store.resolve(id, resolution(ownership, applied)), { word: 'resolved' })
  },

  'resolve: changes nothing when the token or the state is another': async ({ store, advance }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    await advance(leaseMs + effectTimeoutMs + 5_000)
    const { epoch, seq } = ownership.token
    for (const token of [
      { epoch, seq: seq - 1n },
      { epoch, seq: seq + 1n },
      { epoch: epoch + 1, seq },
    ]) {
      assert.deepEqual(await store.resolve(ownership.id, resolution({ ...ownership, token }, notApplied)), { word: 'changed' })
    }
    assert.deepEqual(await store.resolve(ownership.id, resolution(ownership, notApplied, 'quarantined')), { word: 'changed' })
    assert.deepEqual(await store.resolve(newId(), resolution(ownership, notApplied)), { word: 'changed' })
    answered(await store.claim(claimRequest(ownership.id)), 'uncertain')
  },

  'resolve: changes nothing of a running, completed or released record': async ({ store }) => {
    const { ownership: running } = await acquire(store, claimRequest(newId()))
    assert.deepEqual(await store.resolve(running.id, resolution(running, applied)), { word: 'changed' })
    assert.equal((await store.read(running.id))?.state, 'running')
    const completed = await completedRecord(store, claimRequest(newId()))
    assert.deepEqual(await store.resolve(completed.id, resolution(completed, applied)), { word: 'changed' })
    assertSame(answered(await store.claim(claimRequest(completed.id)), 'replay').outcome, outcomeOf('first'))
    const { ownership: released } = await acquire(store, claimRequest(newId()))
    await store.release(released, { reason: 'failed' })
    assert.deepEqual(await store.resolve(released.id, resolution(released, applied)), { word: 'changed' })
  },

  'resolve: the second verdict finds the record changed': async ({ store, advance }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    await advance(leaseMs + effectTimeoutMs + 5_000)
    assert.deepEqual(await store.resolve(ownership.id, resolution(ownership, notApplied)), { word: 'resolved' })
    assert.deepEqual(await store.resolve(ownership.id, resolution(ownership, applied)), { word: 'changed' })
    await acquire(store, claimRequest(ownership.id))
  },

  'resolve: an operator completes a quarantined record': async ({ store }) => {
    const id = newId()
    const ownership = await quarantinedRecord(store, id)
    assert.deepEqual(await store.resolve(id, resolution(ownership, applied)), { word: 'changed' })
    assert.deepEqual(await store.resolve(id, resolution(ownership, applied, 'quarantined')), { word: 'resolved' })
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, applied.outcome)
  },

  'resolve: an operator who frees a quarantined record gives it its attempts back': async ({ store }) => {
    const id = newId()
    const ownership = await quarantinedRecord(store, id)
    assert.deepEqual(await store.resolve(id, resolution(ownership, notApplied, 'quarantined')), { word: 'resolved' })
    const { attempt, ownership: next } = await acquire(store, claimRequest(id))
    assert.equal(attempt, 1)
    assertNewer(next.token, ownership.token)
  },
}
