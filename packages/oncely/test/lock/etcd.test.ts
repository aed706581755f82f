import { etcdClient, etcdLock } from 'oncely/lock/etcd'
import { type LockHarness, lockSuite } from 'oncely/testing'
import { test } from 'vitest'
import type { EtcdClient } from '../../src/etcd/index.ts'
import { removeAll } from '../../src/etcd/index.ts'
import { endpoints, newPrefix } from '../store/etcd-fixture.ts'

/** Locks whose names meet no other test's. */
function openLocks(): LockHarness {
  const prefix = newPrefix()
  const clients: EtcdClient[] = []
  const another = () => {
    const client = etcdClient({ endpoints })
    clients.push(client)
    return etcdLock(client, { prefix, probeMs: 200 })
  }
  return {
    provider: another(),
    another,
    loseSession: () => revokeAll(prefix),
    close: async () => {
      await clients[0]?.transact({ success: [removeAll(`${prefix}/`)] })
      for (const client of clients) client.close()
    },
  }
}

/** Ends the leases that locks are held under, as an operator or a leader would. */
async function revokeAll(prefix: string): Promise<void> {
  const post = async (path: string, body: unknown): Promise<Record<string, unknown>> =>
    (await fetch(`${endpoints[0]}${path}`, { method: 'POST', body: JSON.stringify(body) })).json() as Promise<Record<string, unknown>>
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const { kvs = [] } = await post('/v3/kv/range', { key: base64(`${prefix}/`), range_end: base64(`${prefix}0`) })
  for (const { lease } of kvs as { lease: string }[]) await post('/v3/lease/revoke', { ID: lease })
}

await lockSuite({ test, open: async () => openLocks() })
