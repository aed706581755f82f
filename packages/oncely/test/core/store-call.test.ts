import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../src/core/errors.ts'
import { bounded, insist } from '../../src/core/store-call.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { deferred } from '../support/deferred.ts'

const outage = (applied: 'no' | 'unknown' = 'unknown') => new StoreUnavailable('planned', { applied })
const never = () => new Promise<never>(() => {})

/** A clock, and a source of fractions that always gives this one. */
function setUp(fraction = 0) {
  const clock = new ManualClock()
  return { clock, parts: { clock, random: { uuid: () => 'id', fraction: () => fraction } } }
}

/** A call that fails this often before it answers, with the times at which it was made. */
function failing(clock: ManualClock, failures: number, error: () => Error = outage) {
  const times: number[] = []
  const call = async (): Promise<string> => {
    times.push(clock.monotonicMs())
    if (times.length <= failures) throw error()
    return 'answer'
  }
  return { call, times }
}

/** Lets the promise settle while time passes, a millisecond at a time. */
async function outcomeOf<T>(clock: ManualClock, promise: Promise<T>): Promise<{ value: T | unknown; atMs: number }> {
  let ended: { value: T | unknown; atMs: number } | undefined
  const end = (value: T | unknown): void => {
    ended = { value, atMs: clock.monotonicMs() }
  }
  promise.then(end, end)
  for (let tick = 0; ended === undefined; tick++) {
    if (tick > 10_000) throw new Error('it never settled')
    await clock.advance(1)
  }
  return ended
}

describe('a bounded call', () => {
  test('gives the answer that comes in time, and leaves no timer', async () => {
    const { clock } = setUp()
    expect(await bounded(clock, 100, 'a read', async () => 7)).toBe(7)
    expect(clock.pending).toBe(0)
  })

  test('lets the error of the store pass', async () => {
    await expect(bounded(setUp().clock, 100, 'a read', () => Promise.reject(new TypeError('broken')))).rejects.toThrow(TypeError)
  })

  test('that is not answered in time is unavailable, and nobody knows whether it happened', async () => {
    const { clock } = setUp()
    const call = bounded(clock, 99.6, 'a read', never)
    const failed = expect(call).rejects.toMatchObject({
      code: 'ONCELY_STORE_UNAVAILABLE',
      applied: 'unknown',
      message: expect.stringMatching(/a read within 100 ms/),
    })
    await clock.advance(100)
    await failed
  })
})

describe('a repeated call', () => {
  test('is made once when it is answered', async () => {
    const { clock, parts } = setUp()
    const { call, times } = failing(clock, 0)
    expect(await insist(parts, 1_000, 'a claim', call)).toBe('answer')
    expect(times).toEqual([0])
  })

  test('is made again after pauses that double up to a second, from half of each to the whole', async () => {
    const shortest = setUp(0)
    const least = failing(shortest.clock, 8)
    expect(await outcomeOf(shortest.clock, insist(shortest.parts, 60_000, 'a claim', least.call))).toMatchObject({ value: 'answer' })
    expect(least.times.map((time, nth) => time - (least.times[nth - 1] ?? 0))).toEqual([0, 10, 20, 40, 80, 160, 320, 500, 500])

    const longest = setUp(1)
    const most = failing(longest.clock, 2)
    await outcomeOf(longest.clock, insist(longest.parts, 60_000, 'a claim', most.call))
    expect(most.times).toEqual([0, 20, 60])
  })

  test('gives up before its limit, with the error of the last try', async () => {
    const { clock, parts } = setUp()
    const { call, times } = failing(clock, 100)
    const { value, atMs } = await outcomeOf(clock, insist(parts, 100, 'a claim', call))
    expect(value).toBeInstanceOf(StoreUnavailable)
    // Pauses of 10, 20 and 40 ms; the next of 80 would end after the limit.
    expect(times).toEqual([0, 10, 30, 70])
    expect(atMs).toBeLessThanOrEqual(71)
  })

  test('makes no try that would have no time left to be answered', async () => {
    for (const [limitMs, tries] of [
      [11, 1],
      [12, 2],
    ] as const) {
      const { clock, parts } = setUp()
      const { call, times } = failing(clock, 100)
      await outcomeOf(clock, insist(parts, limitMs, 'a claim', call))
      expect(times).toHaveLength(tries)
    }
  })

  test('waits for one answer half of the time that is left, so that a lost one leaves time to ask again', async () => {
    const { clock, parts } = setUp()
    const times: number[] = []
    const call = (): Promise<never> => {
      times.push(clock.monotonicMs())
      return never()
    }
    const { value, atMs } = await outcomeOf(clock, insist(parts, 1_000, 'a claim', call))
    expect(value).toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'unknown' })
    // 500 ms for the first, a pause of 10, then half of the 490 left, and so on.
    expect(times.slice(0, 3)).toEqual([0, 510, 775])
    expect(atMs).toBeLessThanOrEqual(1_000)
  })

  test('is not made again after an error that is no outage', async () => {
    const { clock, parts } = setUp()
    const { call, times } = failing(clock, 100, () => new TypeError('a bug'))
    await expect(insist(parts, 1_000, 'a claim', call)).rejects.toThrow('a bug')
    expect(times).toEqual([0])
  })

  test('is not made again after an outage that its caller gives up on', async () => {
    const { clock, parts } = setUp()
    const refused = failing(clock, 100, () => outage('no'))
    await expect(insist(parts, 1_000, 'a claim', refused.call, (error) => error.applied === 'no')).rejects.toMatchObject({ applied: 'no' })
    expect(refused.times).toHaveLength(1)
    const lost = failing(clock, 1)
    const repeated = insist(parts, 1_000, 'a claim', lost.call, (error) => error.applied === 'no')
    expect(await outcomeOf(clock, repeated)).toMatchObject({ value: 'answer' })
    expect(lost.times).toHaveLength(2)
  })

  test('takes a late answer of an earlier try for nothing', async () => {
    const { clock, parts } = setUp()
    const slow = deferred<string>()
    const answers = [slow.promise, Promise.resolve('second')]
    const result = insist(parts, 1_000, 'a claim', () => answers.shift() ?? never())
    await clock.advance(505)
    slow.resolve('first')
    await clock.advance(10)
    expect(await result).toBe('second')
  })
})
