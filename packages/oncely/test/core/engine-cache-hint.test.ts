import { describe, expect, test } from 'vitest'
import { type OncelyOptions, StoreUnavailable } from '../../src/core/index.ts'
import { cacheWorld, claims, never, other } from '../support/cache-world.ts'
import { deferred } from '../support/deferred.ts'
import { oneCall } from '../support/engine-world.ts'
import { timersOf } from '../support/timer-kind.ts'

describe('a hint', () => {
  /** An attempt that runs until the test says otherwise, and has told so. */
  async function running(own: Partial<OncelyOptions> = {}) {
    const world = cacheWorld(own)
    const gate = deferred()
    const run = world.a.charge.run(oneCall, () => gate.promise)
    await world.clock.advance(20)
    return { ...world, gate, run }
  }

  test('answers that an attempt runs, without the store, and is gone with the attempt', async () => {
    const { b, cache, gate, run, clock } = await running()
    expect(cache.hints.length).toBe(1)
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'in-progress', retryAfterMs: 29_980 })
    expect(claims(b)).toBe(0)
    gate.resolve()
    await run
    await clock.advance(0)
    expect(cache.hints).toEqual([])
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
  })

  test('is written again while the attempt runs', async () => {
    const { cache, gate, run, clock } = await running()
    const [first] = cache.hints
    await clock.advance(500)
    expect(cache.hints[0]).not.toEqual(first)
    gate.resolve()
    await run
    await clock.advance(5_000)
    expect(cache.calls.filter((call) => call === 'putHint').length).toBe(2)
  })

  test('ends with its lease, although the handler does not stop', async () => {
    const { b, cache, store, gate, run, clock } = await running()
    const [[id] = ['']] = cache.entries
    await store.forget(Buffer.from(id, 'hex'), { reason: 'elsewhere' })
    // The next renewal hears that the claim is lost.
    await clock.advance(10_000)
    cache.entries.clear()
    await clock.advance(2_000)
    expect(cache.hints).toEqual([])
    expect(await b.charge.run(oneCall, () => 8)).toMatchObject({ status: 'done', value: 8 })
    gate.resolve()
    expect(await run).toEqual({ status: 'replayed', value: 8 })
  })

  test('is not worth writing for a handler that is done at once', async () => {
    const { a, cache, clock } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    await clock.advance(5_000)
    expect(cache.calls).toEqual(['read', 'putOutcome'])
  })

  test('of another payload asks the store', async () => {
    const { b, gate, run } = await running()
    expect(await b.charge.run(other, never)).toEqual({ status: 'mismatch' })
    gate.resolve()
    await run
  })

  test('means nothing once its lease has ended', async () => {
    const { b, cache, gate, run, clock } = await running()
    const [entry] = cache.entries.values()
    const left = entry?.hint
    gate.resolve()
    await run
    if (entry !== undefined && left !== undefined) {
      entry.hint = left
      delete entry.outcome
    }
    await clock.advance(29_979)
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'in-progress', retryAfterMs: 1 })
    await clock.advance(1)
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    expect(claims(b)).toBe(1)
  })

  test('that a cache keeps for too long is believed for a minute more at most, however long its lease', async () => {
    const { a, b, cache, clock } = cacheWorld()
    const long = { bind: 'lease', policy: ['standard', { survives: 'nothing', lease: '10m' }] } as const
    const gate = deferred()
    const run = a.oncely.operation('long', long).run(oneCall, () => gate.promise.then(() => 7))
    await clock.advance(20)
    const [entry] = cache.entries.values()
    const left = entry?.hint
    gate.resolve()
    await run
    await clock.advance(0)
    if (entry === undefined || left === undefined) throw new TypeError('no hint')
    entry.hint = left
    delete entry.outcome
    const again = b.oncely.operation('long', long)
    await clock.advance(60_999)
    expect(await again.run(oneCall, never)).toMatchObject({ status: 'in-progress' })
    await clock.advance(1)
    expect(await again.run(oneCall, never)).toEqual({ status: 'replayed', value: 7 })
  })

  test('keeps no process alive', async () => {
    const { a, clock } = cacheWorld()
    const timers = timersOf(clock)
    const gate = deferred()
    const run = a.charge.run(oneCall, () => gate.promise)
    await clock.advance(20)
    gate.resolve()
    await run
    expect(timers.filter((timer) => /^(20|500) /.test(timer))).toEqual(['20 background', '500 background'])
  })

  test('does not stop one who waits: the store tells when it is done', async () => {
    const { a, b, cache, clock } = cacheWorld()
    const waits = { bind: 'lease', policy: ['standard', { survives: 'nothing', onConcurrent: 'wait' }] } as const
    const gate = deferred()
    const run = a.oncely.operation('waiting', waits).run(oneCall, () => gate.promise.then(() => 7))
    await clock.advance(20)
    expect(cache.hints.length).toBe(1)
    const waiting = b.oncely.operation('waiting', waits).run(oneCall, never)
    await clock.advance(100)
    expect(claims(b)).toBeGreaterThan(0)
    gate.resolve()
    await run
    await clock.advance(1_000)
    expect(await waiting).toEqual({ status: 'replayed', value: 7 })
  })

  test('lets nobody run: without the store its absence means nothing', async () => {
    const { b, cache, gate, run } = await running()
    cache.entries.clear()
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'in-progress' })
    expect(claims(b)).toBe(1)
    gate.resolve()
    await run
  })
})

describe('erased', () => {
  test('is a record in the cache too', async () => {
    const { a, b, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    const [[id] = ['']] = cache.entries
    expect(await b.oncely.forget(Buffer.from(id, 'hex'), 'asked')).toBe(true)
    expect(cache.outcomes).toEqual([])
    expect(await b.charge.run(oneCall, () => 8)).toMatchObject({ status: 'done', value: 8 })
  })

  test('is a record that runs too: the hint of its attempt does not come back', async () => {
    const { a, b, cache, clock } = cacheWorld()
    const gate = deferred()
    const run = a.charge.run(oneCall, () => gate.promise.then(() => 7))
    await clock.advance(20)
    const [[id] = ['']] = cache.entries
    await a.oncely.forget(Buffer.from(id, 'hex'), 'asked')
    await clock.advance(600)
    expect(cache.hints).toEqual([])
    expect(await b.charge.run(oneCall, () => 8)).toMatchObject({ status: 'done', value: 8 })
    gate.resolve()
    expect(await run).toEqual({ status: 'replayed', value: 8 })
  })

  test('is what this process answered while it was erased', async () => {
    const { a, cache, store } = cacheWorld({ limits: {} })
    await a.charge.run(oneCall, () => 7)
    const [[id] = ['']] = cache.entries
    const gate = deferred()
    const forget = store.forget.bind(store)
    store.forget = (...args) => gate.promise.then(() => forget(...args))
    const erasing = a.oncely.forget(Buffer.from(id, 'hex'), 'asked')
    expect(await a.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    gate.resolve()
    expect(await erasing).toBe(true)
    expect(await a.charge.run(oneCall, () => 8)).toMatchObject({ status: 'done', value: 8 })
  })

  test('counts as unknown when the cache did not confirm, until it does', async () => {
    const { a, cache } = cacheWorld()
    await a.charge.run(oneCall, () => 7)
    const [[id] = ['']] = cache.entries
    cache.mode = 'fails'
    const failure: unknown = await a.oncely.forget(Buffer.from(id, 'hex'), 'asked').catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(StoreUnavailable)
    expect(failure).toMatchObject({ applied: 'unknown', cause: expect.objectContaining({ message: 'planned' }) })
    cache.mode = 'answers'
    expect(await a.oncely.forget(Buffer.from(id, 'hex'), 'asked')).toBe(false)
    expect(cache.outcomes).toEqual([])
  })

  test('in the cache is what was resolved by hand, also while the cache is away', async () => {
    const { a, cache, store } = cacheWorld()
    let id = ''
    const decision = { applied: true, value: 9, by: 'jo', reason: 'looked up' }
    for (const mode of ['answers', 'fails'] as const) {
      const call = { ...oneCall, key: mode }
      await expect(
        a.charge.run(call, ({ record }) => {
          id = record
          return Promise.reject(new RangeError('reset'))
        }),
      ).rejects.toThrow('reset')
      cache.mode = mode
      const record = await store.read(Buffer.from(id, 'hex'))
      expect(await a.oncely.resolve(record as never, decision)).toEqual({ word: 'resolved' })
      expect(cache.calls.at(-1)).toBe('erase')
    }
  })
})

describe('a cache that is slow or away', () => {
  test.each(['fails', 'hangs'] as const)('(%s) costs three time-outs at most, and then nothing', async (mode) => {
    const { a, cache, clock } = cacheWorld()
    await a.oncely.open()
    cache.mode = mode
    const startMs = clock.monotonicMs()
    for (let nth = 0; nth < 50; nth++) {
      const run = a.charge.run({ ...oneCall, key: `k${nth}` }, () => nth)
      if (nth < 3) await clock.advance(mode === 'hangs' ? 50 : 0)
      expect(await run).toMatchObject({ status: 'done' })
    }
    expect(clock.monotonicMs() - startMs).toBeLessThanOrEqual(150)
    expect(a.told().filter((line) => line.startsWith('cache-down'))).toEqual(['cache-down 0 memory'])
    // An open circuit also sends nothing, so that nothing piles up in the client.
    expect(cache.calls.length).toBeLessThanOrEqual(6)
  })

  test('is used again once it answers', async () => {
    const { a, b, cache, clock } = cacheWorld()
    await b.oncely.open()
    cache.mode = 'fails'
    for (const key of ['x', 'y', 'z']) await a.charge.run({ ...oneCall, key }, () => 1)
    cache.mode = 'answers'
    await clock.advance(1_000)
    await a.charge.run({ ...oneCall, key: 'probe' }, () => 1)
    await clock.advance(0)
    await a.charge.run(oneCall, () => 7)
    expect(await b.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    expect(claims(b)).toBe(0)
  })
})
