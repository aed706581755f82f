import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { redisStore } from 'oncely/store/redis'
import { createSentinel } from 'redis'
import { afterEach, expect, test } from 'vitest'
import { compareTokens, type Store } from '../../src/core/index.ts'
import { freePort, RedisServer, until } from '../support/redis-server.ts'
import { claimRequest, newId, outcomeOf } from './redis-claim.ts'

const toClose: (() => unknown)[] = []
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
})

test.each(['ioredis', 'redis'] as const)('through %s, a store follows its Sentinel to the promoted replica', async (kind) => {
  const { primary, port } = await startWatchedPair()
  const store = await storeBehind(kind, port)
  const [finished, running] = [newId(), newId()]
  const first = await acquire(store, finished)
  await store.complete(first, outcomeOf('paid'))
  const second = await acquire(store, running)
  // Both writes have reached the replica, which is what Redis does not promise by itself.
  await until(async () => {
    const told = String(await primary.command('INFO', 'replication'))
    return /offset=(\d+)/.exec(told)?.[1] === /master_repl_offset:(\d+)/.exec(told)?.[1]
  })
  await primary.kill()
  await until(async () => (await store.read(finished).catch(() => undefined)) !== undefined, 20_000)
  await until(async () => (await store.renew(second, { leaseMs: 60_000 }).catch(() => 'unavailable')) === 'done', 20_000)
  expect(await store.claim(claimRequest(finished))).toMatchObject({ word: 'replay', outcome: outcomeOf('paid') })
  await store.forget(running, { reason: 'test' })
  const third = await acquire(store, running)
  expect(compareTokens(third.token, second.token)).toBeGreaterThan(0)
  expect(third.token.epoch).toBeGreaterThan(second.token.epoch)
  expect(await store.complete(second, outcomeOf('late'))).toBe('lost')
})

async function startWatchedPair(): Promise<{ readonly primary: RedisServer; readonly port: number }> {
  const primary = await RedisServer.start({ 'repl-diskless-sync-delay': '0' })
  toClose.push(() => primary.remove())
  const replica = await RedisServer.start({ replicaof: `127.0.0.1 ${primary.port}` })
  toClose.push(() => replica.remove())
  await until(async () => String(await primary.command('INFO', 'replication')).includes('state=online'))
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'oncely-sentinel-'))
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor records 127.0.0.1 ${primary.port} 1`,
    'sentinel down-after-milliseconds records 500',
    'sentinel failover-timeout records 2000',
  ]
  writeFileSync(join(folder, 'sentinel.conf'), `${settings.join('\n')}\n`)
  const sentinel: ChildProcess = spawn('redis-server', [join(folder, 'sentinel.conf'), '--sentinel'], { stdio: 'ignore' })
  toClose.push(async () => {
    sentinel.kill('SIGKILL')
    if (sentinel.exitCode === null && sentinel.signalCode === null) await once(sentinel, 'exit')
    rmSync(folder, { recursive: true, force: true })
  })
  const asked = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 25 })
  asked.on('error', () => {})
  toClose.push(() => asked.disconnect())
  await until(async () => String(await asked.call('SENTINEL', 'MASTER', 'records')).includes('num-slaves,1'))
  return { primary, port }
}

async function storeBehind(kind: 'ioredis' | 'redis', port: number): Promise<Store> {
  if (kind === 'ioredis') {
    const client = new Redis({ sentinels: [{ host: '127.0.0.1', port }], name: 'records', sentinelRetryStrategy: () => 50 })
    client.on('error', () => {})
    toClose.push(() => client.disconnect())
    return redisStore(client)
  }
  const client = createSentinel({ name: 'records', sentinelRootNodes: [{ host: '127.0.0.1', port }], scanInterval: 200 })
  client.on('error', () => {})
  await client.connect()
  toClose.push(() => client.destroy())
  return redisStore(client)
}

async function acquire(store: Store, id: Uint8Array) {
  const answer = await store.claim(claimRequest(id))
  if (answer.word !== 'acquired') throw new TypeError(answer.word)
  return answer.ownership
}
