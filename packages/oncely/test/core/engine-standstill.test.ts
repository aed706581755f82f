import { memoryStore } from 'oncely/store/memory'
import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { type Clock, Oncely, recordId, type Store } from '../../src/core/index.ts'
import { nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { deferred } from '../support/deferred.ts'
import { faultStore } from '../support/fault-store.ts'
import { call, down, relaxed } from '../support/lease-instance.ts'

const lease = '10s'
const recordOfCall = recordId({ namespace: 'test', principal: call.principal, key: call.key }, nodeHasher)
const otherCall = { ...call, input: { amount: 6 } }

/** Time that goes on without a timer firing, as for a process that was stopped and hears its messages first. */
class SkippingClock implements Clock {
  readonly inner = new ManualClock()
  #skippedMs = 0

  nowMs(): number {
    return this.inner.nowMs() + this.#skippedMs
  }

  monotonicMs(): number {
    return this.inner.monotonicMs() + this.#skippedMs
  }

  after(delayMs: number, run: () => void): () => void {
    return this.inner.after(delayMs, run)
  }

  skip(ms: number): void {
    this.#skippedMs += ms
  }
}

function setUp() {
  const clock = new SkippingClock()
  const store = memoryStore({ clock })
  const instance = (through: Store) =>
    new Oncely<never>({ clock, random: nodeRandom, hasher: nodeHasher }, { namespace: 'test', store: through })
  const operation = (through: Store, begin: 'at-claim' | 'explicit') =>
    instance(through).operation('charge', { bind: 'lease', begin, policy: ['standard', { ...relaxed, lease }] })
  return { clock, store, instance, operation, faulty: faultStore(store, down) }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a process that stood still for longer than its lease', () => {
  test('does not start the handler of a claim that was answered before, and gives the key back', async () => {
    const { clock, store, operation, faulty } = setUp()
    faulty.plan('claim', 'slow')
    let ran = 0
    const late = operation(faulty.store, 'at-claim').run(call, () => ++ran)
    await turn()
    clock.skip(11_000)
    faulty.thaw()
    expect(await late).toMatchObject({ status: 'unavailable', cause: { code: 'ONCELY_LEASE_LOST' } })
    expect(ran).toBe(0)
    await turn()
    expect(await operation(store, 'at-claim').run(call, () => ++ran)).toMatchObject({ status: 'done', attempt: 2 })
  })

  test('hears from begin() that it is too late, although no timer has fired', async () => {
    const { clock, operation, store } = setUp()
    const gate = deferred()
    let effects = 0
    const late = operation(store, 'at-claim').run(call, async ({ begin, signal }) => {
      await gate.promise
      expect(signal.aborted).toBe(false)
      await begin()
      return ++effects
    })
    await turn()
    clock.skip(11_000)
    gate.resolve()
    expect(await late).toMatchObject({ status: 'uncertain' })
    expect(effects).toBe(0)
  })

  test('does not trust a begin() that was answered before', async () => {
    const { clock, operation, faulty } = setUp()
    faulty.plan('renew', 'slow')
    let effects = 0
    const late = operation(faulty.store, 'explicit').run(call, async ({ begin }) => {
      await begin()
      return ++effects
    })
    await turn()
    clock.skip(11_000)
    faulty.thaw()
    expect(await late).toMatchObject({ status: 'uncertain' })
    expect(effects).toBe(0)
  })
})

describe('a record that was freed and taken by another payload meanwhile', () => {
  test('is a mismatch for its first owner, and never its replay', async () => {
    const { store, operation } = setUp()
    const gate = deferred()
    const late = operation(store, 'at-claim').run(call, () => gate.promise.then(() => 'mine'))
    await turn()
    await store.forget(recordOfCall, { reason: 'test' })
    expect(await operation(store, 'at-claim').run(otherCall, () => 'theirs')).toMatchObject({ status: 'done' })
    gate.resolve()
    expect(await late).toEqual({ status: 'mismatch' })
  })

  test('is replayed to that payload, although the first owner still runs in the same process', async () => {
    const { store, operation } = setUp()
    const gate = deferred()
    const here = operation(store, 'at-claim')
    const late = here.run(call, () => gate.promise)
    await turn()
    await store.forget(recordOfCall, { reason: 'test' })
    await operation(store, 'at-claim').run(otherCall, () => 'theirs')
    expect(await here.run(otherCall, () => 'again')).toEqual({ status: 'replayed', value: 'theirs' })
    gate.resolve()
    expect(await late).toEqual({ status: 'mismatch' })
  })

  test('answers a follower that came after the leader was judged from a claim of its own', async () => {
    const { store, operation, faulty } = setUp()
    const gate = deferred()
    const other = operation(store, 'explicit').run(otherCall, () => gate.promise)
    await turn()
    // The store has judged the leader's claim, and its answer is on the way when the key is freed and taken anew.
    const held = deferred()
    const here = operation(holding(faulty.store, held.promise), 'explicit')
    const leader = here.run(call, () => 'leader')
    await turn()
    await store.forget(recordOfCall, { reason: 'test' })
    await operation(store, 'explicit').run(call, () => 'elsewhere')
    const follower = here.run(call, () => 'follower')
    await turn()
    held.resolve()
    expect(await leader).toEqual({ status: 'mismatch' })
    expect(await follower).toEqual({ status: 'replayed', value: 'elsewhere' })
    gate.resolve()
    await other
  })
})

test('a drain ends although the store never answers the counts of duplicates', async () => {
  const { clock, instance, faulty } = setUp()
  const oncely = instance(faulty.store)
  const charge = oncely.operation('pay', { bind: 'lease', policy: ['standard', { ...relaxed, lease }] })
  await charge.run(call, () => 1)
  await charge.run(call, () => 2)
  faulty.plan('audit', 'hangs')
  let drained = false
  void oncely.drain().then(() => {
    drained = true
  })
  await clock.inner.advance(20_000)
  expect(drained).toBe(true)
  expect(faulty.calls['audit']).toBe(1)
})

/** Holds every answer to a claim back until `until`; the claim itself is judged at once. */
function holding(store: Store, until: Promise<void>): Store {
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown
      if (name !== 'claim') return value
      return async (...parameters: unknown[]) => {
        const answer: unknown = await Reflect.apply(value as () => Promise<unknown>, target, parameters)
        await until
        return answer
      }
    },
  })
}
