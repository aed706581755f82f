import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import { afterEach, describe, expect, test } from 'vitest'
import { compareTokens, type Ownership, type Store } from '../../src/core/index.ts'
import { type RedisStoreOptions, redisStore } from '../../src/store/redis/index.ts'
import { RedisServer, until } from '../support/redis-server.ts'
import { claimRequest, newId, outcomeOf } from './redis-claim.ts'

const toClose: (() => unknown)[] = []
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
})

describe('what the running server survives', () => {
  test.each([
    ['power', 'appendfsync = always', {}],
    ['restart', 'appendfsync = everysec', { appendfsync: 'everysec' }],
    ['restart', 'no-appendfsync-on-rewrite = yes', { 'no-appendfsync-on-rewrite': 'yes' }],
    ['restart', 'CONFIG is forbidden', { 'rename-command': 'CONFIG ' }],
    ['nothing', 'appendonly = no', { appendonly: 'no' }],
    ['nothing', 'maxmemory-policy = allkeys-lru', { 'maxmemory-policy': 'allkeys-lru' }],
    ['power', 'maxmemory-policy = volatile-lru', { 'maxmemory-policy': 'volatile-lru' }],
  ] as const)('%s, for %s', async (survives, because, settings) => {
    const server = await startServer(settings)
    expect(await storeOn(server).open()).toMatchObject({ survives, survivesBecause: expect.stringContaining(because) })
  })

  test('with a replica no more than a restart, where writes do not wait for it', async () => {
    const { primary } = await startPair()
    expect(await storeOn(primary).open()).toMatchObject({
      survives: 'restart',
      survivesBecause: expect.stringContaining('waitReplicas = 0'),
    })
    expect(await storeOn(primary, { waitReplicas: 1 }).open()).toMatchObject({ survives: 'power' })
  })
})

describe('a write that waits for a replica', () => {
  test('fails when too few received it, and is the same claim when it is repeated', async () => {
    const { primary, replica } = await startPair()
    const store = storeOn(primary, { waitReplicas: 1, waitMs: 200 })
    await store.open()
    const request = claimRequest(newId())
    replica.signal('SIGSTOP')
    await expect(store.claim(request)).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'unknown' })
    // The retry writes nothing new, and must still not pass for received.
    await expect(store.claim(request)).rejects.toMatchObject({ applied: 'unknown' })
    replica.signal('SIGCONT')
    await until(async () => (await store.claim(request).catch(() => undefined)) !== undefined)
    expect(await store.claim(request)).toMatchObject({ word: 'acquired', attempt: 1, takeover: false })
    expect(Number(await replica.command('DBSIZE'))).toBeGreaterThan(0)
  })

  test('is refused on a client that may send WAIT on another connection', async () => {
    const server = await startServer()
    const client = connect(server, { autoResendUnfulfilledCommands: true })
    // On a cluster the write follows a slot that moved, and WAIT does not.
    const clusters = [createCluster({ rootNodes: [{ url: server.url }] }), new Cluster([server.url], { lazyConnect: true })]
    for (const each of [client, ...clusters])
      expect(() => redisStore(each, { waitReplicas: 1 })).toThrow(/autoResendUnfulfilledCommands: false/)
  })

  test('also through node-redis', async () => {
    const { primary, replica } = await startPair()
    const client = createClient({ url: primary.url })
    client.on('error', () => {})
    await client.connect()
    toClose.push(() => client.destroy())
    const store = redisStore(client, { waitReplicas: 1, waitMs: 200 })
    const request = claimRequest(newId())
    await until(async () => (await store.claim(request).catch(() => undefined))?.word === 'acquired')
    replica.signal('SIGSTOP')
    await expect(store.claim(claimRequest(newId()))).rejects.toMatchObject({ applied: 'unknown' })
    replica.signal('SIGCONT')
  })
})

describe('a server that was', () => {
  test('killed comes back with its records, and with newer tokens', async () => {
    const server = await startServer()
    const store = storeOn(server, { partitions: 1 })
    await store.open()
    const [finished, open] = [newId(), newId()]
    const first = await acquire(store, finished)
    await store.complete(first, outcomeOf('paid'))
    const second = await acquire(store, open)
    await server.kill()
    await server.start()
    expect(await store.claim(claimRequest(finished))).toMatchObject({ word: 'replay', outcome: outcomeOf('paid') })
    expect(await store.renew(second, { leaseMs: 1_000 })).toBe('done')
    const third = await acquire(store, newId())
    expect(third.token.epoch).toBeGreaterThan(second.token.epoch)
    expect((await acquire(store, newId())).token.epoch).toBe(third.token.epoch)
  })

  test('flushed gives out newer tokens than before, and lets no former owner write', async () => {
    const server = await startServer()
    const store = storeOn(server)
    await store.open()
    const id = newId()
    const before = await acquire(store, id)
    await server.command('FLUSHALL')
    expect(await store.complete(before, outcomeOf('lost'))).toBe('lost')
    const after = await acquire(store, id)
    expect(compareTokens(after.token, before.token)).toBeGreaterThan(0)
    expect(await store.complete(before, outcomeOf('lost'))).toBe('lost')
  })

  test('promoted gives out newer tokens than its primary did', async () => {
    const { primary, replica } = await startPair()
    const [old, promoted] = [storeOn(primary), storeOn(replica)]
    await old.open()
    const id = newId()
    const before = await acquire(old, id)
    await replica.command('REPLICAOF', 'NO', 'ONE')
    await promoted.forget(id, { reason: 'test' })
    const after = await acquire(promoted, id)
    expect(compareTokens(after.token, before.token)).toBeGreaterThan(0)
  })

  test('made to forget its scripts is told them again', async () => {
    const server = await startServer()
    const store = storeOn(server)
    await store.open()
    await server.command('SCRIPT', 'FLUSH')
    const owner = await acquire(store, newId())
    await server.command('SCRIPT', 'FLUSH')
    expect(await store.complete(owner, outcomeOf('paid'))).toBe('done')
  })

  test('stopped in the middle of a claim leaves no doubt: the retry is the same claim', async () => {
    const server = await startServer()
    const store = storeOn(server, {}, { commandTimeout: 200 })
    await store.open()
    await acquire(store, newId())
    server.signal('SIGSTOP')
    const request = claimRequest(newId())
    await expect(store.claim(request)).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'unknown' })
    server.signal('SIGCONT')
    expect(await store.claim(request)).toMatchObject({ word: 'acquired', attempt: 1, takeover: false })
  })

  test('filled up refuses a claim whole, and takes claims again after a sweep', async () => {
    const server = await startServer()
    const store = storeOn(server)
    await store.open()
    const policy = { ...claimRequest(newId()).policy, retentionMs: 1, tombstoneMs: 1 }
    for (let count = 0; count < 20; count++) await store.complete(await acquire(store, newId(), { policy }), outcomeOf('x'.repeat(200_000)))
    await server.command('CONFIG', 'SET', 'maxmemory', '3mb')
    const id = newId()
    await expect(store.claim(claimRequest(id))).rejects.toMatchObject({ message: expect.stringContaining('OOM') })
    expect(await store.read(id)).toBeUndefined()
    let removed = 0
    await until(async () => {
      removed += (await store.sweep({ batchMax: 100 })).removed
      return removed === 20
    })
    expect((await store.claim(claimRequest(id))).word).toBe('acquired')
  })

  test('left by its client refuses at once, with nothing applied', async () => {
    const server = await startServer()
    const client = createClient({ url: server.url })
    client.on('error', () => {})
    await client.connect()
    const store = redisStore(client)
    client.destroy()
    await expect(store.claim(claimRequest(newId()))).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
  })
})

describe('the keys', () => {
  test('of an aged outcome go with the claim that finds it', async () => {
    const server = await startServer()
    const store = storeOn(server)
    const policy = { ...claimRequest(newId()).policy, retentionMs: 1, tombstoneMs: 3_600_000 }
    const id = newId()
    await store.complete(await acquire(store, id, { policy }), outcomeOf('paid'))
    await until(async () => (await store.claim(claimRequest(id))).word === 'expired')
    expect(await server.command('KEYS', '*:outcome:*')).toEqual([])
    expect(await store.stats()).toMatchObject({ completed: 1, bytes: 0 })
  })

  test('lie in as many partitions as every process says', async () => {
    const server = await startServer()
    await storeOn(server, { partitions: 8 }).open()
    await expect(storeOn(server, { partitions: 16 }).open()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
    await storeOn(server, { partitions: 16, prefix: 'other' }).open()
  })

  test('of a later layout are refused', async () => {
    const server = await startServer()
    await server.command('HSET', '{oncely:instance}', 'layout', '2', 'partitions', '64', 'id', 'x')
    await expect(storeOn(server).open()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
  })

  test('take a prefix of the client into account', async () => {
    const server = await startServer()
    const store = storeOn(server, {}, { keyPrefix: 'app:' })
    await store.open()
    const policy = { ...claimRequest(newId()).policy, retentionMs: 1, tombstoneMs: 1 }
    await store.complete(await acquire(store, newId(), { policy }), outcomeOf('paid'))
    await until(async () => (await store.sweep({ batchMax: 10 })).removed === 1)
    expect(((await server.command('KEYS', '*')) as string[]).filter((key) => !key.startsWith('app:'))).toEqual([])
  })

  test.each(['', 'a{b}', 'a:b', 'x'.repeat(65)])('do not begin with %j', (prefix) => {
    expect(() => redisStore(new Redis({ lazyConnect: true }), { prefix })).toThrow(/prefix is/)
  })

  test('need a client that is known', () => {
    expect(() => redisStore({} as never)).toThrow(/no Redis client that is known/)
  })
})

async function startServer(settings: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
  const server = await RedisServer.start(settings)
  toClose.push(() => server.remove())
  return server
}

async function startPair(): Promise<{ readonly primary: RedisServer; readonly replica: RedisServer }> {
  const primary = await startServer({ 'repl-diskless-sync-delay': '0' })
  const replica = await startServer({ replicaof: `127.0.0.1 ${primary.port}` })
  await until(async () => String(await primary.command('INFO', 'replication')).includes('state=online'))
  await until(async () => String(await replica.command('INFO', 'replication')).includes('master_link_status:up'))
  return { primary, replica }
}

function connect(server: RedisServer, options: object = {}): Redis {
  const client = new Redis(server.url, { autoResendUnfulfilledCommands: false, retryStrategy: () => 20, ...options })
  client.on('error', () => {})
  toClose.push(() => client.disconnect())
  return client
}

function storeOn(server: RedisServer, options: RedisStoreOptions = {}, client: object = {}): Store {
  return redisStore(connect(server, client), options)
}

async function acquire(store: Store, id: Uint8Array, change: Partial<Parameters<Store['claim']>[0]> = {}): Promise<Ownership> {
  const answer = await store.claim({ ...claimRequest(id), ...change })
  if (answer.word !== 'acquired') throw new TypeError(answer.word)
  return answer.ownership
}
