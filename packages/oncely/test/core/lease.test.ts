import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { LeaseLost, type Ownership, type Store, StoreUnavailable } from '../../src/core/index.ts'
import { Lease } from '../../src/core/lease.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { claimRequest } from '../support/claim-request.ts'
import { deferred } from '../support/deferred.ts'
import { faultStore } from '../support/fault-store.ts'
import { timersOf } from '../support/timer-kind.ts'

const down = (applied: 'no' | 'unknown'): Error => new StoreUnavailable('planned', { applied })

async function held(options: { begun?: boolean } = {}) {
  const clock = new ManualClock()
  const faulty = faultStore(memoryStore({ clock }), down)
  const claim = await faulty.store.claim(claimRequest({ leaseMs: 3_000, begun: options.begun ?? false }))
  if (claim.word !== 'acquired') throw new Error(claim.word)
  const deadlines: number[] = []
  const lease = leaseOf(faulty.store, clock, claim.ownership, options.begun ?? false, (deadlineMs) => void deadlines.push(deadlineMs))
  return { clock, faulty, lease, deadlines, ownership: claim.ownership }
}

function leaseOf(store: Store, clock: ManualClock, ownership: Ownership, begun: boolean, onDeadline: (deadlineMs: number) => void): Lease {
  return new Lease({ store, clock, ownership, leaseMs: 3_000, storeTimeoutMs: 500, sentMs: clock.monotonicMs(), begun, onDeadline })
}

test('a lease is renewed at a third of its length, as long as the handler runs', async () => {
  const { clock, faulty, lease } = await held()
  for (let second = 0; second < 20; second++) await clock.advance(1_000)
  expect(lease.signal.aborted).toBe(false)
  expect(faulty.calls.renew).toBeGreaterThanOrEqual(15)
  lease.stop()
  await clock.advance(60_000)
  expect(lease.signal.aborted).toBe(false)
})

test('the handler is told to stop before the store could give the record to somebody else', async () => {
  const { clock, faulty, lease } = await held()
  faulty.plan('renew', ...Array<'refused'>(100).fill('refused'))
  await clock.advance(2_600)
  expect(lease.signal.aborted).toBe(false)
  await clock.advance(100)
  expect(lease.signal.reason).toBeInstanceOf(LeaseLost)
  expect(clock.monotonicMs()).toBeLessThan(lease.deadlineMs)
})

test('a renewal that fails is tried again, and the lease is kept when one gets through', async () => {
  const { clock, faulty, lease } = await held()
  faulty.plan('renew', 'refused', 'refused', 'answer-lost', 'hangs')
  for (let tick = 0; tick < 50; tick++) await clock.advance(100)
  expect(lease.signal.aborted).toBe(false)
  expect(faulty.calls.renew).toBeGreaterThan(4)
  lease.stop()
})

test('nobody relies on a lease any longer than until it is known to be lost', async () => {
  const { clock, faulty, deadlines, ownership } = await held()
  await faulty.store.release(ownership, { reason: 'elsewhere' })
  await clock.advance(1_100)
  expect(deadlines.at(-1)).toBeLessThanOrEqual(clock.monotonicMs())
})

test('when another attempt holds the record, the next renewal says so', async () => {
  const { clock, faulty, lease, ownership } = await held()
  await faulty.store.release(ownership, { reason: 'elsewhere' })
  await clock.advance(1_100)
  expect(lease.signal.reason).toMatchObject({ code: 'ONCELY_LEASE_LOST' })
})

test('begin is persisted before it returns, and once', async () => {
  const { faulty, lease, ownership } = await held()
  await lease.begin()
  await lease.begin()
  expect(faulty.calls.renew).toBe(1)
  expect(await faulty.store.read(ownership.id)).toMatchObject({ begunAttempt: 1 })
  lease.stop()
})

test('begin costs nothing when effects may start with the claim', async () => {
  const { faulty, lease } = await held({ begun: true })
  await lease.begin()
  expect(faulty.calls.renew).toBeUndefined()
  lease.stop()
})

test('begin refuses a lost claim, and again after that', async () => {
  const { faulty, lease, ownership } = await held()
  await faulty.store.release(ownership, { reason: 'elsewhere' })
  await expect(lease.begin()).rejects.toBeInstanceOf(LeaseLost)
  await expect(lease.begin()).rejects.toBeInstanceOf(LeaseLost)
  expect(lease.begun).toBe(false)
})

test('a begin that is not answered in time counts as begun and does not return', async () => {
  const { clock, faulty, lease } = await held()
  faulty.plan('renew', 'hangs')
  const begun = lease.begin()
  const failed = expect(begun).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'unknown' })
  await clock.advance(500)
  await failed
  expect(lease.begun).toBe(true)
  lease.stop()
})

test('an older renewal that is answered late never shortens the lease', async () => {
  const { clock, faulty, lease, deadlines } = await held()
  faulty.plan('renew', 'slow')
  await clock.advance(1_000)
  await clock.advance(300)
  await lease.begin()
  const before = lease.deadlineMs
  faulty.thaw()
  await clock.advance(1)
  expect(lease.deadlineMs).toBe(before)
  expect(Math.max(...deadlines)).toBe(before)
  lease.stop()
})

/** A lease of 3 s whose claim was sent at `sentMs`, and the times of its renewals. */
async function timed(own: { sentMs?: number; storeTimeoutMs?: number; nowMs?: number } = {}) {
  const clock = new ManualClock()
  const renewals: number[] = []
  const inner = memoryStore({ clock })
  const renew = inner.renew.bind(inner)
  Object.assign(inner, {
    renew: (...change: Parameters<Store['renew']>) => {
      renewals.push(clock.monotonicMs())
      return renew(...change)
    },
  })
  const faulty = faultStore(inner, down)
  const claim = await faulty.store.claim(claimRequest({ leaseMs: 3_000 }))
  if (claim.word !== 'acquired') throw new Error(claim.word)
  await clock.advance(own.nowMs ?? 0)
  const deadlines: number[] = []
  const lease = new Lease({
    store: faulty.store,
    clock,
    ownership: claim.ownership,
    leaseMs: 3_000,
    storeTimeoutMs: own.storeTimeoutMs ?? 500,
    sentMs: own.sentMs ?? clock.monotonicMs(),
    begun: false,
    onDeadline: (deadlineMs) => void deadlines.push(deadlineMs),
  })
  return { clock, faulty, lease, deadlines, renewals, ownership: claim.ownership }
}

/** The process stands still until this time: no timer of its runs, though the clock goes on. */
function standStill(clock: ManualClock, untilMs: number): void {
  Object.defineProperty(clock, 'monotonicMs', { configurable: true, value: () => untilMs })
}

describe('the times of a lease', () => {
  test('a renewal is sent at each third, and moves the deadline to a whole lease after it was sent', async () => {
    const { clock, faulty, lease, deadlines, renewals, ownership } = await timed()
    await clock.advance(3_500)
    expect(renewals).toEqual([1_000, 2_000, 3_000])
    expect(deadlines).toEqual([3_000, 4_000, 5_000, 6_000])
    expect(lease.deadlineMs).toBe(6_000)
    expect(await faulty.store.read(ownership.id)).toMatchObject({ leaseEndMs: clock.nowMs() - 500 + 3_000 })
    lease.stop()
    expect(clock.pending).toBe(0)
  })

  test('they count from the moment the claim was sent, not from its answer', async () => {
    const { clock, lease, deadlines, renewals } = await timed({ nowMs: 800, sentMs: 0 })
    expect(deadlines).toEqual([3_000])
    await clock.advance(200)
    expect(renewals).toEqual([1_000])
    lease.stop()
    const late = await timed({ nowMs: 2_000, sentMs: 0 })
    await late.clock.advance(0)
    expect(late.renewals).toEqual([2_000])
    late.lease.stop()
  })

  test('a renewal that fails is sent again after a twentieth of the lease', async () => {
    const { clock, faulty, lease, renewals } = await timed()
    faulty.plan('renew', 'refused', 'refused')
    await clock.advance(1_149)
    expect(faulty.calls.renew).toBe(1)
    await clock.advance(1)
    expect(faulty.calls.renew).toBe(2)
    await clock.advance(150)
    expect(renewals).toEqual([1_300])
    expect(lease.deadlineMs).toBe(4_300)
    lease.stop()
  })

  test('a renewal that is not answered is given up after the time the store may take', async () => {
    const { clock, faulty, lease, renewals } = await timed()
    faulty.plan('renew', 'hangs')
    await clock.advance(1_649)
    expect(faulty.calls.renew).toBe(1)
    await clock.advance(1)
    expect(renewals).toEqual([1_650])
    lease.stop()
  })

  test('without a renewal the handler is told to stop a tenth of the lease before its end', async () => {
    const { clock, faulty, lease } = await timed()
    faulty.plan('renew', ...Array<'refused'>(100).fill('refused'))
    await clock.advance(2_699)
    expect([lease.signal.aborted, lease.lapsed]).toEqual([false, false])
    await clock.advance(1)
    expect([lease.signal.aborted, lease.lapsed]).toEqual([true, true])
    expect(clock.pending).toBe(0)
  })
})

test('after a renewal the handler has until a tenth of the lease before the new end', async () => {
  const { clock, faulty, lease } = await timed()
  await clock.advance(1_000)
  faulty.plan('renew', ...Array<'refused'>(100).fill('refused'))
  await clock.advance(2_699)
  expect(lease.signal.aborted).toBe(false)
  await clock.advance(1)
  expect(lease.signal.aborted).toBe(true)
})

test('the timers of a lease keep no process alive', async () => {
  const clock = new ManualClock()
  const store = memoryStore({ clock })
  const claim = await store.claim(claimRequest({ leaseMs: 3_000 }))
  if (claim.word !== 'acquired') throw new Error(claim.word)
  Object.assign(store, { renew: () => Promise.reject(new StoreUnavailable('planned', { applied: 'no' })) })
  const timers = timersOf(clock)
  const lease = leaseOf(store, clock, claim.ownership, false, () => {})
  await clock.advance(1_100)
  // But for the time limit of a renewal that is under way.
  expect(timers).toEqual(['1000 background', '2700 background', '500', '150 background'])
  lease.stop()
})

describe('a lease that ends', () => {
  test('keeps its first reason', async () => {
    const { clock, lease } = await timed()
    const reason = new Error('the process drains')
    lease.abort(reason)
    lease.abort(new Error('another'))
    expect(lease.lose('a third')).toBeInstanceOf(LeaseLost)
    expect(lease.signal.reason).toBe(reason)
    await expect(lease.begin()).rejects.toBe(reason)
    expect(clock.pending).toBe(0)
  })

  test('says what was lost and why', async () => {
    const { lease } = await timed()
    expect(lease.lose('it was taken').message).toContain('it was taken')
    expect(lease.signal.reason).toMatchObject({ code: 'ONCELY_LEASE_LOST' })
  })

  test('takes no notice of a renewal that is answered after it', async () => {
    for (const end of ['kept', 'taken'] as const) {
      const { clock, faulty, lease, deadlines, ownership } = await timed()
      faulty.plan('renew', 'slow')
      await clock.advance(1_000)
      if (end === 'taken') await faulty.store.release(ownership, { reason: 'elsewhere' })
      lease.stop()
      faulty.thaw()
      await clock.advance(10_000)
      expect(lease.signal.aborted).toBe(false)
      expect(deadlines).toEqual([3_000])
      expect(clock.pending).toBe(0)
    }
  })

  test('takes no notice of a renewal that fails after it', async () => {
    const { clock, faulty, lease } = await timed()
    faulty.plan('renew', 'hangs')
    await clock.advance(1_000)
    lease.stop()
    await clock.advance(10_000)
    expect(faulty.calls.renew).toBe(1)
    expect(clock.pending).toBe(0)
  })

  test('takes no notice of a renewal that the store refuses after it', async () => {
    const clock = new ManualClock()
    const store = memoryStore({ clock })
    const claim = await store.claim(claimRequest({ leaseMs: 3_000 }))
    if (claim.word !== 'acquired') throw new Error(claim.word)
    const answer = deferred<'done'>()
    Object.assign(store, { renew: () => answer.promise })
    const lease = leaseOf(store, clock, claim.ownership, false, () => {})
    await clock.advance(1_000)
    lease.stop()
    answer.reject(new StoreUnavailable('planned', { applied: 'no' }))
    await clock.advance(1)
    expect(clock.pending).toBe(0)
  })

  test('while begin waits is not held again by its answer', async () => {
    const { clock, faulty, lease, deadlines } = await timed()
    faulty.plan('renew', 'slow')
    const begun = lease.begin()
    lease.stop()
    faulty.thaw()
    await begun
    expect(deadlines).toEqual([3_000])
    expect(clock.pending).toBe(0)
  })

  test('is not renewed any more once somebody else holds the record', async () => {
    const { clock, faulty, lease, ownership } = await timed()
    await faulty.store.release(ownership, { reason: 'elsewhere' })
    await clock.advance(60_000)
    expect(faulty.calls.renew).toBe(1)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLost)
    expect(clock.pending).toBe(0)
  })
})

describe('begin', () => {
  test('is waited for no longer than the lease, however long the store may take', async () => {
    const { clock, faulty, lease } = await timed({ storeTimeoutMs: 10_000 })
    faulty.plan('renew', 'hangs', 'hangs')
    const failed = expect(lease.begin()).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'unknown' })
    await clock.advance(3_000)
    await failed
    expect(lease.begun).toBe(true)
  })

  test('that the store refuses counts as begun, and its error passes', async () => {
    const { faulty, lease } = await timed()
    faulty.plan('renew', 'refused')
    await expect(lease.begin()).rejects.toMatchObject({ applied: 'no' })
    expect(lease.begun).toBe(true)
    lease.stop()
  })

  test('prolongs the lease as a renewal does', async () => {
    const { clock, lease, renewals } = await timed()
    await clock.advance(600)
    await lease.begin()
    expect(lease.deadlineMs).toBe(3_600)
    await clock.advance(1_000)
    expect(renewals).toEqual([600, 1_600])
    lease.stop()
  })

  test('is not said by a renewal', async () => {
    const { clock, faulty, lease, ownership } = await timed()
    await clock.advance(2_500)
    expect(await faulty.store.read(ownership.id)).toMatchObject({ begunAttempt: 0 })
    await lease.begin()
    await clock.advance(2_500)
    expect(await faulty.store.read(ownership.id)).toMatchObject({ begunAttempt: 1 })
    lease.stop()
  })

  test('starts nothing in a process that stood still for too long, though no timer has told it so', async () => {
    const { clock, faulty, lease } = await timed()
    standStill(clock, 2_700)
    await expect(lease.begin()).rejects.toBeInstanceOf(LeaseLost)
    expect(lease.signal.aborted).toBe(true)
    expect(faulty.calls.renew).toBeUndefined()
  })

  test('starts nothing when its answer comes too late, and the record counts as begun', async () => {
    const { clock, faulty, lease } = await timed()
    faulty.plan('renew', 'slow')
    const begun = lease.begin()
    standStill(clock, 2_700)
    faulty.thaw()
    await expect(begun).rejects.toBeInstanceOf(LeaseLost)
    expect([lease.begun, lease.signal.aborted]).toEqual([true, true])
  })
})
