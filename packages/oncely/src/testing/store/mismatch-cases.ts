import assert from 'node:assert/strict'
import { FINGERPRINT_VERSION } from '../../core/index.ts'
import type { StoreCases } from '../store-harness.ts'
import {
  acquire,
  answered,
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

const other = { fingerprint: payload('other') }

/** One key stands for one payload, and only the record's own rules may compare it. */
export const mismatchCases: StoreCases = {
  'mismatch: another payload while the first runs': async ({ store }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    answered(await store.claim(claimRequest(id, other)), 'mismatch')
  },

  'mismatch: another payload after completion': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    answered(await store.claim(claimRequest(id, other)), 'mismatch')
  },

  'mismatch: another payload while only the key is remembered': async ({ store, advance }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    await advance(suitePolicy.retentionMs + 5_000)
    answered(await store.claim(claimRequest(id, other)), 'mismatch')
  },

  'mismatch: another payload while the outcome is uncertain': async ({ store }) => {
    const id = newId()
    await sealedRecord(store, claimRequest(id))
    answered(await store.claim(claimRequest(id, { ...other, resolverMs: 1_000 })), 'mismatch')
  },

  'mismatch: another payload while the record is quarantined': async ({ store }) => {
    const id = newId()
    await quarantinedRecord(store, id)
    answered(await store.claim(claimRequest(id, other)), 'mismatch')
  },

  'mismatch: another payload never takes over, and the owner may still finish': async ({ store, advance }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id, { ...other, rerunnable: true })), 'mismatch')
    assert.equal(await store.complete(ownership, outcomeOf('late')), 'done')
  },

  'mismatch: another payload never seals a begun attempt': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { begun: true }))
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id, other)), 'mismatch')
    assert.equal((await store.read(id))?.state, 'running')
  },

  'mismatch: a released key is free for another payload, which it then stands for': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
    await acquire(store, claimRequest(id, other))
    answered(await store.claim(claimRequest(id)), 'mismatch')
    answered(await store.claim(claimRequest(id, other)), 'in-progress')
  },

  'mismatch: a rotated secret compares under the one that the record was written with': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id, { fingerprint: payload('same', 1) }))
    answered(await store.claim(claimRequest(id, { fingerprint: payload('same', 2, 1) })), 'replay')
    answered(await store.claim(claimRequest(id, { fingerprint: payload('other', 2, 1) })), 'mismatch')
  },

  'mismatch: a new record is written under the newest secret': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id, { fingerprint: payload('same', 2, 1) }))
    assert.equal((await store.read(id))?.fingerprint.keyId, 2)
    answered(await store.claim(claimRequest(id, { fingerprint: payload('same', 3, 2) })), 'replay')
  },

  'mismatch: a record under a lost secret is unreadable, and never run': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { fingerprint: payload('same', 1) }))
    const lost = { fingerprint: payload('same', 2), rerunnable: true }
    assert.equal(answered(await store.claim(claimRequest(id, lost)), 'unreadable').reason, 'fingerprint-secret')
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id, lost)), 'unreadable')
    assert.equal((await store.read(id))?.attempt, 1)
  },

  'mismatch: a record whose secret was taken away altogether is unreadable': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id, { fingerprint: payload('same', 1) }))
    answered(await store.claim(claimRequest(id)), 'unreadable')
  },

  'mismatch: a record of another fingerprint version is unreadable, and never run': async ({ store, advance }) => {
    const id = newId()
    const newer = { ...payload('same'), version: FINGERPRINT_VERSION + 1 }
    await acquire(store, claimRequest(id, { fingerprint: newer }))
    assert.equal(answered(await store.claim(claimRequest(id)), 'unreadable').reason, 'fingerprint-version')
    await advance(leaseMs + 5_000)
    answered(await store.claim(claimRequest(id, { rerunnable: true })), 'unreadable')
    assert.equal((await store.read(id))?.attempt, 1)
  },

  'mismatch: a released key is free whatever rules its record was written by': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id, { fingerprint: payload('same', 1) }))
    assert.equal(await store.release(ownership, { reason: 'failed' }), 'done')
    await acquire(store, claimRequest(id, { fingerprint: payload('same', 2) }))
  },
}
