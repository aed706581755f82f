import { setTimeout as delay } from 'node:timers/promises'
import { createOncely } from 'oncely'
import { etcdClient, etcdStore } from 'oncely/store/etcd'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { compareTokens, type FencingToken } from '../../src/core/index.ts'
import { EtcdCluster } from '../support/etcd-cluster.ts'
import { newPrefix } from './etcd-fixture.ts'

let cluster: EtcdCluster
let broken: number | undefined

beforeAll(async () => {
  cluster = await EtcdCluster.start()
})

afterEach(async () => {
  if (broken === undefined) return
  cluster.signal(broken, 'SIGCONT')
  await cluster.kill(broken)
  cluster.restart(broken)
  broken = undefined
  await cluster.leader()
})

afterAll(() => cluster.remove())

/** Two processes' worth of instances on clients of their own, which begin with other nodes. */
function instances() {
  const prefix = newPrefix()
  return [cluster.endpoints, [...cluster.endpoints].reverse()].map((endpoints) => {
    const client = etcdClient({ endpoints, nodeMs: 500, answerMs: 8_000 })
    const store = etcdStore(client, { prefix })
    return { store, client, oncely: createOncely({ namespace: 'payments', store, limits: { storeTimeoutMs: 10_000 } }) }
  })
}

/**
 * Keys one after the other from both sides at once, each until it is answered for good, while `harm` comes in the middle; then
 * every key again.
 */
async function underLoad(
  keys: number,
  harm: () => Promise<void>,
): Promise<{ effects: Map<string, number>; words: Record<string, number>; slowestMs: number }> {
  const sides = instances()
  const effects = new Map<string, number>()
  const words: Record<string, number> = {}
  let slowestMs = 0
  for (const { oncely } of sides) await oncely.open()
  const pays = sides.map(({ oncely }) => oncely.operation('pay', { bind: 'lease', policy: ['standard', { lease: '20s' }] }))
  const pay = async (side: number, key: string): Promise<void> => {
    const startedMs = performance.now()
    for (;;) {
      const result = await pays[side]?.run({ principal: 'acme', key, input: { key } }, async () => {
        effects.set(key, (effects.get(key) ?? 0) + 1)
        await delay(5)
        return key
      })
      const word = result?.status ?? 'none'
      if (word === 'in-progress' || word === 'unavailable') {
        await delay(50)
        continue
      }
      words[word] = (words[word] ?? 0) + 1
      if (result !== undefined && 'value' in result && result.value !== key) words['wrong'] = 1
      slowestMs = Math.max(slowestMs, performance.now() - startedMs)
      return
    }
  }
  const names = Array.from({ length: keys }, (_, index) => `key ${index}`)
  const worker = async (side: number, offset: number): Promise<void> => {
    for (let index = offset; index < names.length; index += 4) await pay(side, names[index] as string)
  }
  const harmed = (async () => {
    while ((words['done'] ?? 0) < keys / 4) await delay(5)
    await harm()
  })()
  await Promise.all([...[0, 1, 2, 3].flatMap((offset) => [worker(0, offset), worker(1, offset)]), harmed])
  for (const name of names) await pay(0, name)
  for (const { client } of sides) client.close()
  return { effects, words, slowestMs }
}

function expectOnceEach(keys: number, { effects, words, slowestMs }: Awaited<ReturnType<typeof underLoad>>): void {
  expect([...effects.values()].filter((count) => count !== 1)).toEqual([])
  expect(effects.size).toBe(keys)
  expect(words).toEqual({ done: keys, replayed: 2 * keys })
  expect(slowestMs).toBeLessThan(20_000)
}

describe('under load, each key takes effect once and is answered, while', () => {
  test('a follower is killed', { timeout: 60_000 }, async () => {
    const follower = ((await cluster.leader()) + 1) % 3
    expectOnceEach(
      120,
      await underLoad(120, async () => {
        broken = follower
        await cluster.kill(follower)
      }),
    )
  })

  test('the leader is killed', { timeout: 60_000 }, async () => {
    const leader = await cluster.leader()
    expectOnceEach(
      120,
      await underLoad(120, async () => {
        broken = leader
        await cluster.kill(leader)
      }),
    )
  })

  test('the leader stands still and comes back', { timeout: 60_000 }, async () => {
    const leader = await cluster.leader()
    expectOnceEach(
      120,
      await underLoad(120, async () => {
        broken = leader
        cluster.signal(leader, 'SIGSTOP')
        await delay(4_000)
        cluster.signal(leader, 'SIGCONT')
      }),
    )
  })
})

test('without a majority nothing runs, and the answer says so; with one again, the same key runs', { timeout: 60_000 }, async () => {
  const [one] = instances()
  if (one === undefined) throw new TypeError('no instance')
  const pay = one.oncely.operation('pay', { bind: 'lease', policy: 'standard' })
  await one.oncely.open()
  const others = [0, 1, 2].filter((index) => index !== 0)
  for (const index of others) cluster.signal(index, 'SIGSTOP')
  let runs = 0
  const call = () => pay.run({ principal: 'acme', key: 'k', input: {} }, () => ++runs)
  const denied = await call().finally(() => {
    for (const index of others) cluster.signal(index, 'SIGCONT')
  })
  expect([denied.status, runs]).toEqual(['unavailable', 0])
  await cluster.leader()
  let result = await call()
  while (result.status === 'in-progress' || result.status === 'unavailable') {
    await delay(100)
    result = await call()
  }
  expect([result, runs]).toEqual([{ status: 'done', value: 1, attempt: expect.any(Number) }, 1])
  one.client.close()
})

test('a snapshot restored as a cluster of its own begins a new epoch: no token repeats, although revisions do', {
  timeout: 60_000,
}, async () => {
  const prefix = newPrefix()
  const single = await EtcdCluster.start({ size: 1 })
  const tokenOf = async (endpoints: readonly string[], key: string): Promise<FencingToken> => {
    const client = etcdClient({ endpoints })
    const store = etcdStore(client, { prefix })
    const oncely = createOncely({ namespace: 'payments', store })
    const pay = oncely.operation('pay', { bind: 'lease', policy: 'standard' })
    await oncely.open()
    const call = { principal: 'acme', key, input: {} }
    await pay.run(call, () => 'paid')
    const record = await store.read(oncely.recordId({ principal: 'acme', key }))
    client.close()
    if (record === undefined) throw new TypeError('no record')
    return record.token
  }
  const before = await tokenOf(single.endpoints, 'k1')
  const restored = await single.restored()
  const after = await tokenOf(restored.endpoints, 'k2')
  expect(compareTokens(after, before)).toBeGreaterThan(0)
  expect(after.epoch).toBeGreaterThan(before.epoch)
  await single.remove()
  await restored.remove()
})
