import assert from 'node:assert/strict'
import type { StoreCases } from '../store-harness.ts'
import { acquire, answered, assertSame, claimRequest, completedRecord, newId, outcomeOf } from './claim-request.ts'

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte)

/** The same answer ever after. */
export const replayCases: StoreCases = {
  'replay: a duplicate gets the stored outcome and what the record knows': async ({ store }) => {
    const id = newId()
    const request = claimRequest(id)
    const { ownership, createdAtMs } = await acquire(store, request)
    const outcome = outcomeOf('paid')
    assert.equal(await store.complete(ownership, outcome), 'done')
    const replay = answered(await store.claim(claimRequest(id)), 'replay')
    assertSame(replay.outcome, outcome)
    const { completedAtMs, ...summary } = replay.record
    const { operation, actor, attemptId } = request
    assertSame(summary, {
      id,
      state: 'completed',
      operation,
      actor,
      token: ownership.token,
      attemptId,
      attempt: 1,
      createdAtMs,
      reason: '',
    })
    assert.ok(completedAtMs >= createdAtMs)
  },

  'replay: an empty outcome comes back empty': async (harness) => comesBack(harness, new Uint8Array(0)),
  'replay: all 256 byte values come back': async (harness) => comesBack(harness, everyByte),
  'replay: a megabyte comes back': async (harness) =>
    comesBack(
      harness,
      new Uint8Array(1_048_576).map((_, at) => (at * 31 + (at >> 8)) & 0xff),
    ),

  'replay: every codec number comes back': async ({ store }) => {
    for (const codec of [0, 1, 2, 3, 127]) {
      const id = newId()
      await completedRecord(store, claimRequest(id), outcomeOf('value', codec))
      assert.equal(answered(await store.claim(claimRequest(id)), 'replay').outcome?.codec, codec)
    }
  },

  'replay: a record reads back with its outcome': async ({ store }) => {
    const id = newId()
    const outcome = outcomeOf(everyByte)
    await completedRecord(store, claimRequest(id), outcome)
    const record = await store.read(id)
    assertSame(record?.state === 'completed' ? record.outcome : undefined, outcome)
  },

  'replay: completing twice with equal bytes is done both times': async ({ store }) => {
    const id = newId()
    const ownership = await completedRecord(store, claimRequest(id), outcomeOf('first'))
    const before = await store.read(id)
    assert.equal(await store.complete(ownership, outcomeOf('first')), 'done')
    assertSame(await store.read(id), before)
  },

  'replay: completing again with other bytes is a conflict, and the first stand': async ({ store }) => {
    const id = newId()
    const ownership = await completedRecord(store, claimRequest(id), outcomeOf('first'))
    assert.equal(await store.complete(ownership, outcomeOf('second')), 'conflict')
    assert.equal(await store.complete(ownership, outcomeOf('first with more')), 'conflict')
    assert.equal(await store.complete(ownership, outcomeOf('')), 'conflict')
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcomeOf('first'))
  },

  'replay: equal bytes of another codec are another outcome': async ({ store }) => {
    const id = newId()
    const ownership = await completedRecord(store, claimRequest(id), outcomeOf('{}', 1))
    assert.equal(await store.complete(ownership, outcomeOf('{}', 2)), 'conflict')
    assert.equal(answered(await store.claim(claimRequest(id)), 'replay').outcome?.codec, 1)
  },

  'replay: a claim whose own attempt has completed is a replay, never a second run': async ({ store }) => {
    const request = claimRequest(newId())
    await completedRecord(store, request)
    answered(await store.claim(request), 'replay')
  },

  'replay: replaying changes nothing': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id))
    const before = [await store.read(id), await store.trail(id)]
    for (let duplicate = 0; duplicate < 3; duplicate++)
      answered(await store.claim(claimRequest(id, { begun: true, rerunnable: true })), 'replay')
    assertSame([await store.read(id), await store.trail(id)], before)
  },
}

async function comesBack({ store }: { readonly store: Parameters<typeof acquire>[0] }, bytes: Uint8Array): Promise<void> {
  const id = newId()
  const outcome = outcomeOf(bytes)
  await completedRecord(store, claimRequest(id), outcome)
  assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcome)
}
