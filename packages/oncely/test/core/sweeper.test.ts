import { describe, expect, test } from 'vitest'
import { Sweeper } from '../../src/core/sweeper.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { deferred } from '../support/deferred.ts'
import { engineWorld } from '../support/engine-world.ts'

/** A sweeper whose batches remove these numbers, one after the other, and then nothing; an error is thrown. */
function sweeping(...batches: (number | Error | Promise<number>)[]) {
  const clock = new ManualClock()
  const sizes: number[] = []
  const sweeper = new Sweeper(clock, async (batchMax) => {
    sizes.push(batchMax)
    const batch = await (batches.shift() ?? 0)
    if (batch instanceof Error) throw batch
    return { removed: batch }
  })
  sweeper.start(60_000, 100)
  return { clock, sizes, sweeper }
}

describe('the sweeper', () => {
  test('says what it has done', async () => {
    const { clock, sweeper } = sweeping(100, 100, 7)
    expect(sweeper.progress).toMatchObject({ state: 'waiting', rounds: 0, batches: 0, removed: 0, lastBatchAtMs: 0 })
    await clock.advance(60_000)
    expect(sweeper.progress).toMatchObject({ state: 'waiting', rounds: 1, batches: 3, removed: 207, lastBatchAtMs: clock.nowMs() })
  })

  test('begins nothing while it is paused, and goes on at once when it is resumed', async () => {
    const { clock, sizes, sweeper } = sweeping(100, 100, 100)
    await sweeper.pause()
    await clock.advance(600_000)
    expect([sizes, sweeper.progress.state]).toEqual([[], 'paused'])
    sweeper.resume()
    await clock.advance(0)
    expect([sizes.length, sweeper.progress]).toMatchObject([4, { state: 'waiting', removed: 300, rounds: 1 }])
  })

  test('paused inside a round, it finishes the batch that runs and no other', async () => {
    const batch = deferred<number>()
    const { clock, sizes, sweeper } = sweeping(batch.promise, 100)
    await clock.advance(60_000)
    expect(sweeper.progress.state).toBe('sweeping')
    let paused = false
    const pausing = sweeper.pause().then(() => {
      paused = true
    })
    await clock.advance(60_000)
    expect(paused).toBe(false)
    batch.resolve(100)
    await pausing
    await clock.advance(600_000)
    expect([sizes.length, sweeper.progress]).toMatchObject([1, { state: 'paused', batches: 1, removed: 100, rounds: 0 }])
  })

  test('paused and resumed during one batch, it still runs one batch at a time', async () => {
    const batch = deferred<number>()
    const { clock, sizes, sweeper } = sweeping(batch.promise)
    await clock.advance(60_000)
    void sweeper.pause()
    sweeper.resume()
    sweeper.resume()
    await clock.advance(1_000)
    expect(sizes.length).toBe(1)
    batch.resolve(3)
    await clock.advance(0)
    expect([sizes.length, sweeper.progress.removed]).toEqual([2, 3])
  })

  test('outlives a failure, tells it, and begins anew with the next round', async () => {
    const { clock, sweeper } = sweeping(new Error('the server is away'), 5)
    await clock.advance(60_000)
    expect(sweeper.progress).toMatchObject({ failures: 1, lastError: new Error('the server is away') })
    await clock.advance(60_000)
    expect(sweeper.progress).toMatchObject({ failures: 1, removed: 5, lastError: undefined })
  })

  test('stopped, it neither waits nor is resumed; started twice, it is one', async () => {
    const { clock, sizes, sweeper } = sweeping()
    sweeper.start(1, 1)
    await clock.advance(60_000)
    expect(sizes).toEqual([100])
    sweeper.stop()
    await sweeper.pause()
    sweeper.resume()
    await clock.advance(600_000)
    expect([sizes, sweeper.progress.state]).toEqual([[100], 'stopped'])
  })
})

test('an instance has one, off the request path, with batches of the size that was asked for', async () => {
  const { start, clock } = engineWorld()
  const { oncely, faulty } = start()
  expect(oncely.sweeper.progress.state).toBe('stopped')
  await oncely.start({ sweeper: true, sweepBatchMax: 10 })
  await oncely.sweeper.pause()
  await clock.advance(600_000)
  expect(faulty.calls['sweep']).toBeUndefined()
  oncely.sweeper.resume()
  await clock.advance(0)
  expect([faulty.calls['sweep'], oncely.sweeper.progress.rounds]).toEqual([1, 1])
  await expect(start().oncely.start({ sweeper: true, sweepBatchMax: 5_001 })).rejects.toThrow(/sweepBatchMax is 5001/)
  await expect(start().oncely.start({ sweeper: true, sweepEveryMs: 0 })).rejects.toThrow(/sweepEveryMs is 0/)
})
