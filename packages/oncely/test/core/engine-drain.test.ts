import { describe, expect, test } from 'vitest'
import { Draining } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'
import { engineWorld, oneCall, stateOf } from '../support/engine-world.ts'
import { timersOf } from '../support/timer-kind.ts'

const policy = ['standard', { survives: 'nothing' }] as const

/** A process with one call that runs until its gate opens. */
async function running(begin: 'at-claim' | 'explicit' = 'at-claim') {
  const world = engineWorld()
  const process = world.start({ limits: { drainMs: 3_000 } })
  const charge = process.oncely.operation('charge', { bind: 'lease', begin, policy })
  const gate = deferred<string>()
  const signals: AbortSignal[] = []
  let id = new Uint8Array()
  const call = charge.run(oneCall, ({ signal, record }) => {
    signals.push(signal)
    id = Buffer.from(record, 'hex')
    return gate.promise
  })
  await world.clock.advance(1)
  return { ...world, ...process, charge, gate, call, signal: signals[0] as AbortSignal, id }
}

describe('a drain', () => {
  test('of an idle process ends at once and leaves no timer', async () => {
    const { clock, start } = engineWorld()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await charge.run(oneCall, () => 1)
    await charge.run(oneCall, () => 2)
    expect(await stateOf(oncely.drain())).toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  test('waits for what runs, as long as its limit, and does not disturb it before', async () => {
    const { oncely, clock, gate, call, signal } = await running()
    const drained = oncely.drain()
    await clock.advance(2_999)
    expect(await stateOf(drained)).toBe('pending')
    expect(signal.aborted).toBe(false)
    gate.resolve('done in time')
    expect(await call).toMatchObject({ status: 'done' })
    expect(await stateOf(drained)).toBeUndefined()
    expect(signal.aborted).toBe(false)
  })

  test('waits for the last of several calls', async () => {
    const { oncely, charge, clock, gate, call } = await running()
    const last = deferred<string>()
    const other = charge.run({ ...oneCall, key: 'k2' }, () => last.promise)
    await clock.advance(1)
    const drained = oncely.drain()
    gate.resolve('one')
    await call
    expect(await stateOf(drained)).toBe('pending')
    last.resolve('two')
    await other
    expect(await stateOf(drained)).toBeUndefined()
  })

  test('tells what still runs to stop, and settles its record for the next process', async () => {
    for (const [begin, state] of [
      ['at-claim', 'uncertain'],
      ['explicit', 'released'],
    ] as const) {
      const { oncely, clock, store, gate, call, signal, id } = await running(begin)
      const drained = oncely.drain()
      await clock.advance(3_000)
      await drained
      expect(signal.reason).toBeInstanceOf(Draining)
      expect(await store.read(id)).toMatchObject({ state })
      expect(await store.trail(id)).toContainEqual(expect.objectContaining({ event: state, reason: 'the process was shut down' }))
      gate.resolve('late')
      await call
    }
  })

  test('ends for every caller that asked for it', async () => {
    const { oncely, gate, call } = await running()
    const drains = [oncely.drain(), oncely.drain()]
    gate.resolve('one')
    await call
    expect(await Promise.all(drains)).toEqual([undefined, undefined])
  })

  test('leaves alone what has ended before', async () => {
    const { oncely, store, gate, call, id } = await running()
    gate.resolve('one')
    await call
    await oncely.drain()
    expect(await store.read(id)).toMatchObject({ state: 'completed' })
  })

  test('writes what was counted', async () => {
    const { oncely, store, gate, call, charge, id } = await running()
    await charge.run(oneCall, () => 2)
    gate.resolve('one')
    await call
    await oncely.drain()
    expect(await store.trail(id)).toContainEqual(expect.objectContaining({ reason: 'in-progress', count: 1 }))
  })

  test('stops the sweeper', async () => {
    const { clock, start } = engineWorld()
    const { oncely, faulty } = start()
    await oncely.open()
    const timers = timersOf(clock)
    await oncely.start({ sweeper: true })
    await clock.advance(60_000)
    expect(faulty.calls.sweep).toBe(1)
    // They keep no process alive.
    expect(timers).toEqual(['60000 background', '60000 background'])
    await oncely.drain()
    await clock.advance(600_000)
    expect(faulty.calls.sweep).toBe(1)
    expect(clock.pending).toBe(0)
  })
})
