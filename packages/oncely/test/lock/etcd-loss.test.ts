import { type EtcdClient, etcdClient, etcdLock } from 'oncely/lock/etcd'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Lock, LockProvider } from '../../src/core/index.ts'
import { nodeClock } from '../../src/platform/index.ts'
import { EtcdCluster } from '../support/etcd-cluster.ts'

let cluster: EtcdCluster

beforeAll(async () => {
  cluster = await EtcdCluster.start()
})

afterAll(() => cluster.remove())

let names = 0

function providers(clockOffMs = 0): { one: LockProvider; other: LockProvider; name: string } {
  const made = [cluster.endpoints, [...cluster.endpoints].reverse()].map((endpoints) => {
    const client = etcdClient({ endpoints, nodeMs: 500, answerMs: 12_000 })
    onTestFinished(() => client.close())
    return etcdLock(client, { clock: { ...nodeClock, nowMs: () => nodeClock.nowMs() + clockOffMs } })
  })
  return { one: made[0] as LockProvider, other: made[1] as LockProvider, name: `report ${++names}` }
}

async function take(locks: LockProvider, name: string, leaseMs = 20_000, waitMs = 0): Promise<Lock> {
  const lock = await locks.acquire(name, { waitMs, leaseMs })
  if (lock === 'busy') throw new TypeError('busy')
  return lock
}

/** A held lock through the loss: renewed, exclusive, released, and then somebody else's with a newer token. */
async function outlives({ one, other, name }: ReturnType<typeof providers>, lose: () => Promise<void>): Promise<void> {
  const lock = await take(one, name)
  const waiting = take(other, name, 20_000, 30_000)
  await lose()
  expect(await lock.renew()).toBe('renewed')
  expect(await other.acquire(name, { waitMs: 0, leaseMs: 20_000 })).toBe('busy')
  expect(lock.signal.aborted).toBe(false)
  expect(await lock.release()).toBe('released')
  const next = await waiting
  expect((next.token ?? 0n) > (lock.token ?? 0n)).toBe(true)
  expect(await next.release()).toBe('released')
}

describe('a held lock outlives', () => {
  test('the death of the leader', { timeout: 40_000 }, async () => {
    const leader = await cluster.leader()
    await outlives(providers(), () => cluster.kill(leader))
    cluster.restart(leader)
    await cluster.leader()
  })

  test('a leader that stands still, and comes back', { timeout: 40_000 }, async () => {
    const leader = await cluster.leader()
    await outlives(providers(), async () => cluster.signal(leader, 'SIGSTOP')).finally(() => cluster.signal(leader, 'SIGCONT'))
    await cluster.leader()
  })

  test('a clock that is an hour wrong, on either side', async () => {
    for (const offMs of [-3_600_000, 3_600_000]) await outlives(providers(offMs), async () => {})
  })
})

test('without a majority a lock is lost with its lease, and nobody gets it', { timeout: 40_000 }, async () => {
  const { one, other, name } = providers()
  const leader = await cluster.leader()
  const gone = [leader, (leader + 1) % 3]
  const lock = await take(one, name, 2_000)
  for (const index of gone) cluster.signal(index, 'SIGSTOP')
  const tried = take(other, name).catch((error: unknown) => error)
  expect(await lock.renew()).toBe('lost')
  expect(lock.signal.aborted).toBe(true)
  expect(await tried).toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
  for (const index of gone) cluster.signal(index, 'SIGCONT')
  await cluster.leader()
  expect(await (await take(other, name, 20_000, 20_000)).release()).toBe('released')
})

test('what etcd cannot promise: a holder that stood still takes an ended lock for held; the token is what tells', {
  timeout: 40_000,
}, async () => {
  const { other, name } = providers()
  const client = etcdClient({ endpoints: cluster.endpoints })
  onTestFinished(() => client.close())
  // As a stopped process sees it: no time passes, and nothing is renewed, asked or heard.
  const startedMs = nodeClock.monotonicMs()
  const still = { ...nodeClock, monotonicMs: () => startedMs, after: () => () => {} }
  const deaf: EtcdClient = {
    transact: (asked) => client.transact(asked),
    grantLease: (id, seconds) => client.grantLease(id, seconds),
    keepLease: (id) => client.keepLease(id),
    revokeLease: (id) => client.revokeLease(id),
    watch: () => () => {},
    voters: () => client.voters(),
    time: () => client.time(),
    close: () => client.close(),
  }
  const first = await take(etcdLock(deaf, { clock: still }), name, 1_000)
  const second = await take(other, name, 20_000, 20_000)
  expect([first.signal.aborted, second.signal.aborted]).toEqual([false, false])
  expect((second.token ?? 0n) > (first.token ?? 0n)).toBe(true)
  expect(await first.release()).toBe('lost')
  expect(await second.release()).toBe('released')
})
