import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import type { OncelyOptions, Store } from '../../src/core/index.ts'
import { anonymous } from '../../src/core/index.ts'
import { cacheWorld, never, policy } from '../support/cache-world.ts'
import { engineWorld, oneCall } from '../support/engine-world.ts'

const said = { by: 'dpo', reason: 'request 12' }
const secret = { id: 1, key: new Uint8Array(32).fill(7) }

/** Processes over one store, each with its own options. */
function shop() {
  const world = engineWorld()
  const start = (own: Partial<OncelyOptions> = {}) => {
    const started = world.start({ secrets: [secret], ...own })
    const charge = started.oncely.operation('charge', { bind: 'lease', policy })
    const paid = (principal: string | typeof anonymous, key: string) => charge.run({ principal, key, input: 1 }, () => key)
    return { ...started, charge, paid }
  }
  return { ...world, start }
}

describe('erasing a principal', () => {
  test('takes its records and no other principal’s, and says how many', async () => {
    const { oncely, paid } = shop().start()
    for (const key of ['k1', 'k2', 'k3']) await paid('acme', key)
    await paid('globex', 'k1')
    await paid(anonymous, 'k1')
    const receipt = await oncely.erase({ principal: 'acme', ...said })
    expect(receipt).toMatchObject({ erased: 3, held: 0, kept: 0, by: 'dpo', reason: 'request 12', store: 'memory', secretId: 1 })
    expect(receipt.principal).toMatch(/^[0-9a-f]{64}$/)
    expect(await paid('acme', 'k1')).toMatchObject({ status: 'done' })
    expect(await paid('globex', 'k1')).toMatchObject({ status: 'replayed' })
    expect(await paid(anonymous, 'k1')).toMatchObject({ status: 'replayed' })
    expect(await oncely.erase({ principal: anonymous, ...said })).toMatchObject({ erased: 1 })
  })

  test('of another application in the same store is somebody else', async () => {
    const world = shop()
    const [one, other] = [world.start({ namespace: 'one' }), world.start({ namespace: 'other' })]
    await one.paid('user-1', 'k1')
    await other.paid('user-1', 'k1')
    expect(await one.oncely.erase({ principal: 'user-1', ...said })).toMatchObject({ erased: 1 })
    expect(await other.paid('user-1', 'k1')).toMatchObject({ status: 'replayed' })
  })

  test('goes on until nothing is left, over many batches', async () => {
    const { oncely, paid } = shop().start()
    for (let key = 0; key < 1_203; key++) await paid('acme', `k${key}`)
    expect(await oncely.erase({ principal: 'acme', ...said })).toMatchObject({ erased: 1_203, kept: 0 })
    expect((await oncely.stats()).records).toBe(0)
  })

  test('leaves what runs, which is erased once it has ended', async () => {
    const { oncely, charge } = shop().start()
    await charge.run(oneCall, async () => {
      expect(await oncely.erase({ principal: 'acme', ...said })).toMatchObject({ erased: 0, kept: 1 })
      return 7
    })
    expect(await oncely.erase({ principal: 'acme', ...said })).toMatchObject({ erased: 1, kept: 0 })
  })

  test('takes the copies in the cache and in this process', async () => {
    const { a, b, cache } = cacheWorld({ limits: {} })
    await a.charge.run(oneCall, () => 7)
    expect(cache.outcomes.length).toBe(1)
    await a.oncely.erase({ principal: 'acme', ...said })
    expect(cache.outcomes.length).toBe(0)
    expect(await a.charge.run(oneCall, () => 8)).toMatchObject({ status: 'done', value: 8 })
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 8 })
  })

  test('answers with a receipt that its secret holder can check, and that a change breaks', async () => {
    const world = shop()
    const { oncely, paid } = world.start()
    await paid('acme', 'k1')
    const receipt = await oncely.erase({ principal: 'acme', ...said })
    expect(oncely.isGenuineReceipt(receipt)).toBe(true)
    expect(world.start({ secrets: [{ id: 2, key: new Uint8Array(32) }, secret] }).oncely.isGenuineReceipt(receipt)).toBe(true)
    for (const change of [
      { erased: 2 },
      { by: 'x' },
      { reason: '' },
      { principal: '' },
      { endedAtMs: 0 },
      { recordsDigest: '' },
      { secretId: 2 },
      { kept: 1 },
    ]) {
      expect(oncely.isGenuineReceipt({ ...receipt, ...change }), JSON.stringify(change)).toBe(false)
    }
    const unsigned = await world.start({ secrets: [] }).oncely.erase({ principal: 'acme', ...said })
    expect([unsigned.secretId, unsigned.signature, oncely.isGenuineReceipt(unsigned)]).toEqual([0, '', false])
  })

  test('needs who asked and why, and a store that can find records by principal', async () => {
    const { oncely } = shop().start()
    await expect(oncely.erase({ principal: 'acme', by: '', reason: 'x' })).rejects.toThrow(/An erasure needs "by" and "reason"/)
    await expect(oncely.erase({ principal: '', ...said })).rejects.toThrow(/principal is empty/)
    const bare = engineWorld({ store: (clock) => without(memoryStore({ clock }), 'erasePrincipal', 'hold', 'holds') }).start()
    await expect(bare.oncely.erase({ principal: 'acme', ...said })).rejects.toMatchObject({ code: 'ONCELY_UNSUPPORTED' })
    for (const call of [
      () => bare.oncely.hold({ principal: 'acme' }, said),
      () => bare.oncely.liftHold({ principal: 'acme' }, said),
      () => bare.oncely.holds(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'ONCELY_UNSUPPORTED' })
    }
  })
})

describe('a legal hold', () => {
  test('keeps a principal’s records from erasure until it is lifted', async () => {
    const { oncely, paid } = shop().start()
    await paid('acme', 'k1')
    expect(await oncely.hold({ principal: 'acme' }, said)).toBe(true)
    expect(await oncely.hold({ principal: 'acme' }, said)).toBe(false)
    expect(await oncely.holds()).toMatchObject([{ by: 'dpo', reason: 'request 12' }])
    expect(await oncely.erase({ principal: 'acme', ...said })).toMatchObject({ erased: 0, held: 1 })
    const record = oncely.recordId({ principal: 'acme', key: 'k1' })
    await expect(oncely.forget(record, 'asked for')).rejects.toMatchObject({ code: 'ONCELY_RECORD_HELD' })
    expect(await oncely.liftHold({ principal: 'acme' }, said)).toBe(true)
    expect(await oncely.erase({ principal: 'acme', ...said })).toMatchObject({ erased: 1, held: 0 })
  })

  test('of one record names it by its id, and needs who asked and why', async () => {
    const { oncely, paid } = shop().start()
    await paid('acme', 'k1')
    const record = oncely.recordId({ principal: 'acme', key: 'k1' })
    await oncely.hold({ record }, said)
    expect(await oncely.holds()).toMatchObject([{ target: { record } }])
    await expect(oncely.hold({ record }, { by: 'x', reason: '' })).rejects.toThrow(/A legal hold needs/)
    await expect(oncely.liftHold({ record }, { by: '', reason: 'x' })).rejects.toThrow(/Lifting a legal hold needs/)
  })
})

function without(store: Store, ...methods: (keyof Store)[]): Store {
  return new Proxy(store, {
    get: (target, name) => {
      if (methods.includes(name as keyof Store)) return undefined
      const member = Reflect.get(target, name) as unknown
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
