import { memoryStore } from 'oncely/store/memory'
import { expect, test } from 'vitest'
import { LeaseLost, type Ownership, type Store, StoreUnavailable } from '../../src/core/index.ts'
import { Lease } from '../../src/core/lease.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { claimRequest } from '../support/claim-request.ts'
import { faultStore } from '../support/fault-store.ts'

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
