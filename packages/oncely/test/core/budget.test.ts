import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { type BudgetAnswer, type BudgetCounter, ConfigurationError, checkBudget, ProcessBudget } from '../../src/core/index.ts'
import { engineWorld, oneCall, stateOf } from '../support/engine-world.ts'

const limits = { newKeysMax: 2, windowMs: 60_000, runningMax: 2 }
const policy = ['standard', { survives: 'nothing' }] as const

describe('a budget', () => {
  test('has both bounds and a window, each in its range', () => {
    expect(checkBudget({ newKeysMax: 5, runningMax: 1 })).toEqual({ newKeysMax: 5, windowMs: 60_000, runningMax: 1 })
    for (const wrong of [
      { newKeysMax: 0, runningMax: 1 },
      { newKeysMax: 1, runningMax: 0 },
      { newKeysMax: 1, runningMax: 1, window: '999ms' as const },
      { newKeysMax: 1 } as never,
    ])
      expect(() => checkBudget(wrong)).toThrow(ConfigurationError)
  })
})

describe('the count of a process', () => {
  const place = (claim: string, caller = 'a') => ({ caller, claim, heldMs: 10_000 })

  test('opens a window with the first new key and another after its end', async () => {
    const clock = new ManualClock()
    const budget = new ProcessBudget(clock)
    for (const claim of ['1', '2']) {
      expect(budget.take(place(claim), limits)).toEqual({ word: 'taken' })
      budget.giveBack(place(claim), { newKey: true })
    }
    await clock.advance(59_999)
    expect(budget.take(place('3'), limits)).toEqual({ word: 'spent', retryAfterMs: 1 })
    expect(budget.take(place('3', 'b'), limits)).toEqual({ word: 'taken' })
    await clock.advance(1)
    expect(budget.take(place('3'), limits)).toEqual({ word: 'taken' })
  })

  test('takes a key back that was not new, once', () => {
    const budget = new ProcessBudget(new ManualClock())
    budget.take(place('1'), limits)
    budget.take(place('2'), limits)
    budget.giveBack(place('2'), { newKey: false })
    budget.giveBack(place('2'), { newKey: false })
    expect(budget.take(place('3'), limits)).toEqual({ word: 'taken' })
    budget.giveBack(place('3'), { newKey: true })
    expect(budget.take(place('4'), limits).word).toBe('spent')
  })

  test('bounds what runs, and frees the place of a claim that never came back', async () => {
    const clock = new ManualClock()
    const budget = new ProcessBudget(clock)
    const many = { ...limits, newKeysMax: 100 }
    budget.take(place('1'), many)
    await clock.advance(1)
    budget.take(place('2'), many)
    expect(budget.take(place('3'), many)).toEqual({ word: 'spent', retryAfterMs: 1_000 })
    await clock.advance(9_999)
    expect(budget.take(place('3'), many)).toEqual({ word: 'taken' })
    expect(budget.take(place('4'), many).word).toBe('spent')
  })

  test('forgets the oldest of too many callers, but none that runs something', () => {
    const budget = new ProcessBudget(new ManualClock(), 2)
    const one = { ...limits, newKeysMax: 1 }
    budget.take(place('1', 'runs'), one)
    budget.take(place('1', 'idle'), one)
    budget.giveBack(place('1', 'idle'), { newKey: true })
    budget.take(place('1', 'new'), one)
    expect(budget.take(place('2', 'runs'), one).word).toBe('spent')
    expect(budget.take(place('2', 'idle'), one).word).toBe('taken')
  })
})

describe('a shared counter', () => {
  const counting = (take: () => BudgetAnswer | Promise<BudgetAnswer>) => {
    const given: boolean[] = []
    const counter: BudgetCounter = { name: 'shared', take, giveBack: (_place, { newKey }) => void given.push(newKey) }
    return { counter, given }
  }
  const world = (counter: BudgetCounter) => {
    const { clock, start } = engineWorld()
    const { oncely, told } = start({ budget: { newKeysMax: 1, runningMax: 1, counter }, limits: { recentOutcomesMax: 0 } })
    return { clock, told, operation: oncely.operation('pay', { policy, bind: 'lease' }) }
  }

  test('gets the place back: a new key stays used, a repeat was none', async () => {
    const { counter, given } = counting(async () => ({ word: 'taken' }))
    const { operation } = world(counter)
    await operation.run(oneCall, () => 1)
    expect((await operation.run(oneCall, () => 2)).status).toBe('replayed')
    expect(given).toEqual([true, false])
  })

  test('that says no is answered with the word, and a key that exists is answered all the same', async () => {
    const answers: BudgetAnswer[] = [{ word: 'taken' }, { word: 'spent', retryAfterMs: 7_000 }, { word: 'spent', retryAfterMs: 7_000 }]
    const { operation, told } = world(counting(() => answers.shift() as BudgetAnswer).counter)
    await operation.run(oneCall, () => 1)
    told()
    expect(await operation.run({ ...oneCall, key: 'k2' }, () => 2)).toEqual({
      status: 'unavailable',
      reason: 'over-budget',
      retryAfterMs: 7_000,
      cause: undefined,
    })
    expect(told()).toEqual(['over-budget 0'])
    expect(await operation.run(oneCall, () => 3)).toEqual({ status: 'replayed', value: 1 })
  })

  test('that fails or hangs is left alone: this process counts', async () => {
    const failing = world(counting(() => Promise.reject(new Error('away'))).counter)
    expect((await failing.operation.run(oneCall, () => 1)).status).toBe('done')
    expect((await failing.operation.run({ ...oneCall, key: 'k2' }, () => 1)).status).toBe('unavailable')
    expect(failing.told().filter((line) => line.startsWith('budget-down'))).toHaveLength(2)

    const { counter, given } = counting(() => new Promise(() => {}))
    const hanging = world(counter)
    const run = hanging.operation.run(oneCall, () => 1)
    expect(await stateOf(run)).toBe('pending')
    await hanging.clock.advance(50)
    expect((await run).status).toBe('done')
    // What the counter may have counted is taken back from it; the place here is another one.
    expect(given).toEqual([false])
  })
})
