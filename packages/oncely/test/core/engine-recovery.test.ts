import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { Oncely, type OncelyEvent, type Resolver, StoreUnavailable } from '../../src/core/index.ts'
import { nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { deferred } from '../support/deferred.ts'
import { faultStore } from '../support/fault-store.ts'

const down = (applied: 'no' | 'unknown'): Error => new StoreUnavailable('planned', { applied })
const call = { principal: 'acme', key: 'k1', input: { amount: 5 } }
const policy = ['standard', { survives: 'nothing', effectTimeout: '10s' }] as const

/** Two processes over one store and one clock; the clock moves only when a test says so. */
function world() {
  const clock = new ManualClock()
  const store = memoryStore({ clock })
  const events: OncelyEvent[] = []
  const start = () => {
    const faulty = faultStore(store, down)
    const oncely = new Oncely<never>(
      { clock, random: nodeRandom, hasher: nodeHasher },
      { namespace: 'test', store: faulty.store, events: (event) => void events.push(event) },
    )
    return { oncely, faulty }
  }
  return { clock, store, events, start, types: () => events.map(({ type }) => type) }
}

/** Makes renewals of this process fail from now on, as behind a cut link. */
function cutOff(process: ReturnType<ReturnType<typeof world>['start']>): void {
  process.faulty.plan('renew', ...Array<'refused'>(2_000).fill('refused'))
}

describe('a process that dies or is paused', () => {
  test('before begin: the next claim takes over when the lease has ended', async () => {
    const { clock, start, types } = world()
    const [a, b] = [start(), start()]
    cutOff(a)
    const gate = deferred()
    const first = a.oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy }).run(call, async ({ begin, signal }) => {
      await gate.promise
      expect(signal.aborted).toBe(true)
      await begin()
      return 'a'
    })
    const charge = b.oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy })
    await clock.advance(10)
    expect(await charge.run(call, () => 'too early')).toMatchObject({ status: 'in-progress' })
    await clock.advance(30_000)
    expect(await charge.run(call, ({ attempt }) => attempt)).toMatchObject({ status: 'done', value: 2 })
    gate.resolve()
    expect(await first).toEqual({ status: 'replayed', value: 2 })
    expect(types()).toContain('taken-over')
  })

  test('after begin: the record is uncertain, and the late owner may still finish it', async () => {
    const { clock, start } = world()
    const [a, b] = [start(), start()]
    cutOff(a)
    const gate = deferred()
    const first = a.oncely.operation('charge', { bind: 'lease', policy }).run(call, () => gate.promise.then(() => 'a'))
    const charge = b.oncely.operation('charge', { bind: 'lease', policy })
    await clock.advance(30_001)
    expect(await charge.run(call, () => 'b')).toMatchObject({ status: 'uncertain' })
    gate.resolve()
    expect(await first).toMatchObject({ status: 'done', value: 'a' })
    expect(await charge.run(call, () => 'b')).toEqual({ status: 'replayed', value: 'a' })
  })

  test('a rerunnable operation is repeated, and the late owner gets the outcome that stands', async () => {
    const { clock, start, types } = world()
    const [a, b] = [start(), start()]
    cutOff(a)
    const gate = deferred()
    const options = { bind: 'lease', rerunnable: true, policy } as const
    const first = a.oncely.operation('sync', options).run(call, () => gate.promise.then(() => 'a'))
    await clock.advance(30_001)
    expect(await b.oncely.operation('sync', options).run(call, () => 'b')).toMatchObject({ status: 'done', value: 'b', attempt: 2 })
    gate.resolve()
    expect(await first).toEqual({ status: 'replayed', value: 'b' })
    expect(types()).toContain('lease-lost')
  })

  test('a late owner whose successor still runs is told to come back for its outcome', async () => {
    const { clock, start } = world()
    const [a, b] = [start(), start()]
    cutOff(a)
    const [gateA, gateB] = [deferred(), deferred()]
    const options = { bind: 'lease', rerunnable: true, policy } as const
    const first = a.oncely.operation('sync', options).run(call, () => gateA.promise.then(() => 'a'))
    await clock.advance(30_001)
    const second = b.oncely.operation('sync', options).run(call, () => gateB.promise.then(() => 'b'))
    await clock.advance(1)
    gateA.resolve()
    expect(await first).toMatchObject({ status: 'in-progress' })
    gateB.resolve()
    expect(await second).toMatchObject({ status: 'done', value: 'b' })
  })

  test('a rerunnable attempt that fails after it began is repeated by the next claim, with the same payload only', async () => {
    const { clock, start } = world()
    const { oncely } = start()
    const sync = oncely.operation('sync', { bind: 'lease', rerunnable: true, policy })
    await expect(sync.run(call, () => Promise.reject(new Error('reset')))).rejects.toThrow('reset')
    await clock.advance(1)
    expect(await sync.run({ ...call, input: { amount: 6 } }, () => 'other')).toEqual({ status: 'mismatch' })
    expect(await sync.run(call, ({ attempt }) => attempt)).toEqual({ status: 'done', value: 2, attempt: 2 })
  })

  test('attempts are bounded: then the record is quarantined, and an operator frees it', async () => {
    const { start } = world()
    const { oncely } = start()
    const charge = oncely.operation('charge', {
      bind: 'lease',
      begin: 'explicit',
      policy: ['standard', { survives: 'nothing', attemptsMax: 2 }],
    })
    let record = ''
    const failing = () =>
      charge.run(call, (context) => {
        record = context.record
        throw new Error('again')
      })
    await expect(failing()).rejects.toThrow('again')
    await expect(failing()).rejects.toThrow('again')
    expect(await failing()).toMatchObject({ status: 'quarantined', record })
    const found = await oncely.read(Buffer.from(record, 'hex'))
    if (found === undefined) throw new Error('no record')
    expect(await oncely.resolve(found, { applied: false, by: 'ops', reason: 'checked with the provider' })).toEqual({ word: 'resolved' })
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'done' })
    await expect(oncely.resolve(found, { applied: false, by: '', reason: '' })).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })

  test('an in-process share dies with its lease: a duplicate then asks the store', async () => {
    const { clock, start } = world()
    const a = start()
    cutOff(a)
    const gate = deferred()
    const charge = a.oncely.operation('charge', { bind: 'lease', policy })
    const first = charge.run(call, () => gate.promise)
    await clock.advance(30_001)
    expect(await charge.run(call, () => 2)).toMatchObject({ status: 'uncertain' })
    gate.resolve()
    await first
  })
})

describe('a resolver', () => {
  async function uncertain(resolver: Resolver<string>) {
    const { clock, start, types, events } = world()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy, resolver })
    await expect(charge.run(call, () => Promise.reject(new Error('reset')))).rejects.toThrow('reset')
    return { clock, charge, types, events, oncely }
  }

  test('that finds the effect completes the record, and every retry gets its value', async () => {
    const seen: unknown[] = []
    const { charge, types } = await uncertain(async ({ key, input, attempt, deriveKey }) => {
      seen.push({ key, input, attempt, derived: deriveKey('psp').length })
      return { verdict: 'applied', value: 'found' }
    })
    expect(await charge.run(call, () => 'again')).toEqual({ status: 'replayed', value: 'found' })
    expect(await charge.run(call, () => 'again')).toEqual({ status: 'replayed', value: 'found' })
    expect(seen).toEqual([{ key: 'k1', input: { amount: 5 }, attempt: 1, derived: 40 }])
    expect(types()).toContain('resolved')
  })

  test('that proves the effect absent frees the key, and the same retry runs', async () => {
    const { clock, charge } = await uncertain(async () => ({ verdict: 'not-applied' }))
    await clock.advance(40_000)
    expect(await charge.run(call, ({ attempt }) => `ran as ${attempt}`)).toEqual({ status: 'done', value: 'ran as 2', attempt: 2 })
  })

  test('that finds nothing too early decides nothing: an effect may still arrive', async () => {
    const { clock, charge } = await uncertain(async () => ({ verdict: 'not-applied' }))
    await clock.advance(39_999)
    expect(await charge.run(call, () => 'ran')).toMatchObject({ status: 'uncertain' })
  })

  test('that does not know, or fails, leaves the record uncertain', async () => {
    const unknown = await uncertain(async () => ({ verdict: 'unknown' }))
    expect(await unknown.charge.run(call, () => 'ran')).toMatchObject({ status: 'uncertain' })
    const failing = await uncertain(() => Promise.reject(new Error('provider is down')))
    expect(await failing.charge.run(call, () => 'ran')).toMatchObject({ status: 'uncertain' })
    expect(failing.events.some(({ reason }) => reason === 'the resolver failed')).toBe(true)
  })

  test('is run by one caller at a time, whichever process it is in', async () => {
    const { clock, start } = world()
    const [a, b] = [start(), start()]
    const gate = deferred()
    let runs = 0
    const resolver: Resolver<string> = async () => {
      runs++
      await gate.promise
      return { verdict: 'applied', value: 'found' }
    }
    const chargeA = a.oncely.operation('charge', { bind: 'lease', policy, resolver })
    const chargeB = b.oncely.operation('charge', { bind: 'lease', policy, resolver })
    await expect(chargeA.run(call, () => Promise.reject(new Error('reset')))).rejects.toThrow('reset')
    const resolving = chargeA.run(call, () => 'again')
    await clock.advance(1)
    expect(await chargeB.run(call, () => 'again')).toMatchObject({ status: 'uncertain' })
    gate.resolve()
    expect(await resolving).toEqual({ status: 'replayed', value: 'found' })
    expect(runs).toBe(1)
  })
})

describe('retention', () => {
  test('an outcome is replayed to the end of its retention, then the key answers expired and runs nothing, then it is new', async () => {
    const { clock, start } = world()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await charge.run(call, () => 1)
    await clock.advance(24 * 3_600_000 - 1)
    expect(await charge.run(call, () => 2)).toEqual({ status: 'replayed', value: 1 })
    await clock.advance(60_001)
    expect(await charge.run(call, () => 2)).toEqual({ status: 'expired' })
    await clock.advance(48 * 3_600_000)
    expect(await charge.run(call, () => 2)).toMatchObject({ status: 'done', value: 2 })
  })

  test('an uncertain record never becomes claimable by age', async () => {
    const { clock, start } = world()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await expect(charge.run(call, () => Promise.reject(new Error('reset')))).rejects.toThrow('reset')
    for (const hours of [1, 23, 48, 24 * 365]) {
      await clock.advance(hours * 3_600_000)
      expect((await charge.run(call, () => 2)).status).toMatch(/^(uncertain|expired)$/)
    }
  })

  test('the sweeper removes what has outlived its policy, off the request path', async () => {
    const { clock, start } = world()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await charge.run(call, () => 1)
    await oncely.start({ sweeper: true, sweepEveryMs: 60_000 })
    await clock.advance(71 * 3_600_000)
    expect(await oncely.stats()).toMatchObject({ records: 1 })
    await clock.advance(2 * 3_600_000)
    expect(await oncely.stats()).toMatchObject({ records: 0 })
    await oncely.drain()
    expect(clock.pending).toBe(0)
  })

  test('a forgotten record is new again, and its trail says why', async () => {
    const { start } = world()
    const { oncely } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    let id = ''
    await charge.run(call, ({ record }) => {
      id = record
    })
    expect(await oncely.forget(Buffer.from(id, 'hex'), 'erasure request')).toBe(true)
    expect(await charge.run(call, () => 2)).toMatchObject({ status: 'done', value: 2 })
    expect(await oncely.trail(Buffer.from(id, 'hex'))).toEqual(
      expect.arrayContaining([expect.objectContaining({ event: 'forgotten', reason: 'erasure request' })]),
    )
  })
})
