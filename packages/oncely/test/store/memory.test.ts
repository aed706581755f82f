import { memoryStore } from 'oncely/store/memory'
import { ManualClock, storeSuite } from 'oncely/testing'
import { expect, test } from 'vitest'
import { claimRequest } from '../support/claim-request.ts'

await storeSuite({
  test,
  open: async () => {
    const clock = new ManualClock()
    const store = memoryStore({ clock })
    await store.open()
    return { store, reopen: async () => store, nowMs: () => clock.nowMs(), advance: (ms) => clock.advance(ms), close: () => store.close() }
  },
})

test('memory: a full store refuses new keys and keeps answering for the ones it holds', async () => {
  const store = memoryStore({ clock: new ManualClock(), recordsMax: 1 })
  const held = claimRequest()
  await store.claim(held)
  await expect(store.claim(claimRequest({ id: new Uint8Array(32).fill(9) }))).rejects.toMatchObject({
    code: 'ONCELY_STORE_UNAVAILABLE',
    applied: 'no',
  })
  expect(await store.claim(claimRequest())).toMatchObject({ word: 'in-progress' })
})
