import { describe, expect, test } from 'vitest'
import type { SharedOutcome } from '../../src/core/attempt.ts'
import { Crowd } from '../../src/core/crowd.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { deferred } from '../support/deferred.ts'

const plain = Uint8Array.of(1, 2, 3)
const shared = { outcome: { codec: 1 } } as SharedOutcome

function setUp() {
  const clock = new ManualClock()
  return { clock, crowd: new Crowd(clock) }
}

/** What the promise has settled with by now; `pending` when it has not. */
function now<T>(promise: Promise<T>): Promise<T | 'pending'> {
  return Promise.race([promise, new Promise<'pending'>((resolve) => setImmediate(resolve, 'pending'))])
}

describe('a flight', () => {
  test('is found by its record from the claim to its end, and by nobody else', () => {
    const { crowd } = setUp()
    const flight = crowd.lead('a', plain)
    expect(crowd.find('a')).toBe(flight)
    expect(crowd.find('b')).toBeUndefined()
    expect(flight.state).toBe('claiming')
    flight.settle(undefined)
    expect(crowd.find('a')).toBeUndefined()
  })

  test('is shared by requests with its payload only', () => {
    const flight = setUp().crowd.lead('a', plain)
    expect(flight.carries(Uint8Array.of(1, 2, 3))).toBe(true)
    expect(flight.carries(Uint8Array.of(1, 2, 4))).toBe(false)
  })

  test('that runs tells its followers at once, and its outcome in the end', async () => {
    const flight = setUp().crowd.lead('a', plain)
    expect(await now(flight.decided)).toBe('pending')
    flight.run(1_000)
    expect(flight.state).toBe('running')
    expect(await now(flight.decided)).toBeUndefined()
    expect(await now(flight.settled)).toBe('pending')
    flight.settle(shared)
    expect(flight.state).toBe('settled')
    expect(await now(flight.settled)).toBe(shared)
  })

  test('that is refused leaves its place at once, hands on the word, and keeps it when it settles', async () => {
    const { crowd } = setUp()
    const flight = crowd.lead('a', plain)
    flight.refuse({ word: 'mismatch' })
    expect(flight.state).toBe('refused')
    expect(flight.refusal).toEqual({ word: 'mismatch' })
    expect(crowd.find('a')).toBeUndefined()
    expect(await now(flight.decided)).toBeUndefined()
    flight.settle(undefined)
    expect(flight.state).toBe('refused')
  })

  test('that ended without a word lets its followers go on', async () => {
    const flight = setUp().crowd.lead('a', plain)
    flight.settle(undefined)
    expect(await now(flight.decided)).toBeUndefined()
    expect(await now(flight.settled)).toBeUndefined()
  })

  test('cannot be refused once it runs, nor run once it has ended', () => {
    const { crowd } = setUp()
    const running = crowd.lead('a', plain)
    running.run(1_000)
    running.refuse({ word: 'mismatch' })
    expect(running).toMatchObject({ state: 'running', refusal: undefined })
    expect(crowd.find('a')).toBe(running)
    running.settle(undefined)
    running.run(2_000)
    expect(running).toMatchObject({ state: 'settled', deadlineMs: 1_000 })
  })

  test('dies with its lease: from the deadline on another request may lead', async () => {
    const { clock, crowd } = setUp()
    const flight = crowd.lead('a', plain)
    flight.run(1_000)
    await clock.advance(999)
    expect(crowd.find('a')).toBe(flight)
    await clock.advance(1)
    expect(crowd.find('a')).toBeUndefined()
  })

  test('that lives on after its lease does not end the flight that followed it', async () => {
    const { clock, crowd } = setUp()
    const late = crowd.lead('a', plain)
    late.run(1_000)
    await clock.advance(1_000)
    expect(crowd.find('a')).toBeUndefined()
    const next = crowd.lead('a', plain)
    late.settle(undefined)
    expect(crowd.find('a')).toBe(next)
  })

  test('whose lease is renewed is found longer', async () => {
    const { clock, crowd } = setUp()
    const flight = crowd.lead('a', plain)
    flight.run(1_000)
    flight.run(2_000)
    await clock.advance(1_500)
    expect(crowd.find('a')).toBe(flight)
  })
})

describe('a wait', () => {
  const { signal } = new AbortController()

  test('ends with the news, and leaves neither a timer nor a waiter', async () => {
    const { clock, crowd } = setUp()
    const news = deferred<string>()
    const waiting = crowd.wait(news.promise, 100, signal)
    expect(crowd.waiters).toBe(1)
    news.resolve('news')
    expect(await waiting).toBe('news')
    expect(crowd.waiters).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test('ends without news at its limit, and not before', async () => {
    const { clock, crowd } = setUp()
    const waiting = crowd.wait(deferred<string>().promise, 100, signal)
    await clock.advance(99)
    expect(await now(waiting)).toBe('pending')
    await clock.advance(1)
    expect(await now(waiting)).toBeUndefined()
    expect(crowd.waiters).toBe(0)
  })

  test('ends at once when it is told to', async () => {
    const { clock, crowd } = setUp()
    const stop = new AbortController()
    const waiting = crowd.wait(deferred<string>().promise, 100, stop.signal)
    stop.abort()
    expect(await now(waiting)).toBeUndefined()
    expect(crowd.waiters).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test('is counted beside the others', async () => {
    const { crowd } = setUp()
    const [one, other] = [deferred(), deferred()]
    const waits = [crowd.wait(one.promise, 100, signal), crowd.wait(other.promise, 100, signal)]
    expect(crowd.waiters).toBe(2)
    one.resolve()
    await waits[0]
    expect(crowd.waiters).toBe(1)
    other.resolve()
    await waits[1]
  })
})
