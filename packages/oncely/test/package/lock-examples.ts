import { Redis } from 'ioredis'
import zookeeper from 'node-zookeeper-client'
import type { LockProvider } from 'oncely'
import { etcdClient, etcdLock } from 'oncely/lock/etcd'
import { redlock } from 'oncely/lock/redlock'
import { zookeeperLock } from 'oncely/lock/zookeeper'

// The code of docs/locks.md, so that it compiles; its test compares the two.

export function onEtcd(): LockProvider {
  const etcd = etcdClient({ endpoints: ['http://10.0.0.1:2379', 'http://10.0.0.2:2379', 'http://10.0.0.3:2379'] })
  const locks = etcdLock(etcd)
  return locks
}

export function onZookeeper(): LockProvider {
  const client = zookeeper.createClient('10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181', { sessionTimeout: 10_000 })
  client.connect()
  const locks = zookeeperLock(client)
  return locks
}

export function onRedlock(): LockProvider {
  const urls = ['redis://10.0.0.1:6379', 'redis://10.0.0.2:6379', 'redis://10.0.0.3:6379']
  const locks = redlock(urls.map((url) => new Redis(url)))
  return locks
}
