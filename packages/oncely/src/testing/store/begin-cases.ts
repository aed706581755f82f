import assert from 'node:assert/strict'
import type { StoreCases } from '../store-harness.ts'
import {
  acquire,
  answered,
  assertNewer,
  claimRequest,
  completedRecord,
  leaseMs,
  newId,
  outcomeOf,
  payload,
  sealedRecord,
} from './claim-request.ts'

/** Effects may have started: a fact of the record that outlives its attempt. */
export const beginCases: StoreCases = {
  'begin: is written with a renewal and stays': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    assert.equal(await store.renew(ownership, { leaseMs, begun: true }), 'done')
    assert.equal((await store.read(id))?.begunAttempt, 1)
    assert.equal(await store.renew(ownership, { leaseMs, begun: false }), 'done')
    assert.equal(await store.renew(ownership, { leaseMs }), 'done')
    assert.equal((await store.read(id))?.begunAttempt, 1)
  },

  'begin: after it a lost lease is uncertain': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    assert.equal(await store.renew(ownership, { leaseMs, begun: true }), 'done')
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id)), 'uncertain')
  },

  'begin: the record keeps the first attempt that began': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const second = await acquire(store, claimRequest(id, { begun: true }))
    assert.equal(second.begunAttempt, 2)
    await advance(leaseMs + 5_000)
    const third = await acquire(store, claimRequest(id, { rerunnable: true }))
    assert.equal(third.begunAttempt, 2)
    assert.equal(await store.renew(third.ownership, { leaseMs, begun: true }), 'done')
    assert.equal((await store.read(id))?.begunAttempt, 2)
  },

  'begin: sticks to the record over attempts, so that a later one frees nothing': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    const { ownership } = await acquire(store, claimRequest(id, { rerunnable: true }))
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'begun')
    assert.equal(await store.release(ownership, { reason: 'the upstream says so', declared: true }), 'begun')
    assert.equal((await store.read(id))?.state, 'running')
    assert.equal(await store.seal(ownership, { reason: 'failed' }), 'done')
    answered(await store.claim(claimRequest(id, { rerunnable: true })), 'uncertain')
  },
}

/** Frees the key: proven not applied. */
export const releaseCases: StoreCases = {
  'release: the next claim runs at once, with a newer token': async ({ store }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    assert.equal(await store.release(first.ownership, { reason: 'failed' }), 'done')
    assert.equal((await store.read(id))?.state, 'released')
    const second = await acquire(store, claimRequest(id))
    assert.deepEqual([second.attempt, second.takeover, second.begunAttempt], [2, false, 0])
    assertNewer(second.ownership.token, first.ownership.token)
  },

  'release: repeating it after a lost answer is done again': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
    assert.equal((await store.trail(ownership.id)).length, 2)
  },

  'release: of a begun attempt is refused and changes nothing': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    assert.equal(await store.renew(ownership, { leaseMs, begun: true }), 'done')
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'begun')
    assert.equal(await store.release(ownership, { reason: 'failed', declared: false }), 'begun')
    answered(await store.claim(claimRequest(id)), 'in-progress')
    assert.equal(await store.complete(ownership, outcomeOf('done')), 'done')
  },

  'release: of an attempt that began with its claim is refused, too': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId(), { begun: true }))
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'begun')
  },

  'release: a declaration frees a begun attempt, when no earlier one began': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const second = await acquire(store, claimRequest(id, { begun: true }))
    assert.equal(await store.release(second.ownership, { reason: 'not applied', declared: true }), 'done')
    const third = await acquire(store, claimRequest(id))
    assert.deepEqual([third.attempt, third.begunAttempt], [3, 0])
    assert.equal(await store.release(third.ownership, { reason: 'failed' }), 'done')
  },

  'release: its owner has nothing left to write': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
    assert.equal(await store.renew(ownership, { leaseMs, begun: true }), 'lost')
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'lost')
    assert.equal(await store.seal(ownership, { reason: 'late' }), 'lost')
    assert.equal((await store.read(ownership.id))?.state, 'released')
  },

  'release: of what has ended otherwise is lost': async ({ store }) => {
    const completed = await completedRecord(store, claimRequest(newId()))
    assert.equal(await store.release(completed, { reason: 'late', declared: true }), 'lost')
    assert.equal((await store.read(completed.id))?.state, 'completed')
    const sealed = await sealedRecord(store, claimRequest(newId()))
    assert.equal(await store.release(sealed, { reason: 'late', declared: true }), 'lost')
    assert.equal((await store.read(sealed.id))?.state, 'uncertain')
  },

  'release: an attempt whose own claim was lost is freed by its retry': async ({ store }) => {
    const request = claimRequest(newId())
    await store.claim(request)
    const { ownership } = await acquire(store, request)
    assert.equal(await store.release(ownership, { reason: 'given up unanswered', declared: true }), 'done')
    await acquire(store, claimRequest(request.id, { fingerprint: payload('other') }))
  },
}
