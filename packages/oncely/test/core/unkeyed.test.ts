import { describe, expect, test } from 'vitest'
import { type OncelyOptions, Rejection, StoreUnavailable } from '../../src/core/index.ts'
import { engineWorld, oneCall, stateOf, workOf } from '../support/engine-world.ts'
import type { Fault } from '../support/fault-store.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const rejecting = (): never => {
  throw new Rejection('declined')
}

function setUp(phase: 'enforce' | 'observe' = 'enforce', limits: NonNullable<OncelyOptions['limits']> = {}) {
  const world = engineWorld()
  const process = world.start({ limits })
  return { ...world, ...process, charge: process.oncely.operation('charge', { bind: 'lease', policy, phase }) }
}

describe('a call without a key', () => {
  test('runs every time, without a record', async () => {
    const { charge, store, told } = setUp()
    const seen: unknown[] = []
    const work = workOf(async ({ key, record, attempt, fence, begin, signal }) => {
      await begin()
      return seen.push(key, record, attempt, fence, signal.aborted)
    })
    expect(await charge.engine.executeUnkeyed(charge.definition, work)).toEqual({ status: 'unprotected', value: 5 })
    expect(await charge.engine.executeUnkeyed(charge.definition, work)).toEqual({ status: 'unprotected', value: 10 })
    expect(seen.slice(0, 5)).toEqual(['', '', 0, { epoch: 0, seq: 0n }, false])
    expect(await store.stats()).toMatchObject({ records: 0 })
    expect(told()).toEqual(['unkeyed 0', 'unkeyed 0'])
  })

  test('is counted under its operation', async () => {
    const { charge, events } = setUp()
    await charge.engine.executeUnkeyed(
      charge.definition,
      workOf(() => 1),
    )
    expect(events).toMatchObject([{ type: 'unkeyed', operation: 'charge', record: '' }])
  })

  test('has no key to derive others from', async () => {
    const { charge } = setUp()
    const work = workOf(({ deriveKey }) => deriveKey('psp'))
    await expect(charge.engine.executeUnkeyed(charge.definition, work)).rejects.toThrow('came without')
  })

  test('answers its rejection and lets its exception pass', async () => {
    const { charge } = setUp()
    expect(await charge.engine.executeUnkeyed(charge.definition, workOf(rejecting))).toEqual({
      status: 'rejected',
      value: 'declined',
      record: '',
      attempt: 0,
    })
    const failing = workOf(() => Promise.reject(new RangeError('broken')))
    await expect(charge.engine.executeUnkeyed(charge.definition, failing)).rejects.toThrow(RangeError)
  })

  test('is refused by a process that drains, and where the store cannot be opened', async () => {
    const { charge, oncely, faulty } = setUp()
    faulty.plan('open', 'refused')
    const work = workOf(() => 1)
    expect(await charge.engine.executeUnkeyed(charge.definition, work)).toMatchObject({
      status: 'unavailable',
      reason: 'store',
      record: '',
    })
    expect(await charge.engine.executeUnkeyed(charge.definition, work)).toMatchObject({ status: 'unprotected' })
    await oncely.drain()
    expect(await charge.engine.executeUnkeyed(charge.definition, work)).toMatchObject({ status: 'unavailable', reason: 'draining' })
  })
})

describe('a phase that only observes', () => {
  test('runs each duplicate and says what it would have been told', async () => {
    const { charge, told, clock } = setUp('observe')
    const words: string[] = []
    for (const input of [oneCall.input, oneCall.input, 'another']) {
      expect(await charge.run({ ...oneCall, input }, () => input)).toEqual({ status: 'unprotected', value: input })
      await clock.advance(1)
      words.push(...told())
    }
    expect(words).toEqual(['observed 0 first', 'observed 0 replay', 'observed 0 mismatch'])
  })

  test('says that a duplicate came while the first call ran', async () => {
    const { charge, told, clock } = setUp('observe')
    let ends: (value: number) => void = () => {}
    const first = charge.run(oneCall, () => new Promise<number>((resolve) => (ends = resolve)))
    await clock.advance(1)
    expect(await charge.run(oneCall, () => 2)).toEqual({ status: 'unprotected', value: 2 })
    await clock.advance(1)
    expect(told()).toEqual(['observed 0 in-progress'])
    ends(1)
    expect(await first).toEqual({ status: 'unprotected', value: 1 })
    await clock.advance(1)
    expect(told()).toEqual(['observed 0 first'])
  })

  test('says that the first call never ended, once its lease has', async () => {
    const { charge, told, clock } = setUp('observe')
    void charge.run(oneCall, () => new Promise(() => {}))
    await clock.advance(30_000)
    expect(await charge.run(oneCall, () => 2)).toEqual({ status: 'unprotected', value: 2 })
    await clock.advance(1)
    expect(told()).toEqual(['observed 0 uncertain'])
  })

  test('stores no outcome, only that there was one', async () => {
    const { charge, clock, store } = setUp('observe')
    let id = new Uint8Array()
    await charge.run(oneCall, ({ record }) => {
      id = Buffer.from(record, 'hex')
      return 'secret'
    })
    await clock.advance(1)
    expect(await store.read(id)).toMatchObject({ state: 'completed', bind: 'lease', outcome: { codec: 5, bytes: new Uint8Array(0) } })
  })

  test('observes a failure as what it is, and hides none', async () => {
    const { charge, clock, told } = setUp('observe')
    await expect(charge.run(oneCall, () => Promise.reject(new RangeError('broken')))).rejects.toThrow(RangeError)
    await clock.advance(1)
    expect(told()).toEqual(['observed 0 first'])
    expect(await charge.run({ ...oneCall, key: 'k2' }, rejecting)).toEqual({ status: 'rejected', value: 'declined', replayed: false })
  })

  test('hands the handler a key of this record for other services', async () => {
    const { charge } = setUp('observe')
    const derived: string[] = []
    for (let time = 0; time < 2; time++) await charge.run(oneCall, ({ deriveKey, key }) => derived.push(deriveKey('psp'), key))
    expect(derived[0]).toMatch(/^[0-9a-f]{40}$/)
    expect(derived.slice(2)).toEqual(derived.slice(0, 2))
    expect(derived[1]).toBe('k1')
  })

  test('lets no outage of the store reach the caller, and says that there was one', async () => {
    const { charge, clock, faulty, events } = setUp('observe', { storeTimeoutMs: 1_000 })
    faulty.plan('claim', 'refused')
    expect(await charge.run(oneCall, () => 1)).toEqual({ status: 'unprotected', value: 1 })
    await clock.advance(1)
    expect(events.splice(0)).toMatchObject([{ type: 'observed', attempt: 0, reason: 'unavailable' }])
    faulty.plan('complete', 'refused')
    expect(await charge.run(oneCall, () => 2)).toEqual({ status: 'unprotected', value: 2 })
    await clock.advance(1)
    expect(events.splice(0)).toMatchObject([
      { type: 'observed', reason: 'first' },
      { type: 'observed', attempt: 0, reason: 'unavailable', error: expect.any(StoreUnavailable) },
    ])
  })

  test('waits for no store: the handler has its answer out before a hanging claim is given up', async () => {
    const { charge, faulty } = setUp('observe')
    faulty.plan('claim', ...Array<Fault>(50).fill('hangs'))
    const running = charge.run(oneCall, () => 1)
    expect(await stateOf(running)).toEqual({ status: 'unprotected', value: 1 })
  })

  test('runs though the store cannot be opened', async () => {
    const { charge, faulty } = setUp('observe')
    faulty.plan('open', 'refused')
    expect(await charge.run(oneCall, () => 1)).toEqual({ status: 'unprotected', value: 1 })
  })
})
