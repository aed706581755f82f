import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { type RedlockOptions, redlock } from 'oncely/lock/redlock'
import { redisStore } from 'oncely/store/redis'
import { createClient } from 'redis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Lock, type LockProvider, requireTokens } from '../../src/core/index.ts'
import { nodeClock } from '../../src/platform/index.ts'
import { claimRequest } from '../support/claim-request.ts'
import { RedisServer, until } from '../support/redis-server.ts'

/** Three servers that know nothing of each other, and locks on clients of their own. */
async function threeServers(settings: Readonly<Record<string, string>> = {}) {
  const servers = await Promise.all([0, 1, 2].map(() => RedisServer.start(settings)))
  const clients: Redis[] = []
  onTestFinished(async () => {
    for (const client of clients) client.disconnect()
    await Promise.all(servers.map((server) => server.remove()))
  })
  const locks = (options: RedlockOptions = {}): LockProvider => {
    const mine = servers.map(({ url }) => {
      const client = new Redis(url, { retryStrategy: () => 25 })
      client.on('error', () => {})
      return client
    })
    clients.push(...mine)
    return redlock(mine, options)
  }
  return { servers: servers as [RedisServer, RedisServer, RedisServer], locks }
}

async function take(provider: LockProvider, leaseMs = 20_000, waitMs = 0): Promise<Lock> {
  const lock = await provider.acquire('report', { waitMs, leaseMs })
  if (lock === 'busy') throw new TypeError('busy')
  return lock
}

describe('of three servers', () => {
  test('one may fall: a held lock is renewed, excludes and is released, and new ones are taken', async () => {
    const { servers, locks } = await threeServers()
    const [one, other] = [locks(), locks()]
    const lock = await take(one)
    await servers[0].kill()
    expect(await lock.renew()).toBe('renewed')
    expect(await other.acquire('report', { waitMs: 0, leaseMs: 20_000 })).toBe('busy')
    expect(await lock.release()).toBe('released')
    expect(await (await take(other, 20_000, 5_000)).release()).toBe('released')
  })

  test('one may stand still: locks are taken without it, and what it is told late is taken back', async () => {
    const { servers, locks } = await threeServers()
    const [one, other] = [locks(), locks()]
    servers[2].signal('SIGSTOP')
    const lock = await take(one)
    expect(await lock.release()).toBe('released')
    servers[2].signal('SIGCONT')
    await until(async () => (await servers[2].command('DBSIZE')) === 0)
    expect(await (await take(other)).release()).toBe('released')
  })

  test('two must answer: else nothing is held, and a held lock is lost with its lease', async () => {
    const { servers, locks } = await threeServers()
    const [one, other] = [locks(), locks()]
    const lock = await take(one, 1_500)
    await Promise.all([servers[0].kill(), servers[1].kill()])
    await expect(take(other)).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
    expect(await lock.renew()).toBe('lost')
    expect(lock.signal.aborted).toBe(true)
  })
})

describe('what Redlock cannot promise', () => {
  test('servers that forget let a second holder in beside the first', async () => {
    const { servers, locks } = await threeServers({ appendonly: 'no' })
    const [one, other] = [locks(), locks()]
    const first = await take(one)
    await Promise.all([servers[1].kill(), servers[2].kill()])
    await Promise.all([servers[1].start(), servers[2].start()])
    const second = await take(other, 20_000, 5_000)
    expect([first.signal.aborted, second.signal.aborted]).toEqual([false, false])
    await second.release()
  })

  test('a holder that stood still past its lease and the next one both take it for theirs; the token of the record lets one write', async () => {
    const { servers, locks } = await threeServers()
    const records = new Redis(servers[0].url)
    onTestFinished(() => records.disconnect())
    const store = redisStore(records, { prefix: `t-${randomBytes(6).toString('hex')}` })
    // As a stopped process sees it: no time passes and no timer fires.
    const startedMs = nodeClock.monotonicMs()
    const still = { ...nodeClock, monotonicMs: () => startedMs, after: stoppedTimer }
    const claim = async () => {
      const answer = await store.claim(claimRequest({ leaseMs: 400, policy: { ...claimRequest().policy, onLostLease: 'takeover' } }))
      if (answer.word !== 'acquired') throw new TypeError(answer.word)
      return answer.ownership
    }
    const first = await take(locks({ clock: still }), 400)
    const firstClaim = await claim()
    const second = await take(locks(), 20_000, 10_000)
    await until(async () => {
      const record = await store.read(firstClaim.id)
      const [seconds] = await records.time()
      return record?.state === 'running' && Number(seconds) * 1_000 > record.leaseEndMs
    })
    const secondClaim = await claim()
    expect([first.signal.aborted, second.signal.aborted]).toEqual([false, false])
    const outcome = (byte: number) => ({ codec: 1, bytes: Uint8Array.of(byte), checksum: new Uint8Array(16) })
    expect(await store.complete(firstClaim, outcome(1))).toBe('lost')
    expect(await store.complete(secondClaim, outcome(2))).toBe('done')
    await second.release()
  })

  test('there is no token, and who needs one is told', async () => {
    const { locks } = await threeServers()
    expect(locks().capabilities.token).toBe(false)
    expect(() => requireTokens(locks())).toThrow(/token/)
  })
})

test('an even number of servers, fewer than three or another client is refused', async () => {
  const client = new Redis({ lazyConnect: true })
  expect(() => redlock([client])).toThrow(/1 clients/)
  expect(() => redlock([client, client, client, client])).toThrow(/4 clients/)
  expect(() => redlock([client, client, {} as never])).toThrow(/ioredis/)
  expect(() => redlock([client, client, client], { driftShare: 0.9 })).toThrow(/driftShare/)
})

test('a client of redis holds the same locks as one of ioredis', async () => {
  const { servers, locks } = await threeServers()
  const others = await Promise.all(servers.map(({ url }) => createClient({ url }).connect()))
  const lock = await take(redlock(others))
  expect(await locks().acquire('report', { waitMs: 0, leaseMs: 20_000 })).toBe('busy')
  expect([await lock.renew(), await lock.release()]).toEqual(['renewed', 'released'])
  await Promise.all(others.map((client) => client.close()))
})

function stoppedTimer(delayMs: number, run: () => void): () => void {
  // Waits for servers are real; those of the lease are what stood still.
  return delayMs < 300 ? nodeClock.after(delayMs, run) : () => {}
}
