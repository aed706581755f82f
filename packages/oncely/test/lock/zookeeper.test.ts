import type { Client } from 'node-zookeeper-client'
import { zookeeperLock } from 'oncely/lock/zookeeper'
import { type LockHarness, lockSuite } from 'oncely/testing'
import { test } from 'vitest'
import { connected, disconnect, endSession, newRoot } from './zookeeper-fixture.ts'

/** Locks whose names meet no other test's. */
function openLocks(): LockHarness {
  const root = newRoot()
  const clients: Client[] = []
  const another = () => {
    const client = connected(4_000)
    clients.push(client)
    return zookeeperLock(client, { root, probeMs: 200 })
  }
  return {
    provider: another(),
    another,
    loseSession: () => endSession(clients[0] as Client),
    close: async () => void (await Promise.all(clients.map(disconnect))),
  }
}

await lockSuite({ test, open: async () => openLocks() })
