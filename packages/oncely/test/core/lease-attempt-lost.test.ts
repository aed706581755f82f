import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { type Call, LeaseLost, type Ownership } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'
import { engineWorld, oneCall, stateOf, workOf } from '../support/engine-world.ts'
import type { Fault } from '../support/fault-store.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const repeatable = ['standard', { survives: 'nothing', onLostLease: 'takeover' }] as const
const engineCall: Call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'value', value: oneCall.input } } }
const never = (): never => {
  throw new Error('it ran')
}

/** A call whose claim was taken from it while it ran, by whatever `meanwhile` does; the answer that its caller gets. */
async function lost(
  meanwhile: (world: ReturnType<typeof engineWorld>, claim: Ownership) => Promise<unknown>,
  own: { attemptsMax?: number } = {},
) {
  const world = engineWorld()
  const process = world.start()
  process.cutOff()
  const options = { bind: 'lease', rerunnable: true, policy: ['standard', { survives: 'nothing', ...own }] } as const
  const charge = process.oncely.operation('charge', options)
  const gate = deferred<string>()
  let record = ''
  const late = charge.engine.execute(
    charge.definition,
    engineCall,
    workOf((context) => {
      record = context.record
      return gate.promise
    }),
  )
  await world.clock.advance(30_001)
  const found = await world.store.read(Buffer.from(record, 'hex'))
  if (found === undefined) throw new Error('no record')
  process.told()
  await meanwhile(world, { id: found.id, token: found.token, attemptId: found.attemptId })
  gate.resolve('late')
  return { answer: await late, told: process.told() }
}

const elsewhere = (world: ReturnType<typeof engineWorld>, own: { attemptsMax?: number } = {}) =>
  world.start().oncely.operation('charge', { bind: 'lease', rerunnable: true, policy: ['standard', { survives: 'nothing', ...own }] })

describe('a caller whose claim was lost is told what stands', () => {
  test('the outcome of the attempt that came after', async () => {
    const { answer, told } = await lost((world) => elsewhere(world).run(oneCall, () => 'theirs'))
    expect(answer).toMatchObject({ status: 'replayed', summary: { attempt: 2 } })
    expect(told).toEqual(['lease-lost 1 lost', 'replayed 0'])
  })

  test('a mismatch, where the record answers another payload by now', async () => {
    const { answer } = await lost(async (world, claim) => {
      await world.store.forget(claim.id, { reason: 'erased' })
      await elsewhere(world).run({ ...oneCall, input: 'another' }, () => 'theirs')
    })
    expect(answer).toMatchObject({ status: 'mismatch' })
  })

  test('that another attempt runs', async () => {
    const { answer } = await lost(async (world) => {
      void elsewhere(world).run(oneCall, () => new Promise(() => {}))
      await world.clock.advance(1)
    })
    expect(answer).toEqual({ status: 'in-progress', retryAfterMs: 1_000, record: expect.any(String) })
  })

  test('that the record is quarantined', async () => {
    const { answer } = await lost((world) => elsewhere(world).run(oneCall, never), { attemptsMax: 1 })
    expect(answer).toMatchObject({ status: 'quarantined', summary: { state: 'quarantined', attempt: 1 } })
  })

  test('doubt, where somebody says that it was not applied, or erased it', async () => {
    const released = await lost((world, claim) => world.store.release(claim, { reason: 'by hand', declared: true }))
    expect(released.answer).toMatchObject({ status: 'uncertain', summary: { state: 'released', attempt: 1 } })
    const erased = await lost((world, claim) => world.store.forget(claim.id, { reason: 'by hand' }))
    expect(erased.answer).toEqual({ status: 'uncertain', summary: undefined, record: expect.any(String) })
  })
})

describe('a handler that stops because it is told to', () => {
  test('by the loss of its lease is no failure of its own: its caller is told what stands', async () => {
    const world = engineWorld()
    const process = world.start()
    process.cutOff()
    const charge = process.oncely.operation('charge', { bind: 'lease', rerunnable: true, policy })
    const stopping = charge.run(
      oneCall,
      ({ signal }) => new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    )
    // Behind the cut link the lease cannot be let go either, so that is given up first.
    await world.clock.advance(40_000)
    expect(await stateOf(stopping)).toMatchObject({ status: 'in-progress' })
  })

  test('by a drain passes the reason on', async () => {
    const world = engineWorld()
    const { oncely } = world.start({ limits: { drainMs: 100 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    const stopping = charge.run(
      oneCall,
      ({ signal }) => new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    )
    const failed = expect(stopping).rejects.toMatchObject({ code: 'ONCELY_DRAINING' })
    await world.clock.advance(1)
    const drained = oncely.drain()
    await world.clock.advance(100)
    await failed
    await drained
  })

  test('by the loss of another lease has failed like with any other error', async () => {
    const { oncely } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    const foreign = new LeaseLost('of another call that this handler makes')
    await expect(charge.run(oneCall, () => Promise.reject(foreign))).rejects.toBe(foreign)
  })
})

describe('a begun attempt that fails', () => {
  test('may be repeated where the policy says so: its lease lapses, and its payload stays compared', async () => {
    for (const own of [{ policy: repeatable }, { policy, rerunnable: true }] as const) {
      const world = engineWorld()
      const { oncely, told } = world.start()
      const charge = oncely.operation('charge', { bind: 'lease', ...own })
      let id = new Uint8Array()
      const failing = charge.run(oneCall, ({ record }) => {
        id = Buffer.from(record, 'hex')
        throw new Error('reset')
      })
      await expect(failing).rejects.toThrow('reset')
      expect(told()).toEqual(['claimed 1', 'released 1 Error'])
      expect(await world.store.read(id)).toMatchObject({ state: 'running', leaseEndMs: world.clock.nowMs() + 1 })
      await world.clock.advance(1)
      expect(await charge.run({ ...oneCall, input: 'another' }, never)).toEqual({ status: 'mismatch' })
      expect(await charge.run(oneCall, ({ attempt }) => attempt)).toMatchObject({ status: 'done', value: 2 })
    }
  })

  test('says so to the caller of a failure, also where the store is away', async () => {
    for (const faults of [[], Array<Fault>(2_000).fill('refused')]) {
      const world = engineWorld()
      const { oncely, faulty } = world.start({ limits: { storeTimeoutMs: 1_000 } })
      const charge = oncely.operation('charge', { bind: 'lease', policy, rerunnable: true })
      faulty.plan('renew', ...faults)
      const failing = charge.engine.execute(
        charge.definition,
        engineCall,
        workOf(() => 503, 'failed'),
      )
      await world.clock.advance(1_000)
      expect(await stateOf(failing)).toMatchObject({ status: 'failed', value: 503, disposition: 'repeatable' })
    }
  })

  test('is sealed without a question where it may not be repeated', async () => {
    const { oncely, faulty } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await expect(charge.run(oneCall, () => Promise.reject(new Error('reset')))).rejects.toThrow('reset')
    expect(faulty.calls).toMatchObject({ claim: 1, seal: 1 })
    expect(faulty.calls.release).toBeUndefined()
  })

  test('whose completion meets a bug of the store lets that pass', async () => {
    const complete = () => Promise.reject(new TypeError('a bug of the store'))
    const { oncely } = engineWorld({ store: (clock) => Object.assign(memoryStore({ clock }), { complete }) }).start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await expect(charge.run(oneCall, () => 1)).rejects.toThrow('a bug of the store')
  })
})
