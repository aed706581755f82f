import { randomBytes } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import type { Store } from '../../src/core/index.ts'
import { type RedisClient, redisStore } from '../../src/store/redis/index.ts'
import type { StoreHarness } from '../../src/testing/index.ts'

/** The servers under test; without them nothing here can pass. */
const serverUrl: string = process.env['ONCELY_TEST_REDIS_URL'] ?? missing('ONCELY_TEST_REDIS_URL', 'redis')
/** One of the servers of a cluster. */
const clusterUrl: string = process.env['ONCELY_TEST_REDIS_CLUSTER_URL'] ?? missing('ONCELY_TEST_REDIS_CLUSTER_URL', 'rediscluster')

function missing(variable: string, service: string): never {
  throw new Error(`${variable} is not set: run \`npm test -- redis\`, or \`npm run services start ${service}\` and use the URL it prints.`)
}

/** A client that the user would hand in, and how to close it. */
export interface Connected {
  readonly client: RedisClient
  close(): Promise<void>
}

export const clients: Readonly<Record<'ioredis' | 'redis' | 'ioredis cluster' | 'redis cluster', () => Promise<Connected>>> = {
  ioredis: async () => {
    const client = new Redis(serverUrl)
    client.on('error', () => {})
    return { client, close: async () => client.disconnect() }
  },
  redis: async () => {
    const client = createClient({ url: serverUrl })
    client.on('error', () => {})
    await client.connect()
    return { client, close: () => client.close() }
  },
  'ioredis cluster': async () => {
    const client = new Cluster([clusterUrl])
    client.on('error', () => {})
    return { client, close: async () => client.disconnect() }
  },
  'redis cluster': async () => {
    const client = createCluster({ rootNodes: [{ url: clusterUrl }] })
    client.on('error', () => {})
    await client.connect()
    return { client, close: () => client.close() }
  },
}

/** Keys of its own on a real server; removed after a pass and kept after a failure. */
interface Place {
  readonly prefix: string
  readonly store: Store
  another(): Promise<Store>
  /** Lets time pass for the records: their times are set back. */
  advance(ms: number): Promise<void>
  nowMs(): Promise<number>
  close(ended: 'passed' | 'failed'): Promise<void>
}

const timesBack = `
for _, field in ipairs({'cr', 'le', 'ch', 'ru'}) do
  local value = redis.call('HGET', KEYS[1], field)
  if value and value ~= '0' then redis.call('HSET', KEYS[1], field, string.format('%.0f', value - ARGV[1])) end
end`
const duesBack = `
local members = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, member in ipairs(members) do redis.call('ZINCRBY', KEYS[1], -ARGV[1], member) end`

async function openPlace(kind: keyof typeof clients): Promise<Place> {
  const prefix = `t-${randomBytes(6).toString('hex')}`
  const connected: Connected[] = []
  const another = async (): Promise<Store> => {
    const one = await clients[kind]()
    connected.push(one)
    const store = redisStore(one.client, { prefix, partitions: 4 })
    await store.open()
    return store
  }
  const store = await another()
  const inspector = kind.includes('cluster') ? new Cluster([clusterUrl]) : new Redis(serverUrl)
  const servers = (): Redis[] => (inspector instanceof Cluster ? inspector.nodes('master') : [inspector])
  const keys = async (): Promise<string[]> => {
    // A cluster's client knows its servers once it is connected.
    await inspector.get('{none}')
    return (await Promise.all(servers().map((server) => server.keys(`{${prefix}:*`)))).flat()
  }
  return {
    prefix,
    store,
    another,
    advance: async (ms) => {
      for (const key of await keys()) {
        if (key.includes('}:record:')) await inspector.eval(timesBack, 1, key, ms)
        if (key.endsWith('}:due')) await inspector.eval(duesBack, 1, key, ms)
      }
    },
    nowMs: async () => {
      const [seconds, micros] = await (servers()[0] as Redis).time()
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
    },
    close: async (ended) => {
      if (ended === 'passed') for (const key of await keys()) await inspector.del(key)
      inspector.disconnect()
      await Promise.all(connected.map((one) => one.close()))
    },
  }
}

/** What the store suite needs. */
export async function openHarness(kind: keyof typeof clients): Promise<StoreHarness> {
  const place = await openPlace(kind)
  return { store: place.store, reopen: place.another, nowMs: place.nowMs, advance: place.advance, close: place.close }
}
