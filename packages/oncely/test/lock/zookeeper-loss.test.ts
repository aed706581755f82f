import { once } from 'node:events'
import zookeeper, { type Client } from 'node-zookeeper-client'
import { zookeeperLock } from 'oncely/lock/zookeeper'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isOncelyError, type Lock, type LockProvider, requireTokens } from '../../src/core/index.ts'
import { nodeClock } from '../../src/platform/index.ts'
import { until } from '../support/redis-server.ts'
import { ZookeeperServer } from '../support/zookeeper-server.ts'
import { address, connected, disconnect, endSession, newRoot } from './zookeeper-fixture.ts'

const sessionMs = 4_000

/** A server of this test, and locks over sessions of their own. */
async function ownServer() {
  const server = await ZookeeperServer.start()
  const clients: Client[] = []
  onTestFinished(async () => {
    server.signal('SIGCONT')
    await Promise.all(clients.map(disconnect))
    await server.remove()
  })
  const session = async (): Promise<{ client: Client; locks: LockProvider }> => {
    const client = connected(sessionMs, server.address)
    clients.push(client)
    await once(client, 'connected')
    return { client, locks: zookeeperLock(client, { answerMs: 1_000 }) }
  }
  return { server, session }
}

async function take(locks: LockProvider, waitMs = 0, name = 'report'): Promise<Lock> {
  const lock = await locks.acquire(name, { waitMs, leaseMs: 60_000 })
  if (lock === 'busy') throw new TypeError('busy')
  return lock
}

const lost = (lock: Lock): Promise<unknown> =>
  new Promise((resolve) => lock.signal.addEventListener('abort', () => resolve(lock.signal.reason), { once: true }))

describe('a server that stands still', () => {
  test('gives no sign of life: after two thirds of the session the lock is lost, before the session can be over', async () => {
    const { server, session } = await ownServer()
    const { client, locks } = await session()
    const lock = await take(locks)
    const startedMs = performance.now()
    server.signal('SIGSTOP')
    const reason = await lost(lock)
    const tookMs = performance.now() - startedMs
    expect(isOncelyError(reason) && reason.code).toBe('ONCELY_LEASE_LOST')
    // The last answer came up to a ninth of the session before; the client itself still takes itself for connected.
    expect(tookMs).toBeGreaterThan(sessionMs / 2)
    expect(tookMs).toBeLessThan(sessionMs)
    expect(client.getState()).toBe(zookeeper.State.SYNC_CONNECTED)
    expect([await lock.renew(), await lock.release()]).toEqual(['lost', 'lost'])
    server.signal('SIGCONT')
    const { locks: others } = await session()
    expect(await (await take(others, 15_000)).release()).toBe('released')
  })

  test('answers no try, and one that it hears late leaves no place behind', async () => {
    const { server, session } = await ownServer()
    const [one, other] = [await session(), await session()]
    server.signal('SIGSTOP')
    await expect(take(one.locks, 1_000)).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
    server.signal('SIGCONT')
    expect(await (await take(other.locks, 15_000)).release()).toBe('released')
  })
})

describe('what ZooKeeper cannot promise', () => {
  test("a lock says nothing about the holder's writes: one whose session is over still takes it for held until it is told", async () => {
    const client = connected(sessionMs)
    onTestFinished(() => disconnect(client))
    await once(client, 'connected')
    const root = newRoot()
    // As a stopped process sees it: no time passes, and nothing is heard.
    const startedMs = nodeClock.monotonicMs()
    const still = { ...nodeClock, monotonicMs: () => startedMs, after: () => () => {} }
    const first = await take(zookeeperLock(deafTo(client), { root, clock: still }))
    await endSession(client)
    const next = connected(sessionMs)
    onTestFinished(() => disconnect(next))
    const second = await take(zookeeperLock(next, { root }), 15_000)
    expect([first.signal.aborted, second.signal.aborted]).toEqual([false, false])
    // What tells them apart is the token, where the write compares it.
    expect((second.token ?? 0n) > (first.token ?? 0n)).toBe(true)
    await second.release()
  })

  test('locks of one client share one session: its end ends all of them, at once', async () => {
    const client = connected(sessionMs)
    onTestFinished(() => disconnect(client))
    const locks = zookeeperLock(client, { root: newRoot() })
    const held = [await take(locks, 0, 'a'), await take(locks, 0, 'b')]
    await endSession(client)
    await until(async () => held.every((lock) => lock.signal.aborted))
    await expect(take(locks, 0, 'c')).rejects.toThrow(/ended the session/)
  })
})

test('no node stays behind when locks are released and waits are over', async () => {
  const client = connected(sessionMs)
  onTestFinished(() => disconnect(client))
  const root = newRoot()
  const locks = zookeeperLock(client, { root })
  const lock = await take(locks)
  expect(await locks.acquire('report', { waitMs: 50, leaseMs: 60_000 })).toBe('busy')
  await lock.release()
  const children = (): Promise<string[]> =>
    new Promise((resolve, reject) => client.getChildren(root, (error, names) => (error ? reject(error) : resolve(names))))
  await until(async () => (await children()).length === 0)
  expect(await children()).toEqual([])
})

test('tokens are there, and options that cannot be are refused', () => {
  const client = zookeeper.createClient(address)
  expect(requireTokens(zookeeperLock(client)).capabilities.token).toBe(true)
  for (const root of ['oncely', '/', '/a/../b', '/ü']) expect(() => zookeeperLock(client, { root })).toThrow(/root/)
})

/** The client without its word that the session is over. */
function deafTo(client: Client): Parameters<typeof zookeeperLock>[0] {
  return {
    create: client.create.bind(client),
    getChildren: client.getChildren.bind(client),
    exists: client.exists.bind(client),
    remove: client.remove.bind(client),
    getSessionTimeout: client.getSessionTimeout.bind(client),
    once: () => {},
  }
}
