import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { isOncelyError, LeasedLock, type LeasedLockParts } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'

/** A lock of ten seconds whose engine says what the test wants. */
function held(parts: Partial<LeasedLockParts> = {}) {
  const clock = new ManualClock()
  const calls = { abandoned: 0 }
  const lock = new LeasedLock({
    clock,
    token: 7n,
    leaseMs: 10_000,
    startedMs: clock.monotonicMs(),
    renew: async () => 'renewed',
    release: async () => 'released',
    abandon: () => void calls.abandoned++,
    ...parts,
  })
  return { clock, lock, calls }
}

describe('the lease', () => {
  test('ends on our own clock, with the reason and what is left freed', async () => {
    const { clock, lock, calls } = held()
    await clock.advance(9_999)
    expect(lock.signal.aborted).toBe(false)
    await clock.advance(1)
    expect(isOncelyError(lock.signal.reason) && lock.signal.reason.code).toBe('ONCELY_LEASE_LOST')
    expect([lock.token, calls.abandoned]).toEqual([7n, 1])
    expect([await lock.renew(), await lock.release()]).toEqual(['lost', 'lost'])
  })

  test('is seen to be over before any timer has fired, as after a standstill', async () => {
    let monotonicMs = 0
    const { lock } = held({ clock: { nowMs: () => 0, monotonicMs: () => monotonicMs, after: () => () => {} }, startedMs: 0 })
    monotonicMs = 10_000
    expect(await lock.renew()).toBe('lost')
    expect(lock.signal.aborted).toBe(true)
  })

  test('counts from before a renewal was sent, not from its answer', async () => {
    const answer = deferred<'renewed'>()
    const { clock, lock } = held({ renew: () => answer.promise })
    const renewing = lock.renew()
    await clock.advance(6_000)
    answer.resolve('renewed')
    expect(await renewing).toBe('renewed')
    await clock.advance(4_000)
    expect(lock.signal.aborted).toBe(true)
  })

  test('a renewal that fails is tried again for as long as the lease runs', async () => {
    let tries = 0
    const { clock, lock } = held({ renew: () => (++tries < 4 ? Promise.reject(new Error('no answer')) : Promise.resolve('renewed')) })
    const renewing = lock.renew()
    await clock.advance(1_000)
    expect([await renewing, tries]).toEqual(['renewed', 4])
    await clock.advance(9_000)
    expect(lock.signal.aborted).toBe(false)
  })

  test('a renewal that is never answered ends with the lease', async () => {
    const { clock, lock } = held({ renew: () => new Promise(() => {}) })
    const renewing = lock.renew()
    await clock.advance(10_000)
    expect(await renewing).toBe('lost')
  })

  test('a renewal that the engine refuses says lost at once', async () => {
    const { lock, calls } = held({ renew: async () => 'lost' })
    expect(await lock.renew()).toBe('lost')
    expect([lock.signal.aborted, calls.abandoned]).toEqual([true, 1])
  })
})

describe('a release', () => {
  test('is answered once, keeps the signal quiet, and ends the lease', async () => {
    let releases = 0
    const { clock, lock, calls } = held({ release: async () => (++releases === 1 ? 'released' : 'lost') })
    expect([await lock.release(), await lock.release(), await lock.renew()]).toEqual(['released', 'released', 'lost'])
    await clock.advance(20_000)
    expect([releases, lock.signal.aborted, calls.abandoned]).toEqual([1, false, 0])
  })

  test('without an answer says lost when the lease is over, and what is left is freed', async () => {
    const { clock, lock, calls } = held({ release: () => new Promise(() => {}) })
    const releasing = lock.release()
    await clock.advance(10_000)
    expect([await releasing, calls.abandoned]).toEqual(['lost', 1])
  })

  test('that fails says lost', async () => {
    const { lock } = held({ release: () => Promise.reject(new Error('no answer')) })
    expect(await lock.release()).toBe('lost')
  })
})

describe('the probe', () => {
  test('tells of a loss long before the lease ends', async () => {
    let answer: 'held' | 'lost' = 'held'
    const { clock, lock } = held({ probe: { everyMs: 1_000, ask: async () => answer } })
    await clock.advance(2_500)
    expect(lock.signal.aborted).toBe(false)
    answer = 'lost'
    await clock.advance(1_000)
    expect(lock.signal.aborted).toBe(true)
  })

  test('a look that is asked for tells at once', async () => {
    const { lock } = held({ probe: { everyMs: 1_000, ask: async () => 'lost' } })
    await lock.look()
    expect(lock.signal.aborted).toBe(true)
    await expect(held().lock.look()).resolves.toBeUndefined()
  })

  test('without an answer for the time that proves a session, the lock counts as lost', async () => {
    let silent = false
    const ask = (): Promise<'held'> => (silent ? new Promise(() => {}) : Promise.resolve('held'))
    const { clock, lock } = held({ leaseMs: 60_000, probe: { everyMs: 500, proofMs: 4_000, ask } })
    for (let second = 0; second < 10; second++) await clock.advance(1_000)
    expect(lock.signal.aborted).toBe(false)
    silent = true
    await clock.advance(3_000)
    expect(lock.signal.aborted).toBe(false)
    await clock.advance(1_000)
    expect(String(lock.signal.reason)).toContain('no sign of life')
  })

  test('a question that fails proves nothing', async () => {
    const { clock, lock } = held({ probe: { everyMs: 500, proofMs: 4_000, ask: () => Promise.reject(new Error('cut off')) } })
    for (let step = 0; step < 8; step++) await clock.advance(500)
    expect(lock.signal.aborted).toBe(true)
  })
})
