import { etcdClient, etcdStore } from 'oncely/store/etcd'
import { expect, onTestFinished, test } from 'vitest'
import type { Clock, Store } from '../../src/core/index.ts'
import { removeAll } from '../../src/etcd/index.ts'
import { nodeClock } from '../../src/platform/index.ts'
import { claimRequest } from '../support/claim-request.ts'
import { endpoints, newPrefix } from './etcd-fixture.ts'

/** Stores of processes whose wall clocks are wrong by so much. */
function storesOff(...offsMs: readonly number[]): readonly Store[] {
  const prefix = newPrefix()
  return offsMs.map((offMs) => {
    const clock: Clock = { ...nodeClock, nowMs: () => nodeClock.nowMs() + offMs }
    const client = etcdClient({ endpoints, clock })
    onTestFinished(async () => {
      await client.transact({ success: [removeAll(`${prefix}/`)] })
      client.close()
    })
    return etcdStore(client, { prefix })
  })
}

async function held(store: Store, leaseMs: number) {
  const request = claimRequest({ leaseMs })
  const answer = await store.claim(request)
  if (answer.word !== 'acquired') throw new TypeError(answer.word)
  return answer
}

test.each([-60_000, 60_000])(
  "a process whose clock is %i ms wrong takes no lease that still runs, and dates records by the nodes' clocks",
  async (offMs) => {
    const [right, wrong] = storesOff(0, offMs)
    if (right === undefined || wrong === undefined) throw new TypeError('no stores')
    const { ownership } = await held(right, 30_000)
    expect(await wrong.claim(claimRequest({ leaseMs: 30_000 }))).toMatchObject({ word: 'in-progress' })
    expect(await right.release(ownership, { reason: 'done' })).toBe('done')
    const next = await held(wrong, 30_000)
    expect(await right.claim(claimRequest({ leaseMs: 30_000 }))).toMatchObject({ word: 'in-progress' })
    const record = await right.read(next.ownership.id)
    expect(record?.state === 'running' && Math.abs(record.leaseEndMs - 30_000 - Date.now())).toBeLessThan(2_000)
  },
)

test('a lease that has ended is taken over, also by a process whose clock is a minute behind', async () => {
  const [right, behind] = storesOff(0, -60_000)
  if (right === undefined || behind === undefined) throw new TypeError('no stores')
  await held(right, 500)
  let answer = await behind.claim(claimRequest({ leaseMs: 30_000 }))
  const startedMs = performance.now()
  while (answer.word === 'in-progress' && performance.now() - startedMs < 10_000)
    answer = await behind.claim(claimRequest({ leaseMs: 30_000 }))
  expect(answer).toMatchObject({ word: 'acquired', takeover: true })
  expect(performance.now() - startedMs).toBeLessThan(3_000)
})

test('where nothing answers, the first call says that nothing happened', async () => {
  const client = etcdClient({ endpoints: ['http://127.0.0.1:1'], answerMs: 200 })
  await expect(etcdStore(client).claim(claimRequest())).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
})

test('an outcome beyond what a request may hold is refused, and says what to change', async () => {
  const [store] = storesOff(0)
  if (store === undefined) throw new TypeError('no store')
  const { ownership } = await held(store, 30_000)
  const outcome = { codec: 1, bytes: new Uint8Array(2_000_000), checksum: new Uint8Array(16) }
  await expect(store.complete(ownership, outcome)).rejects.toThrow(/limits\.responseBytesMax/)
  expect(await store.complete(ownership, { ...outcome, bytes: new Uint8Array(1_000_000) })).toBe('done')
})

test('an option that cannot be is refused at once', () => {
  expect(() => etcdClient({ endpoints: [] })).toThrow(/endpoints is empty/)
  expect(() => etcdClient({ endpoints: ['127.0.0.1:2379'] })).toThrow(/no URL/)
  expect(() => etcdClient({ endpoints: ['http://root:secret@127.0.0.1:2379'] })).toThrow(/^(?!.*secret)/)
  expect(() => etcdStore(etcdClient({ endpoints: ['http://127.0.0.1:2379'] }), { prefix: 'ü' })).toThrow(/prefix/)
})
