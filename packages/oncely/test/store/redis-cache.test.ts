import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createOncely, type Oncely } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { redisCache } from 'oncely/store/redis'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { RedisServer } from '../support/redis-server.ts'
import { newId } from './redis-claim.ts'
import { clients } from './redis-fixture.ts'

const toClose: (() => unknown)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const close of toClose.splice(0).reverse()) await close()
})

const secrets = [{ id: 1, key: new Uint8Array(32).fill(5) }]
const policy = ['standard', { survives: 'nothing' }] as const
const frame = new Uint8Array([0, 255, 10, 13, 0, 128])
const attempts = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'] as const

describe.each(Object.keys(clients) as (keyof typeof clients)[])('the cache on a client of %s', (kind) => {
  test('keeps frames byte for byte, and erases them', async () => {
    const connected = await clients[kind]()
    toClose.push(() => connected.close())
    const cache = redisCache(connected.client)
    const id = newId()
    expect(await cache.read(id)).toEqual({ outcome: undefined, hint: undefined })
    await cache.putOutcome(id, frame, 10_000)
    await cache.putHint(id, attempts[0], frame, 10_000)
    expect(await cache.read(id)).toEqual({ outcome: frame, hint: frame })
    await cache.removeHint(id, attempts[0])
    expect(await cache.read(id)).toEqual({ outcome: frame, hint: undefined })
    await cache.erase(id)
    expect(await cache.read(id)).toEqual({ outcome: undefined, hint: undefined })
  })
})

describe('the cache in Redis', () => {
  test('erases the hint with the outcome, and keeps out what was on its way then', async () => {
    const { cache } = await start()
    const id = newId()
    await cache.putOutcome(id, frame, 10_000)
    await cache.putHint(id, attempts[0], frame, 10_000)
    await cache.erase(id)
    expect(await cache.read(id)).toEqual({ outcome: undefined, hint: undefined })
    await cache.putOutcome(id, frame, 10_000)
    await cache.putHint(id, attempts[0], frame, 10_000)
    expect(await cache.read(id)).toEqual({ outcome: undefined, hint: undefined })
  })

  test('keeps the mark of an erasure for longer than anything can be on its way', async () => {
    const { cache, server } = await start()
    await cache.erase(newId())
    const [key] = (await server.command('KEYS', '*')) as [string]
    expect(Number(await server.command('PTTL', key))).toBeGreaterThan(170_000)
  })

  test('drops what lay in a queue for too long', async () => {
    const { cache } = await start()
    const id = newId()
    const nowMs = Date.now()
    vi.spyOn(Date, 'now').mockReturnValue(nowMs - 121_000)
    await cache.putOutcome(id, frame, 10_000)
    await cache.putHint(id, attempts[0], frame, 10_000)
    vi.restoreAllMocks()
    expect(await cache.read(id)).toEqual({ outcome: undefined, hint: undefined })
  })

  test('lets an attempt neither replace nor remove the hint of another', async () => {
    const { cache } = await start()
    const id = newId()
    await cache.putHint(id, attempts[0], frame, 10_000)
    await cache.putHint(id, attempts[1], new Uint8Array([1]), 10_000)
    await cache.removeHint(id, attempts[1])
    expect((await cache.read(id)).hint).toEqual(frame)
    await cache.putHint(id, attempts[0], new Uint8Array([2]), 10_000)
    expect((await cache.read(id)).hint).toEqual(new Uint8Array([2]))
  })

  test('keeps nothing for ever', async () => {
    const { cache, server } = await start()
    const id = newId()
    await cache.putOutcome(id, frame, 5_000)
    await cache.putHint(id, attempts[0], frame, 900)
    await cache.erase(newId())
    const keys = (await server.command('KEYS', '*')) as string[]
    expect(keys.length).toBe(3)
    for (const key of keys) expect(Number(await server.command('PTTL', key)), key).toBeGreaterThan(0)
  })

  test.each([
    [{ keep: '8d' }, /keep is/],
    [{ keep: 1 }, /keep is/],
    [{ frameBytesMax: 10 }, /frameBytesMax is/],
    [{ prefix: 'a{' }, /prefix is/],
  ] as const)('refuses %j', (options, message) => {
    expect(() => redisCache(new Redis({ lazyConnect: true }), options)).toThrow(message)
  })
})

/** What goes wrong with the server while calls come in, again and again until they are done. */
const faults: Readonly<Record<string, (server: RedisServer) => Promise<void>>> = {
  'nothing goes wrong': async () => {},
  'everything is flushed': async (server) => void (await server.command('FLUSHALL')),
  'every value is garbage': (server) => changeEach(server, () => randomBytes(300)),
  'every value is garbage behind a right beginning': (server) =>
    changeEach(server, (value) => Buffer.concat([value.subarray(0, 4), randomBytes(300)])),
  'every value is cut short': (server) => changeEach(server, (value) => value.subarray(0, Math.floor(Math.random() * value.length))),
  'one bit of every value flips': (server) =>
    changeEach(server, (value) => {
      const at = Math.floor(Math.random() * value.length)
      value[at] = (value[at] ?? 0) ^ 1
      return value
    }),
  'the values of two keys are exchanged': async (server) => {
    const values: Buffer[] = []
    await changeEach(server, (value) => {
      values.push(value)
      return values[Math.floor(Math.random() * values.length)] ?? value
    })
  },
  'the server stands still': async (server) => {
    server.signal('SIGSTOP')
    await delay(120)
    server.signal('SIGCONT')
  },
  'the server is killed and starts empty': async (server) => {
    await server.kill()
    await delay(50)
    await server.start()
  },
}

describe('an effect happens once, and its one answer is replayed, while', () => {
  test.each(Object.keys(faults))('%s', async (name) => {
    const { server, connect } = await start()
    const store = memoryStore()
    const events: string[] = []
    const processes = [0, 1].map(() => instance(store, connect(), events).operation('charge', { bind: 'lease', policy }))
    const effects = new Map<string, number>()
    let done = false
    const nemesis = (async () => {
      while (!done) {
        await faults[name]?.(server)
        await delay(10)
      }
    })()
    const once = async (key: string, nth: number): Promise<void> => {
      for (;;) {
        const charge = processes[nth % 2] as (typeof processes)[number]
        const result = await charge.run({ principal: 'acme', key, input: { key } }, async () => {
          effects.set(key, (effects.get(key) ?? 0) + 1)
          await delay(nth % 3)
          return { paid: key }
        })
        if (result.status === 'in-progress') {
          await delay(5)
          continue
        }
        expect(result).toMatchObject({ status: expect.stringMatching(/^(done|replayed)$/), value: { paid: key } })
        // Another payload under the key never hears the first one's answer.
        expect((await charge.run({ principal: 'acme', key, input: { key, other: true } }, () => ({ paid: 'wrong' }))).status).toBe(
          'mismatch',
        )
        return
      }
    }
    const crowd = (round: number) => Promise.all(Array.from({ length: 24 }, (_, nth) => once(`${round}-${nth % 6}`, nth)))
    for (let round = 0; round < 15; round++) await crowd(round)
    done = true
    await nemesis
    // Once more, one after the other: what lies there is what the fault left.
    for (let round = 0; round < 15; round++) {
      await faults[name]?.(server)
      await crowd(round)
    }
    expect(effects.size).toBe(90)
    expect([...effects.values()].every((count) => count === 1)).toBe(true)
    if (/right beginning|cut short|flips/.test(name)) expect(events).toContain('cache-refused')
    if (/stands still/.test(name)) expect(events).toContain('cache-down')
  })
})

describe('a completed answer', () => {
  test('comes from Redis in another process, and counts as a replay', async () => {
    const { connect } = await start()
    const store = memoryStore()
    const [a, b] = [instance(store, connect()), instance(store, connect())]
    await a.operation('charge', { bind: 'lease', policy }).run(call, () => 7)
    const claim = vi.spyOn(store, 'claim')
    const charge = b.operation('charge', { bind: 'lease', policy })
    await vi.waitFor(async () => expect(await charge.run(call, never)).toEqual({ status: 'replayed', value: 7 }))
    claim.mockClear()
    await charge.run(call, never)
    expect(claim).not.toHaveBeenCalled()
  })

  test('is no answer any more once the server was flushed and the record erased', async () => {
    const { server, connect } = await start()
    const store = memoryStore()
    const a = instance(store, connect())
    let record = ''
    const charge = a.operation('charge', { bind: 'lease', policy })
    await charge.run(call, (context) => {
      record = context.record
      return 7
    })
    await server.command('FLUSHALL')
    expect(await a.forget(Buffer.from(record, 'hex'), 'asked')).toBe(true)
    expect(await charge.run(call, () => 8)).toMatchObject({ status: 'done', value: 8 })
  })
})

describe('a Redis that does not answer', () => {
  test.each(['stands still', 'is gone'] as const)('and %s costs a call less than 5 ms once that is noticed', async (how) => {
    const { server, connect } = await start()
    const events: string[] = []
    const oncely = instance(memoryStore(), connect(), events)
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await charge.run({ ...call, key: 'warm' }, () => 1)
    if (how === 'is gone') await server.kill()
    else server.signal('SIGSTOP')
    for (let nth = 0; !events.includes('cache-down') && nth < 10; nth++) await charge.run({ ...call, key: `first-${nth}` }, () => 1)
    expect(events).toContain('cache-down')
    const tookMs: number[] = []
    for (let nth = 0; nth < 300; nth++) {
      const sentMs = performance.now()
      await charge.run({ ...call, key: `k${nth}` }, () => 1)
      tookMs.push(performance.now() - sentMs)
      await delay(5)
    }
    tookMs.sort((a, b) => a - b)
    expect(tookMs[Math.floor(tookMs.length * 0.95)]).toBeLessThan(5)
    if (how === 'stands still') server.signal('SIGCONT')
  })
})

const call = { principal: 'acme', key: 'k1', input: { amount: 5 } }
const never = (): never => {
  throw new Error('it ran')
}

async function start() {
  const server = await RedisServer.start({ appendonly: 'no' })
  toClose.push(() => server.remove())
  const connect = (): Redis => {
    const client = new Redis(server.url, { retryStrategy: () => 20 })
    client.on('error', () => {})
    toClose.push(() => client.disconnect())
    return client
  }
  return { server, connect, cache: redisCache(connect()) }
}

function instance(store: ReturnType<typeof memoryStore>, client: Redis, events: string[] = []): Oncely<never> {
  return createOncely({
    namespace: 'test',
    store,
    cache: redisCache(client),
    secrets,
    limits: { recentOutcomesMax: 0 },
    events: ({ type }) => void events.push(type),
  }) as Oncely<never>
}

async function changeEach(server: RedisServer, change: (value: Buffer) => Buffer): Promise<void> {
  const client = new Redis(server.url)
  client.on('error', () => {})
  try {
    for (const key of await client.keys('*')) {
      const value = await client.getBuffer(key)
      if (value !== null && value.length > 0) await client.set(key, change(value), 'KEEPTTL')
    }
  } finally {
    client.disconnect()
  }
}
