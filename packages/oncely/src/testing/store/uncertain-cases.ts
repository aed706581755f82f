import assert from 'node:assert/strict'
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
  resolverMs,
  sealedRecord,
  suitePolicy,
} from './claim-request.ts'

/** The effect may have been applied: nobody runs until somebody knows. */
export const sealCases: StoreCases = {
  'seal: a duplicate learns that the outcome is uncertain, and why': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    assert.equal(await store.seal(ownership, { reason: 'the upstream hung up' }), 'done')
    const { record, resolve } = answered(await store.claim(claimRequest(id, { rerunnable: true })), 'uncertain')
    assertSame([record.state, record.reason, record.token, resolve], ['uncertain', 'the upstream hung up', ownership.token, false])
  },

  'seal: repeating it after a lost answer is done again': async ({ store }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    const before = await store.read(ownership.id)
    assert.equal(await store.seal(ownership, { reason: 'again' }), 'done')
    assertSame(await store.read(ownership.id), before)
  },

  'seal: of what has ended otherwise is lost': async ({ store }) => {
    const completed = await completedRecord(store, claimRequest(newId()))
    assert.equal(await store.seal(completed, { reason: 'late' }), 'lost')
    const { ownership: released } = await acquire(store, claimRequest(newId()))
    assert.equal(await store.release(released, { reason: 'failed' }), 'done')
    assert.equal(await store.seal(released, { reason: 'late' }), 'lost')
  },
}

export const uncertainCases: StoreCases = {
  'uncertain: its late owner completes it while its token is the newest': async ({ store }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    answered(await store.claim(claimRequest(ownership.id)), 'uncertain')
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
    assertSame(answered(await store.claim(claimRequest(ownership.id)), 'replay').outcome, outcomeOf('late'))
  },

  'uncertain: its late owner completes it, too, when a duplicate found the lease lost': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id)), 'uncertain')
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
    answered(await store.claim(claimRequest(id)), 'replay')
  },

  'uncertain: its owner neither renews nor frees it': async ({ store }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    assert.equal(await store.renew(ownership, { leaseMs }), 'lost')
    assert.equal(await store.release(ownership, { reason: 'late', declared: true }), 'lost')
    answered(await store.claim(claimRequest(ownership.id)), 'uncertain')
  },

  'uncertain: one caller may look the outcome up, and for a limited time': async ({ store, advance }) => {
    const { id } = await sealedRecord(store, claimRequest(newId()))
    assert.equal(answered(await store.claim(claimRequest(id)), 'uncertain').resolve, false)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, true)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, false)
    await advance(resolverMs - 10_000)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, false)
    await advance(15_000)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, true)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, false)
  },

  'uncertain: the claim that finds the lease lost may look the outcome up at once': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, true)
    assert.equal(answered(await store.claim(claimRequest(id, { resolverMs })), 'uncertain').resolve, false)
  },

  'uncertain: looking up takes no token away from the late owner': async ({ store }) => {
    const ownership = await sealedRecord(store, claimRequest(newId()))
    assert.equal(answered(await store.claim(claimRequest(ownership.id, { resolverMs })), 'uncertain').resolve, true)
    assertSame((await store.read(ownership.id))?.token, ownership.token)
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
  },

  'uncertain: older than its tombstone it answers expired, and never runs': async ({ store, advance }) => {
    const { id } = await sealedRecord(store, claimRequest(newId()))
    await advance(suitePolicy.tombstoneMs - 10_000)
    answered(await store.claim(claimRequest(id)), 'uncertain')
    await advance(15_000)
    const { record } = answered(await store.claim(claimRequest(id, { rerunnable: true, resolverMs })), 'expired')
    assert.equal(record.state, 'uncertain')
    await advance(10 * suitePolicy.tombstoneMs)
    await store.sweep({ batchMax: 100 })
    answered(await store.claim(claimRequest(id, { rerunnable: true })), 'expired')
  },

  'uncertain: older than its tombstone it can still be completed and resolved': async ({ store, advance }) => {
    const late = await sealedRecord(store, claimRequest(newId()))
    const looked = await sealedRecord(store, claimRequest(newId()))
    await advance(suitePolicy.tombstoneMs + 5_000)
    assert.equal(await store.complete(late, outcomeOf('late')), 'done')
    answered(await store.claim(claimRequest(late.id)), 'replay')
    const expected = { state: 'uncertain', token: looked.token } as const
    const verdict = { applied: true, outcome: outcomeOf('found') } as const
    assert.deepEqual(await store.resolve(looked.id, { expected, verdict, by: 'operator', reason: 'found' }), { word: 'resolved' })
    answered(await store.claim(claimRequest(looked.id)), 'replay')
  },

  'uncertain: a transaction that was committed without its outcome, whatever its lease': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id, { bind: 'transaction' }))
    const { record } = answered(await store.claim(claimRequest(id, { bind: 'transaction', rerunnable: true })), 'uncertain')
    assert.notEqual(record.reason, '')
    assert.equal((await store.read(id))?.state, 'uncertain')
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
  },
}
