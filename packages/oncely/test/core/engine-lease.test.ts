import { Rejection } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { faultStore } from '../support/fault-store.ts'
import { call, down, relaxed, setUp } from '../support/lease-instance.ts'

describe('a function call under a lease', () => {
  test('runs once and replays the recorded value', async () => {
    const { oncely, types } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    let runs = 0
    const first = await charge.run(call, () => ({ id: ++runs }))
    const second = await charge.run(call, () => ({ id: ++runs }))
    expect(first).toEqual({ status: 'done', value: { id: 1 }, attempt: 1 })
    expect(second).toEqual({ status: 'replayed', value: { id: 1 } })
    expect(types()).toEqual(['claimed', 'completed', 'replayed'])
  })

  test('another payload under the same key is a mismatch, also after completion', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    await charge.run(call, () => 1)
    expect(await charge.run({ ...call, input: { amount: 6 } }, () => 2)).toEqual({ status: 'mismatch' })
  })

  test('the same key on another operation is a mismatch, and a key of its own with keyspace operation', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const refund = oncely.operation('refund', { bind: 'lease', policy: ['standard', relaxed] })
    const apart = oncely.operation('apart', { bind: 'lease', policy: ['standard', relaxed], keyspace: 'operation' })
    await charge.run(call, () => 1)
    expect(await refund.run(call, () => 2)).toEqual({ status: 'mismatch' })
    expect(await apart.run(call, () => 3)).toMatchObject({ status: 'done', value: 3 })
  })

  test('two principals with the same key and input each get their own answer', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    await charge.run(call, () => 'for acme')
    expect(await charge.run({ ...call, principal: 'globex' }, () => 'for globex')).toMatchObject({ status: 'done', value: 'for globex' })
  })

  test('a rejection is recorded and replayed', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const declined = (): never => {
      throw new Rejection({ code: 'declined' })
    }
    expect(await charge.run(call, declined)).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: false })
    expect(await charge.run(call, () => 1)).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: true })
  })

  test('a handler that throws after its claim leaves an uncertain record, and nothing runs again', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    await expect(charge.run(call, () => Promise.reject(new Error('bank is down')))).rejects.toThrow('bank is down')
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'uncertain' })
  })

  test('with an explicit begin, a handler that throws before it frees the key', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy: ['standard', relaxed] })
    await expect(charge.run(call, () => Promise.reject(new Error('no stock')))).rejects.toThrow('no stock')
    const second = await charge.run(call, async ({ begin, attempt }) => {
      await begin()
      return attempt
    })
    expect(second).toEqual({ status: 'done', value: 2, attempt: 2 })
  })

  test('with an explicit begin, a handler that throws after it leaves doubt', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy: ['standard', relaxed] })
    const failing = charge.run(call, async ({ begin }) => {
      await begin()
      throw new Error('reset')
    })
    await expect(failing).rejects.toThrow('reset')
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'uncertain' })
  })

  test('a begin whose answer is lost stops the handler, and the record counts as begun', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy: ['standard', relaxed] })
    faulty.plan('renew', 'answer-lost')
    let effects = 0
    const running = charge.run(call, async ({ begin }) => {
      await begin()
      effects++
    })
    await expect(running).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
    expect(effects).toBe(0)
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'uncertain' })
  })

  test('the derived key is stable over attempts, differs by name and does not show the caller key', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy: ['standard', relaxed] })
    const seen: string[] = []
    const failing = charge.run(call, ({ deriveKey }) => {
      seen.push(deriveKey('psp'))
      throw new Error('again')
    })
    await expect(failing).rejects.toThrow('again')
    await charge.run(call, ({ deriveKey }) => void seen.push(deriveKey('psp'), deriveKey('ledger')))
    expect(seen[0]).toBe(seen[1])
    expect(seen[2]).not.toBe(seen[1])
    expect(seen.join()).not.toContain(call.key)
  })

  test('a value that would not come back equal is a typed error, and the record is uncertain', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    await expect(charge.run(call, () => ({ at: new Date(0) }))).rejects.toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE' })
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'uncertain' })
  })

  test('a value above the limit goes to the first caller whole, and a retry learns that it was not stored', async () => {
    const { oncely } = setUp({ limits: { responseBytesMax: 10 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    expect(await charge.run(call, () => 'x'.repeat(100))).toMatchObject({ status: 'done', value: 'x'.repeat(100) })
    expect(await charge.run(call, () => 'again')).toEqual({ status: 'not-stored' })
  })

  test('an operation that stores nothing answers a retry without running again', async () => {
    const { oncely } = setUp()
    const mint = oncely.operation('mint-secret', { bind: 'lease', store: 'nothing', policy: ['standard', relaxed] })
    expect(await mint.run(call, () => 'secret')).toMatchObject({ status: 'done', value: 'secret' })
    expect(await mint.run(call, () => 'other')).toEqual({ status: 'not-stored' })
  })
})

describe('an outage of the store', () => {
  test('with a closed policy nothing runs, and the word comes in bounded time', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    faulty.plan('claim', 'refused')
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'unavailable' })
    faulty.plan('claim', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs')
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'unavailable' })
  })

  test('with an open policy the handler runs unprotected and is counted', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely, types } = setUp({ store: faulty.store })
    const track = oncely.operation('track', { bind: 'lease', policy: 'telemetry' })
    faulty.plan('claim', 'refused')
    expect(await track.run(call, () => 7)).toEqual({ status: 'unprotected', value: 7 })
    expect(types()).toContain('unprotected')
  })

  test('a store that cannot be opened is unavailable, is opened again later, and an open policy runs meanwhile', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const track = oncely.operation('track', { bind: 'lease', policy: 'telemetry' })
    faulty.plan('open', 'refused', 'refused')
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'unavailable' })
    expect(await track.run(call, () => 2)).toEqual({ status: 'unprotected', value: 2 })
    expect(await charge.run(call, () => 3)).toMatchObject({ status: 'done', value: 3 })
  })

  test('a claim whose answer is lost is recognised by its attempt id and runs once', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    faulty.plan('claim', 'answer-lost')
    expect(await charge.run(call, ({ attempt }) => attempt)).toEqual({ status: 'done', value: 1, attempt: 1 })
  })

  test('a claim given up unanswered is freed in the background, so that the key is not lost to a handler that never ran', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store, limits: { storeTimeoutMs: 20 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    faulty.plan('claim', ...Array<'answer-lost'>(12).fill('answer-lost'))
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'unavailable' })
    await expect.poll(async () => (await charge.run(call, () => 2)).status, { timeout: 5_000 }).toBe('done')
  })

  test('a completion whose answer is lost is repeated, and the first caller gets the value', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    faulty.plan('complete', 'answer-lost', 'refused')
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'done', value: 1 })
    expect(await charge.run(call, () => 2)).toEqual({ status: 'replayed', value: 1 })
  })

  test('an outcome that cannot be stored is withheld by financial and answered by standard, and a retry does not run again', async () => {
    for (const [preset, value] of [
      ['financial', undefined],
      ['standard', 1],
    ] as const) {
      const faulty = faultStore(memoryStore(), down)
      const { oncely } = setUp({ store: faulty.store, limits: { storeTimeoutMs: 50 } })
      const charge = oncely.operation('charge', { bind: 'lease', policy: [preset, relaxed] })
      faulty.plan('complete', ...Array<'refused'>(50).fill('refused'))
      expect(await charge.run(call, () => 1)).toMatchObject({ status: 'unrecorded', value })
      expect(await charge.run(call, () => 2)).toMatchObject({ status: 'in-progress' })
    }
  })
})
