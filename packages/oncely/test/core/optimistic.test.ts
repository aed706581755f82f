import { ConfigurationError, expectVersion, TransactionConflict } from 'oncely'
import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { type OptimisticOptions, retryOptimistic } from '../../src/core/index.ts'

/** Runs a transaction that fails with the given errors, one an attempt, then succeeds; answers when each attempt began. */
async function attempts(errors: readonly unknown[], options: OptimisticOptions = {}): Promise<{ atMs: number[]; ended: unknown }> {
  const clock = new ManualClock()
  const random = { uuid: () => '', fraction: () => 0.5 }
  const atMs: number[] = []
  const running = retryOptimistic(
    { clock, random },
    async (attempt) => {
      atMs.push(clock.monotonicMs())
      expect(attempt).toBe(atMs.length)
      if (attempt <= errors.length) throw errors[attempt - 1]
      return 'done'
    },
    options,
  ).catch((error: unknown) => error)
  await clock.advance(60_000)
  return { atMs, ended: await running }
}

const conflict = (): TransactionConflict => new TransactionConflict('moved')

describe('optimistic', () => {
  test('runs once when nothing conflicts', async () => {
    expect(await attempts([])).toEqual({ atMs: [0], ended: 'done' })
  })

  test('runs again after conflicts, with pauses that double', async () => {
    expect(await attempts([conflict(), conflict(), conflict()])).toEqual({ atMs: [0, 5, 15, 35], ended: 'done' })
  })

  test('pauses a second at most', async () => {
    const { atMs } = await attempts([conflict(), conflict(), conflict()], { pauseMs: 1_000 })
    expect(atMs).toEqual([0, 500, 1_000, 1_500])
  })

  test('throws the last conflict after its bound', async () => {
    const errors = [conflict(), conflict(), conflict()]
    const { atMs, ended } = await attempts(errors, { attemptsMax: 2 })
    expect(atMs).toHaveLength(2)
    expect(ended).toBe(errors[1])
  })

  test('throws every other error at once', async () => {
    const error = new Error('a bug')
    expect(await attempts([error])).toEqual({ atMs: [0], ended: error })
  })

  test('runs again after an error that the caller calls a conflict', async () => {
    const isConflict = (error: unknown): boolean => (error as { code?: unknown }).code === '40001'
    const { atMs, ended } = await attempts([Object.assign(new Error('serialization'), { code: '40001' })], { isConflict })
    expect({ runs: atMs.length, ended }).toEqual({ runs: 2, ended: 'done' })
  })

  test.each([{ attemptsMax: 0 }, { attemptsMax: 101 }, { pauseMs: -1 }, { pauseMs: 1_001 }])(
    'refuses %j and runs nothing',
    async (wrong) => {
      const { atMs, ended } = await attempts([], wrong)
      expect(atMs).toEqual([])
      expect(ended).toBeInstanceOf(ConfigurationError)
    },
  )
})

describe('expectVersion', () => {
  test('accepts one row', () => {
    expect(expectVersion(1)).toBeUndefined()
  })

  test('calls none a conflict, and several or an unknown number a mistake', () => {
    expect(() => expectVersion(0)).toThrow(TransactionConflict)
    expect(() => expectVersion(2)).toThrow(ConfigurationError)
    expect(() => expectVersion(null)).toThrow(ConfigurationError)
  })
})
