import { expect, test } from 'vitest'
import { CircuitBreaker } from '../../src/core/circuit-breaker.ts'
import { timedOut } from '../../src/core/index.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { stateOf } from '../support/engine-world.ts'

const failing = (): Promise<never> => Promise.reject(new Error('planned'))
const hanging = (): Promise<never> => new Promise(() => {})
const answering = async (): Promise<number> => 7

function setUp() {
  const clock = new ManualClock()
  const breaker = new CircuitBreaker(clock, 50)
  const told: unknown[] = []
  return { clock, breaker, told, call: <T>(work: () => Promise<T>) => breaker.call(work, (error) => void told.push(error)) }
}

test('an answer in time is the answer', async () => {
  expect(await setUp().call(answering)).toBe(7)
})

test('what fails, at once or later, is no answer', async () => {
  const { call } = setUp()
  expect(await call(failing)).toBeUndefined()
  expect(
    await call(() => {
      throw new Error('planned')
    }),
  ).toBeUndefined()
})

test('an answer is waited for until the time-out and not longer', async () => {
  const { clock, call } = setUp()
  const answer = call(hanging)
  await clock.advance(49)
  expect(await stateOf(answer)).toBe('pending')
  await clock.advance(1)
  expect(await stateOf(answer)).toBeUndefined()
})

test('three failures in a row open it, which is told once', async () => {
  const { clock, breaker, call, told } = setUp()
  await call(failing)
  await call(failing)
  await call(answering)
  await call(failing)
  await call(failing)
  expect(breaker.isOpen).toBe(false)
  const third = call(hanging)
  await clock.advance(50)
  expect([await third, breaker.isOpen, told]).toEqual([undefined, true, [timedOut]])
  await clock.advance(1_000)
  await call(failing)
  await clock.advance(1)
  expect(told.length).toBe(1)
})

test('while it is open nothing is called, and after a second one probe that nobody waits for', async () => {
  const { clock, breaker, call } = setUp()
  for (let failure = 0; failure < 3; failure++) await call(failing)
  let calls = 0
  const counted = (): Promise<never> => {
    calls++
    return hanging()
  }
  await clock.advance(999)
  expect(await call(counted)).toBeUndefined()
  expect(calls).toBe(0)
  await clock.advance(1)
  expect(await stateOf(call(counted))).toBeUndefined()
  expect(await stateOf(call(counted))).toBeUndefined()
  expect(calls).toBe(1)
  expect(breaker.isOpen).toBe(true)
})

test('an answered probe closes it, a failed one keeps it open for another second', async () => {
  const { clock, breaker, call } = setUp()
  for (let failure = 0; failure < 3; failure++) await call(failing)
  await clock.advance(1_000)
  await call(failing)
  await clock.advance(999)
  let calls = 0
  await call(async () => ++calls)
  expect([calls, breaker.isOpen]).toEqual([0, true])
  await clock.advance(1)
  await call(answering)
  await clock.advance(0)
  expect(breaker.isOpen).toBe(false)
  expect(await call(answering)).toBe(7)
})
