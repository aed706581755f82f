import { describe, expect, test } from 'vitest'
import { type CacheFrame, openFrame, sealFrame } from '../../src/core/cache-frame.ts'
import { Rejection, type Store } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import { connect } from '../store/sqlite-fixture.ts'
import { cacheWorld, claims, never, other, policy, secret, secrets } from '../support/cache-world.ts'
import { engineWorld, oneCall } from '../support/engine-world.ts'
import { MemoryCache } from '../support/memory-cache.ts'
import { transactionWorld } from '../support/transaction-world.ts'

const hourMs = 3_600_000

/** Changes the only outcome in the cache, as one who has the secret. */
function rewrite(cache: MemoryCache, change: (frame: CacheFrame) => CacheFrame): void {
  const [entry] = cache.entries.values()
  const frame = openFrame(entry?.outcome ?? new Uint8Array(), secrets, nodeHasher)
  if (entry === undefined || typeof frame === 'string') throw new TypeError('no outcome')
  entry.outcome = sealFrame(change(frame), secret, nodeHasher)
}

describe('a completed outcome in the cache', () => {
  test('is answered by every process, without the store', async () => {
    const { a, b, cache } = cacheWorld()
    await a.charge.run(oneCall, () => ({ id: 7 }))
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7 } })
    expect([claims(b), b.told(), cache.outcomes.length]).toEqual([0, ['replayed 0'], 1])
  })

  test('of a rejection is answered as well', async () => {
    const { a, b } = cacheWorld()
    await a.charge.run(oneCall, () => {
      throw new Rejection({ code: 'declined' })
    })
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'rejected', value: { code: 'declined' } })
    expect(claims(b)).toBe(0)
  })

  test('is answered while the store is down, and nothing new runs', async () => {
    const { a, b } = cacheWorld()
    await b.oncely.open()
    await a.charge.run(oneCall, () => 7)
    b.faulty.plan('claim', 'refused', 'refused')
    b.faulty.plan('open', ...Array<'refused'>(10).fill('refused'))
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 7 })
    expect(await b.charge.run({ ...oneCall, key: 'k2' }, never)).toMatchObject({ status: 'unavailable' })
  })

  test('is answered while the store is down for longer than its epoch is good for', async () => {
    const { a, b, clock } = cacheWorld()
    await b.oncely.open()
    await a.charge.run(oneCall, () => 7)
    await clock.advance(120_000)
    b.faulty.plan('open', 'refused', 'refused', 'refused')
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    expect(claims(b)).toBe(0)
  })

  test('never answers another payload: the store says that it is one', async () => {
    const { a, b } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    expect(await b.charge.run(other, never)).toEqual({ status: 'mismatch' })
    expect(claims(b)).toBe(1)
  })

  test('goes to whoever may have it, asked again for each caller', async () => {
    const { a, b } = cacheWorld()
    await a.charge.run({ ...oneCall, actor: 'jo' }, () => 7)
    const strict = b.oncely.operation('strict', { bind: 'lease', policy: ['standard', { survives: 'nothing', replayTo: 'actor' }] })
    const first = a.oncely.operation('strict', { bind: 'lease', policy: ['standard', { survives: 'nothing', replayTo: 'actor' }] })
    await first.run({ ...oneCall, key: 'k2', actor: 'jo' }, () => 8)
    expect(await strict.run({ ...oneCall, key: 'k2', actor: 'jim' }, never)).toEqual({ status: 'forbidden' })
    expect(await strict.run({ ...oneCall, key: 'k2', actor: 'jo' }, never)).toMatchObject({ status: 'replayed', value: 8 })
    expect(await b.charge.run({ ...oneCall, authorizeReplay: () => false }, never)).toEqual({ status: 'forbidden' })
    expect(claims(b)).toBe(0)
  })

  test('that the store replayed is published, for a minute', async () => {
    const { a, b, cache, start } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    cache.entries.clear()
    await b.charge.run(oneCall, never)
    expect([claims(b), cache.outcomes.length, cache.keptMs]).toEqual([1, 1, 60_000])
    const c = start()
    expect(await c.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    expect(claims(c)).toBe(0)
  })

  test('is not answered beyond the time that its frame carries, however long the cache keeps it', async () => {
    const { a, b, clock } = cacheWorld({}, 10_000)
    await a.charge.run(oneCall, () => 7)
    await clock.advance(9_999)
    await b.charge.run(oneCall, never)
    expect(claims(b)).toBe(0)
    await clock.advance(1)
    await b.charge.run(oneCall, never)
    expect(claims(b)).toBe(1)
  })

  test('is kept no longer than its retention, and away from the end of its tombstone', async () => {
    const { a, cache } = cacheWorld({}, 100 * hourMs)
    const short = { survives: 'nothing', retention: '24h', tombstone: '72h' } as const
    await a.oncely.operation('short', { bind: 'lease', policy: ['standard', short] }).run(oneCall, () => 7)
    expect(cache.keptMs).toBe(24 * hourMs)
    const even = { survives: 'nothing', retention: '24h', tombstone: '24h' } as const
    await a.oncely.operation('even', { bind: 'lease', policy: ['standard', even] }).run({ ...oneCall, key: 'k2' }, () => 7)
    expect(cache.keptMs).toBe(24 * hourMs - 180_000)
  })

  test('that is too large is not sent', async () => {
    const { a, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 'x'.repeat(10_000))
    expect(cache.calls).not.toContain('putOutcome')
  })
})

describe('a cache that lies', () => {
  const lies: Readonly<Record<string, (frame: CacheFrame) => CacheFrame>> = {
    'a frame of another record': (frame) => ({ ...frame, id: new Uint8Array(32) }),
    'a frame of another epoch of the store': (frame) => ({ ...frame, epoch: '00000000-0000-4000-8000-000000000001' }),
    'a frame of another operation': (frame) => ({ ...frame, operation: 'refund' }),
    'a frame of another policy': (frame) => ({ ...frame, policy: 'financial' }),
    'a frame that expired': (frame) => ({ ...frame, expiresAtMs: 1 }),
    'a frame of another payload': (frame) => ({ ...frame, fingerprint: { ...frame.fingerprint, digest: new Uint8Array(32) } }),
    'a frame of other fingerprint rules': (frame) => ({ ...frame, fingerprint: { ...frame.fingerprint, version: 99 } }),
    'a fingerprint under another secret': (frame) => ({ ...frame, fingerprint: { ...frame.fingerprint, keyId: 9 } }),
    'a hint in the place of an outcome': (frame) => ({ ...frame, kind: 'hint', attemptId: 'x', leaseEndMs: Number.MAX_SAFE_INTEGER }),
  }
  test.each(Object.keys(lies))('with %s is not believed: the store is asked', async (lie) => {
    const { a, b, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    rewrite(cache, lies[lie] as (frame: CacheFrame) => CacheFrame)
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 7 })
    expect(claims(b)).toBe(1)
  })

  test('with a frame that nobody signed is not believed, and is told of', async () => {
    const { a, b, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    const [entry] = cache.entries.values()
    const forged = entry?.outcome?.slice() ?? new Uint8Array()
    forged[60] = (forged[60] as number) ^ 1
    if (entry !== undefined) entry.outcome = forged
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 7 })
    expect([claims(b), b.told()]).toEqual([1, ['cache-refused 0 forged', 'replayed 0']])
  })

  test.each([0, 1, 39, 40, 200])('with %i bytes of garbage is not believed', async (length) => {
    const { a, b, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    const [entry] = cache.entries.values()
    if (entry !== undefined) entry.outcome = new Uint8Array(length).fill(1)
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 7 })
    expect(claims(b)).toBe(1)
  })

  test('cannot make an erased record come back for a new payload, nor free a key', async () => {
    const { a, b, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    const [kept] = cache.outcomes
    const [[id] = ['']] = cache.entries
    await a.oncely.forget(Buffer.from(id, 'hex'), 'asked')
    cache.entries.set(id, { outcome: kept as Uint8Array })
    expect(await b.charge.run(other, () => 8)).toMatchObject({ status: 'done', value: 8 })
    expect(await b.charge.run(other, never)).toMatchObject({ status: 'replayed', value: 8 })
  })

  test('with a frame under a secret that this process lacks asks the store, and is nobody\u2019s fault', async () => {
    const { a, start } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    const stranger = start({ secrets: [{ id: 2, key: new Uint8Array(32).fill(9) }, secret] })
    const rotated = start({ secrets: [{ id: 2, key: new Uint8Array(32).fill(9) }] })
    expect(await stranger.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    expect(await rotated.charge.run(oneCall, never)).toMatchObject({ status: 'unavailable' })
    expect(rotated.told().filter((line) => line.startsWith('cache-'))).toEqual([])
    expect(claims(rotated)).toBe(1)
  })

  test('is refused where nothing could sign', () => {
    expect(() => cacheWorld({ secrets: [] })).toThrow(/cache "memory" is given without secrets/)
  })

  test('is forgotten when the store is another than before', async () => {
    const world = engineWorld({ store: () => renewable() })
    const cache = new MemoryCache()
    const start = () => world.start({ cache, secrets, limits: { recentOutcomesMax: 0 } })
    const [a, b] = [start(), start()]
    const charge = (process: typeof a) => process.oncely.operation('charge', { bind: 'lease', policy })
    const [first, second] = [charge(a), charge(b)]
    await b.oncely.open()
    await first.run(oneCall, () => 7)
    const store = world.store as ReturnType<typeof renewable>
    store.renew()
    await world.clock.advance(60_000)
    await second.run(oneCall, never)
    expect(claims(b)).toBe(1)
  })
})

describe('published is only what is known to be committed', () => {
  test('so an outcome whose completion nobody confirmed is not', async () => {
    const { a, cache, clock } = cacheWorld({ limits: { recentOutcomesMax: 0, storeTimeoutMs: 200 } })
    a.faulty.plan('complete', ...Array<'refused'>(100).fill('refused'))
    a.faulty.plan('seal', ...Array<'refused'>(100).fill('refused'))
    const run = a.charge.run(oneCall, () => 7)
    await clock.advance(60_000)
    expect(await run).toMatchObject({ status: 'unrecorded' })
    expect(cache.outcomes).toEqual([])
  })

  test('so what failed, was released or is uncertain is not', async () => {
    const { a, cache } = cacheWorld()
    await expect(a.charge.run(oneCall, () => Promise.reject(new RangeError('reset')))).rejects.toThrow('reset')
    expect(cache.outcomes).toEqual([])
  })

  test('so a transaction of the library’s own is, and one of the user’s is not', async () => {
    const cache = new MemoryCache()
    const { oncely, path } = await transactionWorld({ own: { cache, secrets }, limits: { recentOutcomesMax: 0 } })
    const charge = oncely.operation('charge', { bind: 'transaction' })
    const tx = connect(path)
    tx.exec('BEGIN IMMEDIATE')
    await charge.within(tx, oneCall, () => 7)
    tx.exec('ROLLBACK')
    expect([cache.outcomes, cache.hints]).toEqual([[], []])
    await charge.run(oneCall, () => 8)
    expect(cache.outcomes.length).toBe(1)
  })

  test('and a call that is only observed neither asks nor tells', async () => {
    const { a, cache } = cacheWorld()
    const watched = a.oncely.operation('watched', { bind: 'lease', policy, phase: 'observe' })
    await watched.run(oneCall, () => 7)
    await watched.run(oneCall, () => 7)
    expect(cache.calls).toEqual([])
  })
})

describe('a process that finds nothing in the cache', () => {
  test('also reads the epoch once a minute, so that what it publishes is believed after a restore', async () => {
    const world = engineWorld({ store: () => renewable() })
    const cache = new MemoryCache()
    const start = () => world.start({ cache, secrets, limits: { recentOutcomesMax: 0 } })
    const charge = (process: ReturnType<typeof start>) => process.oncely.operation('charge', { bind: 'lease', policy })
    const old = charge(start())
    await old.run({ ...oneCall, key: 'before' }, () => 1)
    ;(world.store as ReturnType<typeof renewable>).renew()
    for (let minute = 0; minute < 2; minute++) {
      await world.clock.advance(60_000)
      await old.run({ ...oneCall, key: `minute ${minute}` }, () => 1)
    }
    const b = start()
    expect(await charge(b).run({ ...oneCall, key: 'minute 1' }, never)).toMatchObject({ status: 'replayed' })
    expect(claims(b)).toBe(0)
  })
})

/** A memory store whose instance id changes, as after a restore. */
function renewable(): Store & { renew(): void } {
  const { store } = engineWorld()
  let nth = 1
  const renewed = { instanceId: async () => `00000000-0000-4000-8000-00000000000${nth}`, renew: () => void nth++ }
  return new Proxy(store, {
    get: (target, name) => {
      if (name in renewed) return renewed[name as keyof typeof renewed]
      if (name === 'open') return async () => ({ ...(await target.open()), instanceId: await renewed.instanceId() })
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  }) as Store & { renew(): void }
}
