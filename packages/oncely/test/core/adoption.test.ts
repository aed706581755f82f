import { describe, expect, test } from 'vitest'
import { type Adopted, type AdoptedCall, Rejection } from '../../src/core/index.ts'
import { never, policy } from '../support/cache-world.ts'
import { engineWorld, oneCall } from '../support/engine-world.ts'

/** Two processes that take over from a map, which stands for the old table. */
function adopting(old: Map<string, Adopted<unknown>> = new Map(), written: unknown[] = []) {
  const world = engineWorld()
  const asked: AdoptedCall[] = []
  const adopt = {
    find: async (call: AdoptedCall) => {
      asked.push(call)
      return old.get(call.key)
    },
    write: async ({ key, value }: { readonly key: string; readonly value: unknown }) => void written.push([key, value]),
  }
  const start = () => {
    const started = world.start()
    return { ...started, charge: started.oncely.operation('charge', { bind: 'lease', policy, adopt }) }
  }
  return { ...world, old, written, asked, adopt, ...start(), another: start }
}

describe('adopting a table', () => {
  test('answers what it has without running, and keeps it as a record', async () => {
    const world = adopting(new Map([['k1', { state: 'completed', value: { id: 7 } }]]))
    expect(await world.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7 } })
    expect(world.asked).toEqual([{ principal: 'acme', key: 'k1', input: { amount: 5 } }])
    expect(world.told()).toEqual(['adopted 1', 'replayed 0'])
    const plain = world.start().oncely.operation('charge', { bind: 'lease', policy })
    expect(await plain.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7 } })
    expect(await plain.run({ ...oneCall, input: { amount: 6 } }, never)).toEqual({ status: 'mismatch' })
    expect(world.written).toEqual([])
  })

  test('is asked by 20 racers in two processes, and none of them runs', async () => {
    const world = adopting(new Map([['k1', { state: 'completed', value: 7 }]]))
    const other = world.another()
    const results = await Promise.all(Array.from({ length: 20 }, (_, nth) => (nth % 2 === 0 ? world : other).charge.run(oneCall, never)))
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['replayed']))
  })

  test('hears what still runs there, or stands for another payload', async () => {
    const world = adopting(
      new Map<string, Adopted<unknown>>([
        ['k1', { state: 'running' }],
        ['k2', { state: 'mismatch' }],
      ]),
    )
    expect(await world.charge.run(oneCall, never)).toEqual({ status: 'in-progress', retryAfterMs: 1_000 })
    expect(await world.charge.run({ ...oneCall, key: 'k2' }, never)).toEqual({ status: 'mismatch' })
    expect((await world.oncely.stats()).records).toBe(0)
  })

  test('runs what is new, and writes it to the table for the way back', async () => {
    const world = adopting()
    expect(await world.charge.run(oneCall, () => 7)).toMatchObject({ status: 'done', value: 7 })
    expect(await world.charge.run({ ...oneCall, key: 'k2' }, () => Promise.reject(new Rejection('no')))).toMatchObject({
      status: 'rejected',
    })
    expect(world.written).toEqual([['k1', 7]])
    expect(await world.charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
    // What this process knows needs no look at the table.
    expect(world.asked.length).toBe(2)
  })

  test('runs nothing while its own store is away, and throws what the table throws', async () => {
    const world = adopting(new Map([['k1', { state: 'completed', value: 7 }]]))
    await world.oncely.open()
    world.faulty.plan('claim', ...Array<'refused'>(20).fill('refused'))
    const away = world.charge.run(oneCall, never)
    await world.clock.advance(60_000)
    expect(await away).toMatchObject({ status: 'unavailable' })
    const failing = world
      .start()
      .oncely.operation('charge', { bind: 'lease', policy, adopt: { find: () => Promise.reject(new Error('no such table')) } })
    await expect(failing.run(oneCall, never)).rejects.toThrow('no such table')
    const wrong = world
      .start()
      .oncely.operation('charge', { bind: 'lease', policy, adopt: { find: async () => ({ state: 'odd' }) as never } })
    await expect(wrong.run(oneCall, never)).rejects.toThrow(/answered the state "odd"/)
  })
})

describe('redaction', () => {
  const redact = (value: unknown): unknown => ({ ...(value as object), card: '****' })

  test('gives the first caller the whole and keeps the rest from the store and from replays', async () => {
    const { start, store } = engineWorld()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy, redact })
    expect(await charge.run(oneCall, () => ({ id: 7, card: '4242' }))).toMatchObject({ status: 'done', value: { id: 7, card: '4242' } })
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7, card: '****' } })
    const record = await store.read(oncely.recordId(oneCall))
    expect(record?.state === 'completed' && Buffer.from(record.outcome?.bytes ?? []).toString()).toBe('{"id":7,"card":"****"}')
  })

  test('covers rejections, and what is adopted', async () => {
    const charge = engineWorld().start().oncely.operation('charge', { bind: 'lease', policy, redact })
    await charge.run(oneCall, () => Promise.reject(new Rejection({ card: '4242' })))
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'rejected', value: { card: '****' } })
    const find = async (): Promise<Adopted<unknown>> => ({ state: 'completed', value: { card: '4242' } })
    const taken = engineWorld().start().oncely.operation('charge', { bind: 'lease', policy, redact, adopt: { find } })
    expect(await taken.run(oneCall, never)).toEqual({ status: 'replayed', value: { card: '****' } })
  })
})

describe('an import', () => {
  test('keeps what the table has, runs nothing and can be repeated', async () => {
    const world = adopting(
      new Map<string, Adopted<unknown>>([
        ['k1', { state: 'completed', value: 7 }],
        ['k2', { state: 'running' }],
        ['k3', { state: 'mismatch' }],
      ]),
    )
    const calls = ['k1', 'k2', 'k3', 'k4'].map((key) => ({ ...oneCall, key }))
    expect(await world.charge.adopt(calls)).toEqual({ adopted: 1, present: 0, absent: 1, running: 1, mismatch: 1 })
    expect(await world.charge.adopt(calls)).toEqual({ adopted: 0, present: 1, absent: 1, running: 1, mismatch: 1 })
    expect((await world.oncely.stats()).records).toBe(1)
    world.old.clear()
    expect(await world.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 7 })
  })

  test('ends where the store is away, and an operation that adopts nothing finds nothing', async () => {
    const world = adopting(new Map([['k1', { state: 'completed', value: 7 }]]))
    await world.oncely.open()
    world.faulty.plan('claim', ...Array<'refused'>(20).fill('refused'))
    const away = expect(world.charge.adopt([oneCall])).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
    await world.clock.advance(60_000)
    await away
    const plain = engineWorld().start().oncely.operation('charge', { bind: 'lease', policy })
    expect(await plain.adopt([oneCall])).toMatchObject({ absent: 1, adopted: 0 })
  })
})
