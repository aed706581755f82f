import { byPayload, createOncely } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'

const parts = { retryHorizon: '5m', backoffCeiling: '1m', partitionRecovery: '2m', brokerRedelivery: '2m' } as const
const policy = ['standard', { survives: 'nothing', ...parts }] as const
const call = { principal: 'acme', key: byPayload, input: { order: 1 } } as const

describe('a payload that stands in for a key (R63)', () => {
  test('is one call within its window, for one caller and one operation', async () => {
    const clock = new ManualClock()
    const oncely = createOncely({ namespace: 'test', store: memoryStore({ clock }), limits: { recentOutcomesMax: 0, keyBytesMax: 16 } })
    const order = oncely.operation('order', { policy, bind: 'lease', payloadKey: { window: '10m' } })
    const other = oncely.operation('other', { policy, bind: 'lease', payloadKey: { window: '10m' } })
    const keys: string[] = []
    const handler = ({ key }: { readonly key: string }) => keys.push(key)
    expect((await order.run(call, handler)).status).toBe('done')
    expect((await order.run({ ...call, input: { order: 1 } }, handler)).status).toBe('replayed')
    expect((await order.run({ ...call, input: { order: 2 } }, handler)).status).toBe('done')
    expect((await order.run({ ...call, principal: 'other' }, handler)).status).toBe('done')
    expect((await other.run(call, handler)).status).toBe('done')
    await clock.advance(10 * 60_000 + 1)
    expect((await order.run(call, handler)).status).toBe('done')
    expect(keys).toHaveLength(5)
    expect(keys[0]).toMatch(/^payload:[0-9a-f]{64}$/)
  })

  test('is declared, with ages that are the window’s', async () => {
    const oncely = createOncely({ namespace: 'test', store: memoryStore() })
    const declare = (name: string, own: object, preset: 'standard' | 'financial' = 'standard') =>
      oncely.operation(name, { policy: [preset, { survives: 'nothing', ...own }], bind: 'lease', payloadKey: { window: '10m' } })
    expect(() => declare('a', parts, 'financial')).toThrow(/two equal ones/)
    expect(() => declare('b', { ...parts, retention: '1h' })).toThrow(/payloadKey\.window "10m" is the retention/)
    expect(() => declare('c', { ...parts, tombstone: '1h' })).toThrow(/Leave both out/)
    expect(() => declare('d', {})).toThrow(/policy\.retention is 10m, below/)
    const plain = oncely.operation('plain', { policy, bind: 'lease' })
    await expect(plain.run(call, () => 1)).rejects.toMatchObject({ code: 'ONCELY_KEY_INVALID' })
  })
})
