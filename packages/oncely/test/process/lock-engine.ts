import { Redis } from 'ioredis'
import zookeeper from 'node-zookeeper-client'
import type { LockProvider } from '../../src/core/index.ts'
import { etcdClient, etcdLock } from '../../src/lock/etcd/index.ts'
import { redlock } from '../../src/lock/redlock/index.ts'
import { zookeeperLock } from '../../src/lock/zookeeper/index.ts'

/** Which engine a process locks on. */
export interface LockTask {
  readonly kind: 'etcd' | 'redlock' | 'zookeeper'
  readonly url: string
  readonly name: string
  readonly leaseMs: number
}

/** Locks on connections of their own, and how those are closed. */
export function openLocks({ kind, url }: Pick<LockTask, 'kind' | 'url'>): { readonly locks: LockProvider; close(): void } {
  switch (kind) {
    case 'etcd': {
      const client = etcdClient({ endpoints: url.split(',') })
      return { locks: etcdLock(client), close: () => client.close() }
    }
    case 'redlock': {
      const clients = url.split(',').map((each) => new Redis(each))
      return { locks: redlock(clients), close: () => void clients.map((client) => client.disconnect()) }
    }
    case 'zookeeper': {
      const client = zookeeper.createClient(url, { sessionTimeout: 3_000 })
      client.connect()
      return { locks: zookeeperLock(client), close: () => client.close() }
    }
    default:
      return kind satisfies never
  }
}
