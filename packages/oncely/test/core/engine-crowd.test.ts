import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { deferred } from '../support/deferred.ts'
import { faultStore } from '../support/fault-store.ts'
import { call, down, relaxed, setUp } from '../support/lease-instance.ts'

describe('a crowd in one process', () => {
  test('duplicates of a running call answer in-progress without asking the store; another payload asks it', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const gate = deferred()
    const leader = charge.run(call, () => gate.promise.then(() => 1))
    const followers = await Promise.all(Array.from({ length: 20 }, () => charge.run(call, () => 2)))
    expect(followers.every((result) => result.status === 'in-progress' && result.retryAfterMs > 0)).toBe(true)
    expect(faulty.calls.claim).toBe(1)
    expect(await charge.run({ ...call, input: { amount: 6 } }, () => 3)).toEqual({ status: 'mismatch' })
    expect(faulty.calls.claim).toBe(2)
    gate.resolve()
    expect(await leader).toMatchObject({ status: 'done' })
    expect(faulty.calls.claim).toBe(2)
  })

  test('waiting duplicates get the leader outcome from one claim', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', { ...relaxed, onConcurrent: 'wait' }] })
    const gate = deferred()
    const leader = charge.run(call, () => gate.promise.then(() => 'one'))
    const followers = Array.from({ length: 20 }, () => charge.run(call, () => 'two'))
    await expect.poll(() => faulty.calls.claim).toBe(1)
    gate.resolve()
    expect(await leader).toMatchObject({ status: 'done', value: 'one' })
    expect(await Promise.all(followers)).toEqual(Array.from({ length: 20 }, () => ({ status: 'replayed', value: 'one' })))
    expect(faulty.calls.claim).toBe(1)
  })

  test('after a release one waiting duplicate runs, and the others get its outcome', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', {
      bind: 'lease',
      begin: 'explicit',
      policy: ['standard', { ...relaxed, onConcurrent: 'wait' }],
    })
    const gate = deferred()
    let runs = 0
    const leader = charge.run(call, () => gate.promise)
    const followers = Array.from({ length: 10 }, () =>
      charge.run(call, async ({ begin }) => {
        await begin()
        return ++runs
      }),
    )
    gate.reject(new Error('before begin'))
    await expect(leader).rejects.toThrow('before begin')
    const results = await Promise.all(followers)
    expect(runs).toBe(1)
    expect(results.filter((result) => result.status === 'done')).toHaveLength(1)
    expect(results.filter((result) => result.status === 'replayed')).toHaveLength(9)
  })

  test('a follower never gets the exception of its leader', async () => {
    const faulty = faultStore(memoryStore(), down)
    const { oncely } = setUp({ store: faulty.store })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const gate = deferred()
    const leader = charge.run(call, () => gate.promise)
    const follower = charge.run(call, () => 2)
    expect(await follower).toMatchObject({ status: 'in-progress' })
    gate.reject(new Error('mine alone'))
    await expect(leader).rejects.toThrow('mine alone')
  })

  test('each follower is authorised itself before it replays', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['financial', { ...relaxed, onConcurrent: 'wait' }] })
    const gate = deferred()
    const leader = charge.run({ ...call, actor: 'alice' }, () => gate.promise.then(() => 1))
    const other = charge.run({ ...call, actor: 'bob' }, () => 2)
    const refused = charge.run({ ...call, actor: 'alice', authorizeReplay: () => false }, () => 2)
    const same = charge.run({ ...call, actor: 'alice', authorizeReplay: async (record) => record.state === 'completed' }, () => 2)
    gate.resolve()
    await leader
    expect(await other).toEqual({ status: 'forbidden' })
    expect(await refused).toEqual({ status: 'forbidden' })
    expect(await same).toEqual({ status: 'replayed', value: 1 })
  })

  test('waiters are bounded in number and in time', async () => {
    const { oncely } = setUp({ limits: { waitersMax: 1 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', { ...relaxed, onConcurrent: 'wait', wait: 40 }] })
    const gate = deferred()
    const leader = charge.run(call, () => gate.promise.then(() => 1))
    await charge.run({ ...call, key: 'other' }, () => 0)
    const first = charge.run(call, () => 2)
    const second = charge.run(call, () => 2)
    expect(await second).toMatchObject({ status: 'in-progress' })
    expect(await first).toMatchObject({ status: 'in-progress' })
    gate.resolve()
    await leader
  })

  test('two processes: a waiting duplicate polls until the other process has the outcome', async () => {
    const store = memoryStore()
    const a = setUp({ store }).oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const b = setUp({ store }).oncely.operation('charge', { bind: 'lease', policy: ['standard', { ...relaxed, onConcurrent: 'wait' }] })
    const gate = deferred()
    const leader = a.run(call, () => gate.promise.then(() => 'a'))
    const waiter = b.run(call, () => 'b')
    gate.resolve()
    await leader
    expect(await waiter).toEqual({ status: 'replayed', value: 'a' })
  })
})

describe('adoption and shutdown', () => {
  test('observe changes no answer and reports what would have been refused', async () => {
    const { oncely, events } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', phase: 'observe' })
    let runs = 0
    const key = { ...call, key: 'watched' }
    expect(await charge.run(key, ({ deriveKey }) => [++runs, deriveKey('psp').length])).toEqual({ status: 'unprotected', value: [1, 40] })
    await expect.poll(() => events.filter((event) => event.type === 'observed').map((event) => event.reason)).toEqual(['first'])
    expect(await charge.run(key, () => ++runs)).toEqual({ status: 'unprotected', value: 2 })
    expect(await charge.run({ ...key, input: 'other' }, () => ++runs)).toEqual({ status: 'unprotected', value: 3 })
    await expect
      .poll(() => events.filter((event) => event.type === 'observed').map((event) => event.reason))
      .toEqual(['first', 'replay', 'mismatch'])
  })

  test('drain takes nothing new, lets what runs finish, and ends waits', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', { ...relaxed, onConcurrent: 'wait', wait: 5_000 }] })
    const gate = deferred()
    const running = charge.run(call, () => gate.promise.then(() => 1))
    const waiting = charge.run(call, () => 2)
    await charge.run({ ...call, key: 'other' }, () => 0)
    const drained = oncely.drain()
    expect(await waiting).toMatchObject({ status: 'in-progress' })
    expect(await charge.run({ ...call, key: 'late' }, () => 1)).toMatchObject({ status: 'unavailable', reason: 'draining' })
    gate.resolve()
    expect(await running).toMatchObject({ status: 'done' })
    await drained
  })

  test('drain is bounded: what does not finish is told to stop, and its record is sealed', async () => {
    const { oncely } = setUp({ limits: { drainMs: 20 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const gate = deferred()
    const started = deferred()
    const stopped = deferred<string>()
    const running = charge.run(call, async ({ signal, record }) => {
      signal.addEventListener('abort', () => stopped.resolve(record))
      started.resolve()
      await gate.promise
      return 'late'
    })
    await started.promise
    await oncely.drain()
    const id = Buffer.from(await stopped.promise, 'hex')
    expect(await oncely.read(id)).toMatchObject({ state: 'uncertain' })
    gate.resolve()
    expect(await running).toMatchObject({ status: 'done', value: 'late' })
    expect(await oncely.read(id)).toMatchObject({ state: 'completed' })
  })

  test('more running calls than the limit are refused, not queued', async () => {
    const { oncely } = setUp({ limits: { runningMax: 1 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    const gate = deferred()
    const running = charge.run(call, () => gate.promise)
    expect(await charge.run({ ...call, key: 'k2' }, () => 1)).toMatchObject({ status: 'unavailable', reason: 'running-max' })
    gate.resolve()
    await running
  })

  test('the trail names the attempts and counts the duplicates', async () => {
    const { oncely } = setUp()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', relaxed] })
    let id = ''
    await charge.run({ ...call, traceId: 'trace-1' }, ({ record }) => {
      id = record
    })
    await charge.run(call, () => 1)
    await charge.run(call, () => 1)
    const trail = await oncely.trail(Buffer.from(id, 'hex'))
    expect(trail.map(({ event, count, traceId }) => ({ event, count, traceId }))).toEqual(
      expect.arrayContaining([
        { event: 'claimed', count: 0, traceId: 'trace-1' },
        { event: 'completed', count: 0, traceId: '' },
        { event: 'duplicates', count: 2, traceId: '' },
      ]),
    )
  })
})
