import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Ownership, Store } from '../../core/index.ts'
import type { StoreCases } from '../store-harness.ts'
import { acquire, assertNewer, assertSame, claimRequest, completedRecord, leaseMs, newId, outcomeOf, suitePolicy } from './claim-request.ts'

/** Whoever finishes proves that its claim is the newest. */
export const fenceCases: StoreCases = {
  'fence: an owner that was overtaken writes nothing, also after its successor gave up': async ({ store, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const second = await acquire(store, claimRequest(id))
    await refusesEveryWrite(store, first.ownership)
    assert.equal(await store.release(second.ownership, { reason: 'failed' }), 'done')
    await refusesEveryWrite(store, first.ownership)
    await refusesEveryWrite(store, { ...second.ownership, token: first.ownership.token })
    const third = await acquire(store, claimRequest(id))
    await refusesEveryWrite(store, first.ownership)
    await refusesEveryWrite(store, second.ownership)
    assert.equal(await store.complete(third.ownership, outcomeOf('of the third')), 'done')
    await refusesEveryWrite(store, first.ownership)
    const record = await store.read(id)
    assertSame(record?.state === 'completed' ? record.outcome : undefined, outcomeOf('of the third'))
  },

  'fence: the newest token with another attempt id is refused': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    await refusesEveryWrite(store, { ...ownership, attemptId: randomUUID() })
  },

  'fence: the newest attempt id with an older or a newer token is refused': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    const { epoch, seq } = ownership.token
    await refusesEveryWrite(store, { ...ownership, token: { epoch, seq: seq - 1n } })
    await refusesEveryWrite(store, { ...ownership, token: { epoch, seq: seq + 1n } })
    await refusesEveryWrite(store, { ...ownership, token: { epoch: epoch + 1, seq } })
  },

  'fence: the owner of one record writes nothing to another': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    const other = newId()
    await acquire(store, claimRequest(other))
    await refusesEveryWrite(store, { ...ownership, id: other })
  },

  'fence: nothing is written to a record that does not exist': async ({ store }) => {
    const { ownership } = await acquire(store, claimRequest(newId()))
    await refusesEveryWrite(store, { ...ownership, id: newId() })
  },

  'fence: tokens grow over claim, takeover, release and claim': async ({ store, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const second = await acquire(store, claimRequest(id))
    await store.release(second.ownership, { reason: 'failed' })
    const third = await acquire(store, claimRequest(id))
    assertNewer(second.ownership.token, first.ownership.token)
    assertNewer(third.ownership.token, second.ownership.token)
  },

  'fence: tokens grow over a record that was erased': async ({ store }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    await store.forget(id, { reason: 'asked for' })
    const second = await acquire(store, claimRequest(id))
    assertNewer(second.ownership.token, first.ownership.token)
    await refusesEveryWrite(store, first.ownership)
  },

  'fence: tokens grow over a record that aged away and was swept': async ({ store, advance }) => {
    const id = newId()
    const first = await completedRecord(store, claimRequest(id))
    await advance(suitePolicy.tombstoneMs + 5_000)
    await store.sweep({ batchMax: 100 })
    const second = await acquire(store, claimRequest(id))
    assertNewer(second.ownership.token, first.token)
    await refusesEveryWrite(store, first)
  },

  'fence: a token keeps every digit': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    assert.equal(typeof ownership.token.seq, 'bigint')
    assertSame((await store.read(id))?.token, ownership.token)
    const [claimed] = await store.trail(id)
    assert.equal(claimed?.token, `${ownership.token.epoch}:${ownership.token.seq}`)
  },
}

/** Where several connections share the records. */
export const fenceSharedCases: StoreCases = {
  'fence: tokens grow over connections': async ({ store, reopen }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    assert.equal(await store.release(first.ownership, { reason: 'failed' }), 'done')
    const other = await reopen()
    const second = await acquire(other, claimRequest(id))
    assertNewer(second.ownership.token, first.ownership.token)
    assert.equal(await other.release(second.ownership, { reason: 'failed' }), 'done')
    const third = await acquire(store, claimRequest(id))
    assertNewer(third.ownership.token, second.ownership.token)
  },

  'fence: an owner that was overtaken on another connection writes nothing': async ({ store, reopen, advance }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id))
    const other = await reopen()
    await advance(leaseMs + 5_000)
    const second = await acquire(other, claimRequest(id))
    await refusesEveryWrite(store, first.ownership)
    assert.equal(await store.complete(second.ownership, outcomeOf('through the first connection')), 'done')
  },
}

/** Each write of this owner is refused and changes neither record nor trail. */
async function refusesEveryWrite(store: Store, ownership: Ownership): Promise<void> {
  const before = [await store.read(ownership.id), await store.trail(ownership.id)]
  assert.equal(await store.renew(ownership, { leaseMs }), 'lost', 'renew')
  assert.equal(await store.renew(ownership, { leaseMs, begun: true }), 'lost', 'begin')
  assert.equal(await store.complete(ownership, outcomeOf('of a stale owner')), 'lost', 'complete')
  assert.equal(await store.release(ownership, { reason: 'stale' }), 'lost', 'release')
  assert.equal(await store.release(ownership, { reason: 'stale', declared: true }), 'lost', 'declared release')
  assert.equal(await store.seal(ownership, { reason: 'stale' }), 'lost', 'seal')
  assertSame([await store.read(ownership.id), await store.trail(ownership.id)], before)
}
