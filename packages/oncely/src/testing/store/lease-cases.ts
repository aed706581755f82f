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
  sealedRecord,
  suitePolicy,
} from './claim-request.ts'

/** A lease keeps others out while it lasts; afterwards the next claim decides, and the owner is told. */
export const leaseCases: StoreCases = {
  'lease: a renewal counts from the moment it is written': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await advance(20_000)
    assert.equal(await store.renew(ownership, { leaseMs }), 'done')
    await advance(20_000)
    const { retryAfterMs } = answered(await store.claim(claimRequest(id)), 'in-progress')
    assert.ok(retryAfterMs > 0 && retryAfterMs <= 10_000, `retry after ${retryAfterMs}`)
    await advance(11_000)
    assert.equal((await acquire(store, claimRequest(id))).takeover, true)
  },

  'lease: an owner that nobody overtook renews and completes after its end': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    assert.equal(await store.renew(ownership, { leaseMs }), 'done')
    answered(await store.claim(claimRequest(id)), 'in-progress')
    await advance(leaseMs + 5_000)
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
  },

  'lease: nothing is renewed of a record that ended': async ({ store }) => {
    const completed = await completedRecord(store, claimRequest(newId()))
    assert.equal(await store.renew(completed, { leaseMs }), 'lost')
    const { ownership: released } = await acquire(store, claimRequest(newId()))
    await store.release(released, { reason: 'failed' })
    assert.equal(await store.renew(released, { leaseMs }), 'lost')
    assert.equal(await store.renew(await sealedRecord(store, claimRequest(newId())), { leaseMs }), 'lost')
  },

  'lease: a renewal is no line of the trail': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await store.renew(ownership, { leaseMs })
    assert.equal((await store.trail(id)).length, 1)
  },
}

/** What a claim may do with a record whose owner stopped renewing. */
export const takeoverCases: StoreCases = {
  'takeover: after the lease of an attempt that had not begun': async ({ store, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const second = await acquire(store, claimRequest(id))
    assert.deepEqual([second.takeover, second.attempt, second.begunAttempt], [true, 2, 0])
    assertNewer(second.ownership.token, first.ownership.token)
  },

  'takeover: never while the lease lasts, whatever the caller may do': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { policy: { ...suitePolicy, onLostLease: 'takeover' } }))
    await advance(leaseMs - 10_000)
    answered(await store.claim(claimRequest(id, { rerunnable: true })), 'in-progress')
  },

  'takeover: an attempt that had begun is never repeated; its record is uncertain': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    const { record, resolve } = answered(await store.claim(claimRequest(id)), 'uncertain')
    assertSame([record.state, record.token, record.attempt, resolve], ['uncertain', ownership.token, 1, false])
    assert.notEqual(record.reason, '')
    answered(await store.claim(claimRequest(id, { rerunnable: true })), 'uncertain')
  },

  'takeover: an attempt that had begun is repeated where the caller says that it may be': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    const { takeover, attempt, begunAttempt } = await acquire(store, claimRequest(id, { rerunnable: true }))
    assert.deepEqual([takeover, attempt, begunAttempt], [true, 2, 1])
  },

  'takeover: an attempt that had begun is repeated where its policy says so': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { begun: true, policy: { ...suitePolicy, onLostLease: 'takeover' } }))
    await advance(leaseMs + 5_000)
    const { takeover, begunAttempt } = await acquire(store, claimRequest(id))
    assert.deepEqual([takeover, begunAttempt], [true, 1])
  },

  'takeover: the policy stored with the record decides, not the one in force now': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id, { policy: { ...suitePolicy, onLostLease: 'takeover' } })), 'uncertain')
  },

  'takeover: the second owner finishes, and its outcome is the one that is replayed': async ({ store, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const second = await acquire(store, claimRequest(id))
    assert.equal(await store.complete(first.ownership, outcomeOf('of the first')), 'lost')
    assert.equal(await store.complete(second.ownership, outcomeOf('of the second')), 'done')
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcomeOf('of the second'))
  },
}

/** What nobody ends in good order ends in a person's hands. */
export const quarantineCases: StoreCases = {
  'quarantine: follows the last takeover that the policy allows': async ({ store, advance }) => {
    const id = newId()
    const policy = { ...suitePolicy, attemptsMax: 2 }
    await acquire(store, claimRequest(id, { policy }))
    await advance(leaseMs + 5_000)
    const { ownership } = await acquire(store, claimRequest(id, { policy }))
    await advance(leaseMs + 5_000)
    const { record } = answered(await store.claim(claimRequest(id, { policy })), 'quarantined')
    assertSame([record.state, record.attempt, record.token], ['quarantined', 2, ownership.token])
    assert.notEqual(record.reason, '')
    answered(await store.claim(claimRequest(id, { rerunnable: true })), 'quarantined')
  },

  'quarantine: released attempts count, too': async ({ store }) => {
    const id = newId()
    const policy = { ...suitePolicy, attemptsMax: 3 }
    for (let attempt = 1; attempt <= 3; attempt++) {
      const { ownership, attempt: counted } = await acquire(store, claimRequest(id, { policy }))
      assert.equal(counted, attempt)
      assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
    }
    answered(await store.claim(claimRequest(id, { policy })), 'quarantined')
  },

  'quarantine: its last owner is too late': async ({ store, advance }) => {
    const id = newId()
    const policy = { ...suitePolicy, attemptsMax: 1 }
    const { ownership } = await acquire(store, claimRequest(id, { policy }))
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id, { policy })), 'quarantined')
    assert.equal(await store.renew(ownership, { leaseMs }), 'lost')
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'lost')
    assert.equal(await store.release(ownership, { reason: 'late' }), 'lost')
    assert.equal(await store.seal(ownership, { reason: 'late' }), 'lost')
    assert.equal((await store.read(id))?.state, 'quarantined')
  },
}
