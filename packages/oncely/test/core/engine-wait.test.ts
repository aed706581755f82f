import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import type { ClaimRequest } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'
import { engineWorld, oneCall, stateOf } from '../support/engine-world.ts'

const reject = ['standard', { survives: 'nothing' }] as const
const waiting = ['standard', { survives: 'nothing', onConcurrent: 'wait', wait: '2s' }] as const
const other = { ...oneCall, input: { amount: 6 } }
const never = (): never => {
  throw new Error('it ran')
}

/** One process whose first call runs until its gate opens. */
function running(policy: typeof reject | typeof waiting, limits: Record<string, number> = {}) {
  const world = engineWorld()
  const process = world.start({ limits })
  const charge = process.oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy })
  const gate = deferred<string>()
  const leader = charge.run(oneCall, () => gate.promise)
  return { ...world, ...process, charge, gate, leader }
}

/** One process whose first claim is not answered until it is thawed. */
async function claiming(policy: typeof reject | typeof waiting) {
  const world = engineWorld()
  const process = world.start()
  const charge = process.oncely.operation('charge', { bind: 'lease', policy })
  await process.oncely.open()
  process.faulty.plan('claim', 'slow')
  const leader = charge.run(oneCall, () => 'one')
  await world.clock.advance(1)
  return { ...world, ...process, charge, leader }
}

describe('while the first call asks the store', () => {
  test('a duplicate waits for its word, and asks nothing itself', async () => {
    const { charge, leader, faulty } = await claiming(reject)
    const follower = charge.run(oneCall, never)
    expect(await stateOf(follower)).toBe('pending')
    faulty.thaw()
    expect(await leader).toMatchObject({ status: 'done', value: 'one' })
    expect((await follower).status).toMatch(/^(in-progress|replayed)$/)
    expect(faulty.calls.claim).toBe(1)
  })

  test('a duplicate gets the word of its refusal', async () => {
    const world = engineWorld()
    await expect(
      world
        .start()
        .oncely.operation('charge', { bind: 'lease', policy: reject })
        .run(oneCall, () => Promise.reject(new Error('reset'))),
    ).rejects.toThrow('reset')
    const { oncely, faulty, told } = world.start()
    const charge = oncely.operation('charge', { bind: 'lease', policy: reject })
    await oncely.open()
    faulty.plan('claim', 'slow')
    const calls = [charge.run(oneCall, never), charge.run(oneCall, never)]
    await world.clock.advance(1)
    faulty.thaw()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(['uncertain', 'uncertain'])
    expect(faulty.calls.claim).toBe(1)
    expect(told()).toEqual(['uncertain 0', 'uncertain 0'])
  })

  test('another payload asks for itself when the first is refused, unless the store is away', async () => {
    const world = engineWorld()
    await world
      .start()
      .oncely.operation('charge', { bind: 'lease', policy: reject })
      .run(oneCall, () => 'one')
    for (const [fault, words, claims] of [
      ['slow', ['mismatch', 'replayed'], 2],
      ['refused', ['unavailable', 'unavailable'], 1],
    ] as const) {
      const { oncely, faulty } = world.start()
      const charge = oncely.operation('charge', { bind: 'lease', policy: reject })
      await oncely.open()
      faulty.plan('claim', fault)
      const calls = [charge.run(other, never), charge.run(oneCall, never)]
      await world.clock.advance(1)
      faulty.thaw()
      expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(words)
      expect(faulty.calls.claim).toBe(claims)
    }
  })

  test('another payload never gets the outcome that the first call is told', async () => {
    const world = engineWorld()
    await world
      .start()
      .oncely.operation('charge', { bind: 'lease', policy: reject })
      .run(oneCall, () => 'one')
    const { oncely, faulty } = world.start()
    const charge = oncely.operation('charge', { bind: 'lease', policy: reject })
    await oncely.open()
    faulty.plan('claim', 'slow')
    const calls = [charge.run(oneCall, never), charge.run(other, never)]
    await world.clock.advance(1)
    faulty.thaw()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(['replayed', 'mismatch'])
  })

  test('another payload that waited for it asks the store once the first call runs', async () => {
    const { charge, leader, faulty } = await claiming(reject)
    const follower = charge.run(other, never)
    expect(await stateOf(follower)).toBe('pending')
    faulty.thaw()
    expect(await follower).toEqual({ status: 'mismatch' })
    await leader
  })

  test('a mismatch is asked for once more, because the record may be another one by then, and shared after that', async () => {
    const world = engineWorld()
    await world
      .start()
      .oncely.operation('charge', { bind: 'lease', policy: reject })
      .run(oneCall, () => 'one')
    const { oncely, faulty } = world.start()
    const charge = oncely.operation('charge', { bind: 'lease', policy: reject })
    await oncely.open()
    faulty.plan('claim', 'slow', 'slow')
    const calls = Array.from({ length: 10 }, () => charge.run(other, never))
    await world.clock.advance(1)
    faulty.thaw()
    await world.clock.advance(1)
    faulty.thaw()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(Array(10).fill('mismatch'))
    expect(faulty.calls.claim).toBe(2)
  })

  test('a store that does not answer is unavailable for the first call and its duplicate alike', async () => {
    const { clock, start } = engineWorld()
    const { oncely, faulty } = start({ limits: { storeTimeoutMs: 1_000 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy: reject })
    await oncely.open()
    faulty.plan('claim', ...Array<'hangs'>(100).fill('hangs'))
    const calls = Promise.all([charge.run(oneCall, never), charge.run(oneCall, never)])
    await clock.advance(1_000)
    expect((await calls).map(({ status }) => status)).toEqual(['unavailable', 'unavailable'])
  })

  test('a duplicate is let go when the process drains', async () => {
    const { charge, leader, faulty, oncely, clock } = await claiming(reject)
    const follower = charge.run(oneCall, never)
    await clock.advance(1)
    const drained = oncely.drain()
    expect(await follower).toEqual({ status: 'in-progress', retryAfterMs: 1_000 })
    faulty.thaw()
    await leader
    await drained
  })
})

describe('while the first call runs', () => {
  test('a duplicate learns when its lease ends, renewals included', async () => {
    const { charge, clock, gate, leader } = running(reject)
    await clock.advance(4_000)
    expect(await charge.run(oneCall, never)).toEqual({ status: 'in-progress', retryAfterMs: 26_000 })
    await clock.advance(6_000)
    expect(await charge.run(oneCall, never)).toEqual({ status: 'in-progress', retryAfterMs: 30_000 })
    gate.resolve('one')
    await leader
  })

  test('another payload is a mismatch at once, whatever the policy', async () => {
    const { charge, clock, gate, leader, told } = running(waiting)
    await clock.advance(1)
    told()
    expect(await charge.run(other, never)).toEqual({ status: 'mismatch' })
    expect(told()).toEqual(['mismatch 0'])
    gate.resolve('one')
    await leader
  })

  test('another payload is asked for in the store also where that cannot look into transactions: a lease is always visible', async () => {
    const capabilities = { transactional: false, clock: 'process', shared: false, seesOpenTransactions: false } as const
    const world = engineWorld({ store: (clock) => Object.assign(memoryStore({ clock }), { capabilities }) })
    const { oncely } = world.start()
    const charge = oncely.operation('charge', { bind: 'lease', policy: reject })
    const gate = deferred<string>()
    let id = new Uint8Array()
    const erased = charge.run(oneCall, ({ record }) => {
      id = Buffer.from(record, 'hex')
      return gate.promise
    })
    await stateOf(erased)
    await oncely.forget(id, 'asked for')
    expect(await charge.run(other, () => 'new')).toMatchObject({ status: 'done', value: 'new' })
    gate.resolve('late')
    expect(await erased).toEqual({ status: 'mismatch' })
  })

  test('a waiting duplicate gets the outcome as soon as it is there', async () => {
    const { charge, clock, gate, leader, faulty } = running(waiting)
    await clock.advance(1)
    const follower = charge.run(oneCall, never)
    await clock.advance(1_999)
    expect(await stateOf(follower)).toBe('pending')
    gate.resolve('one')
    await leader
    expect(await follower).toEqual({ status: 'replayed', value: 'one' })
    expect(faulty.calls.claim).toBe(1)
    expect(clock.pending).toBe(1)
  })

  test('a waiting duplicate is told in-progress when its wait is over', async () => {
    const { charge, clock, gate, leader } = running(waiting)
    await clock.advance(1)
    const follower = charge.run(oneCall, never)
    await clock.advance(1_999)
    expect(await stateOf(follower)).toBe('pending')
    await clock.advance(1)
    expect(await stateOf(follower)).toEqual({ status: 'in-progress', retryAfterMs: 27_999 })
    gate.resolve('one')
    await leader
  })

  test('a wait counts from the arrival of the duplicate, not from each run that it waits for', async () => {
    const { charge, clock, gate, leader } = running(waiting)
    await clock.advance(1)
    const second = deferred<string>()
    const next = charge.run(oneCall, () => second.promise)
    const last = charge.run(oneCall, never)
    await clock.advance(1_500)
    gate.reject(new Error('released'))
    await expect(leader).rejects.toThrow('released')
    await clock.advance(499)
    expect(await stateOf(last)).toBe('pending')
    await clock.advance(1)
    expect(await stateOf(last)).toMatchObject({ status: 'in-progress' })
    second.resolve('two')
    expect(await next).toMatchObject({ status: 'done', value: 'two', attempt: 2 })
  })

  test('waiters beyond the limit are told in-progress at once', async () => {
    const { charge, clock, gate, leader } = running(waiting, { waitersMax: 2 })
    await clock.advance(1)
    const followers = [charge.run(oneCall, never), charge.run(oneCall, never), charge.run(oneCall, never)]
    expect(await stateOf(followers[2] as Promise<unknown>)).toMatchObject({ status: 'in-progress' })
    expect(await stateOf(followers[1] as Promise<unknown>)).toBe('pending')
    gate.resolve('one')
    await leader
    expect((await Promise.all(followers)).map(({ status }) => status)).toEqual(['replayed', 'replayed', 'in-progress'])
  })

  test('a duplicate that does not wait is told at once, however long the policy would let it', async () => {
    const { charge, clock, gate, leader } = running(reject)
    await clock.advance(1)
    expect(await stateOf(charge.run(oneCall, never))).toMatchObject({ status: 'in-progress' })
    gate.resolve('one')
    await leader
  })
})

describe('while another process runs the call', () => {
  /** A waiting duplicate in a second process, and the times of its claims. */
  async function polling(limits: Record<string, number> = {}, fraction = 0) {
    const times: number[] = []
    const world = engineWorld({
      fraction,
      store: (clock) => {
        const store = memoryStore({ clock })
        const claim = store.claim.bind(store)
        return Object.assign(store, {
          claim: (request: ClaimRequest) => {
            times.push(clock.monotonicMs())
            return claim(request)
          },
        })
      },
    })
    const [a, b] = [world.start(), world.start({ limits })]
    const gate = deferred<string>()
    const running = a.oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy: waiting }).run(oneCall, () => gate.promise)
    await stateOf(running)
    times.length = 0
    const charge = b.oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy: waiting })
    return { ...world, b, gate, running, charge, times }
  }

  test('a waiting duplicate asks again after pauses that double up to half a second, until its wait is over', async () => {
    const { clock, charge, times, gate, running } = await polling()
    const follower = charge.run(oneCall, never)
    await clock.advance(1_999)
    expect(await stateOf(follower)).toBe('pending')
    // Half of 25, 50, 100 … 500 ms each; the last pause ends with the wait.
    await clock.advance(1)
    expect(await follower).toEqual({ status: 'in-progress', retryAfterMs: 28_000 })
    expect(times).toEqual([0, 12.5, 37.5, 87.5, 187.5, 387.5, 637.5, 887.5, 1_137.5, 1_387.5, 1_637.5, 1_887.5, 2_000])
    gate.resolve('one')
    await running
  })

  test('its pauses are random up to twice that, so that a crowd does not ask all at once', async () => {
    const { clock, charge, times, gate, running } = await polling({}, 1)
    const follower = charge.run(oneCall, never)
    await clock.advance(200)
    expect(times).toEqual([0, 25, 75, 175])
    gate.resolve('one')
    await running
    await clock.advance(200)
    expect(await follower).toMatchObject({ status: 'replayed' })
  })

  test('a waiting duplicate gets the outcome, or runs when the key is free again', async () => {
    for (const [end, result] of [
      ['resolve', { status: 'replayed', value: 'one' }],
      ['reject', { status: 'done', value: 'two', attempt: 2 }],
    ] as const) {
      const { clock, charge, gate, running } = await polling()
      const follower = charge.run(oneCall, () => 'two')
      await clock.advance(100)
      if (end === 'resolve') gate.resolve('one')
      else gate.reject(new Error('released'))
      await running.catch(() => {})
      await clock.advance(200)
      expect(await stateOf(follower)).toEqual(result)
    }
  })

  test('a wait ends when the process drains', async () => {
    const { clock, charge, b, gate, running } = await polling()
    const follower = charge.run(oneCall, never)
    await clock.advance(100)
    const drained = b.oncely.drain()
    expect(await stateOf(follower)).toMatchObject({ status: 'in-progress' })
    await drained
    gate.resolve('one')
    await running
  })

  test('nobody waits beyond the limit of waiters', async () => {
    const { charge, times, gate, running } = await polling({ waitersMax: 0 })
    expect(await stateOf(charge.run(oneCall, never))).toMatchObject({ status: 'in-progress' })
    expect(times).toHaveLength(1)
    gate.resolve('one')
    await running
  })
})
