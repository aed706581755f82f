import { describe, expect, test } from 'vitest'
import { type Resolver, type ResolverRecord, toHex } from '../../src/core/index.ts'
import { engineWorld, oneCall, stateOf } from '../support/engine-world.ts'

const policy = ['standard', { survives: 'nothing', lease: '10s', effectTimeout: '5s' }] as const
const never = (): never => {
  throw new Error('it ran')
}

/** An operation with a resolver, one of whose records is uncertain since time 0. */
async function uncertain(resolver: Resolver<unknown>, own: { store?: 'nothing'; responseBytesMax?: number } = {}) {
  const world = engineWorld()
  const { responseBytesMax, ...options } = own
  const process = world.start(responseBytesMax === undefined ? {} : { limits: { responseBytesMax } })
  const charge = process.oncely.operation('charge', { bind: 'lease', policy, resolver, ...options })
  let id = new Uint8Array()
  let derived = ''
  const failing = charge.run(oneCall, ({ record, deriveKey }) => {
    id = Buffer.from(record, 'hex')
    derived = deriveKey('psp')
    throw new Error('reset')
  })
  await expect(failing).rejects.toThrow('reset')
  process.told()
  return { ...world, ...process, charge, id, derived }
}

describe('a resolver', () => {
  test('is asked with everything the effect can be looked up by', async () => {
    const asked: ResolverRecord[] = []
    const { charge, id, derived, clock } = await uncertain(async (record) => {
      asked.push(record)
      return { verdict: 'unknown' }
    })
    await clock.advance(60_000)
    await charge.run(oneCall, never)
    expect(asked).toMatchObject([{ id: toHex(id), key: 'k1', attempt: 1, createdAtMs: clock.nowMs() - 60_000, input: oneCall.input }])
    expect(asked[0]?.deriveKey('psp')).toBe(derived)
  })

  test('that finds the effect completes the record, says so, and the answer is a replay', async () => {
    const { charge, store, id, told } = await uncertain(async () => ({ verdict: 'applied', value: { id: 7 } }))
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7 } })
    expect(told()).toEqual(['resolved 1 applied: resolved', 'replayed 0'])
    expect(await store.trail(id)).toContainEqual(expect.objectContaining({ event: 'completed', owner: 'resolver', reason: 'applied' }))
  })

  test('stores what it found as the operation stores outcomes', async () => {
    const nothing = await uncertain(async () => ({ verdict: 'applied', value: 'secret' }), { store: 'nothing' })
    expect(await nothing.charge.run(oneCall, never)).toEqual({ status: 'not-stored' })
    const large = await uncertain(async () => ({ verdict: 'applied', value: 'far too long' }), { responseBytesMax: 5 })
    expect(await large.charge.run(oneCall, never)).toEqual({ status: 'not-stored' })
  })

  test('that proves that nothing happened frees the key, but not while an effect may still arrive', async () => {
    const { charge, clock, told } = await uncertain(async () => ({ verdict: 'not-applied' }))
    // 10 s of the lease and 5 s for an effect under way; the resolver runs once in 10 s.
    await clock.advance(14_999)
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
    expect(told()).toEqual(['resolved 1 not-applied: early', 'uncertain 0'])
    await clock.advance(10_000)
    expect(await charge.run(oneCall, ({ attempt }) => attempt)).toEqual({ status: 'done', value: 2, attempt: 2 })
    expect(told()).toEqual(['resolved 1 not-applied: resolved', 'claimed 2', 'completed 2'])
  })

  test('that began to look too early proves nothing, though its verdict comes late enough', async () => {
    let answer: (value: { verdict: 'not-applied' }) => void = () => {}
    const { charge, clock, faulty, told } = await uncertain(() => new Promise((resolve) => (answer = resolve)))
    await clock.advance(14_999)
    const early = charge.run(oneCall, never)
    await clock.advance(5_000)
    answer({ verdict: 'not-applied' })
    expect(await stateOf(early)).toMatchObject({ status: 'uncertain' })
    expect(told()).toEqual(['resolved 1 not-applied: early', 'uncertain 0'])
    expect(faulty.calls.claim).toBe(2)
  })

  test('that began to look just late enough frees the key', async () => {
    const { charge, clock } = await uncertain(async () => ({ verdict: 'not-applied' }))
    await clock.advance(15_000)
    expect(await charge.run(oneCall, () => 'ran')).toMatchObject({ status: 'done', value: 'ran' })
  })

  test('that does not know leaves the record as it is', async () => {
    const { charge, told, faulty } = await uncertain(async () => ({ verdict: 'unknown' }))
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
    expect(told()).toEqual(['uncertain 1 the resolver does not know', 'uncertain 0'])
    expect(faulty.calls.claim).toBe(2)
  })

  test('that fails leaves the record as it is, and its error goes to the event sink, never to the caller', async () => {
    const broken = new Error('the provider is down')
    const { charge, events } = await uncertain(() => Promise.reject(broken))
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
    expect(events).toMatchObject([
      { type: 'uncertain', attempt: 1, reason: 'the resolver failed', error: broken },
      { type: 'uncertain', attempt: 0, reason: '' },
    ])
  })

  test('that finds a value which cannot be stored leaves the record as it is', async () => {
    const { charge, events } = await uncertain(async () => ({ verdict: 'applied', value: new Map() }))
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
    expect(events[0]).toMatchObject({ reason: 'the resolver failed', error: { code: 'ONCELY_VALUE_NOT_STORABLE' } })
  })

  test('is waited for as long as a lease, and then the caller is told that nobody knows', async () => {
    const { charge, clock } = await uncertain(() => new Promise(() => {}))
    const call = charge.run(oneCall, never)
    await clock.advance(9_999)
    expect(await stateOf(call)).toBe('pending')
    await clock.advance(1)
    expect(await stateOf(call)).toMatchObject({ status: 'uncertain' })
  })

  test('whose verdict the store does not take is no verdict', async () => {
    const { charge, faulty } = await uncertain(async () => ({ verdict: 'applied', value: 7 }))
    faulty.plan('resolve', 'refused')
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
  })

  test('that is overtaken by the late owner gives way to what stands', async () => {
    const world = engineWorld()
    const [a, b] = [world.start(), world.start()]
    a.cutOff()
    let finish: (value: string) => void = () => {}
    const late = a.oncely
      .operation('charge', { bind: 'lease', policy })
      .run(oneCall, () => new Promise<string>((resolve) => (finish = resolve)))
    await world.clock.advance(10_000)
    const resolver: Resolver<unknown> = async () => {
      finish('late')
      await late
      return { verdict: 'applied', value: 'guessed' }
    }
    const charge = b.oncely.operation('charge', { bind: 'lease', policy, resolver })
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'late' })
    expect(b.told()).toEqual(['resolved 1 applied: changed', 'replayed 0'])
  })

  test('runs once in the time of a lease, and its turn comes again', async () => {
    let runs = 0
    const { charge, clock } = await uncertain(async () => {
      runs++
      return { verdict: 'unknown' }
    })
    await charge.run(oneCall, never)
    await charge.run(oneCall, never)
    await clock.advance(9_999)
    await charge.run(oneCall, never)
    expect(runs).toBe(1)
    await clock.advance(1)
    await charge.run(oneCall, never)
    expect(runs).toBe(2)
  })
})

test('without a resolver an uncertain record stays what it is', async () => {
  const { oncely, told } = engineWorld().start()
  const charge = oncely.operation('charge', { bind: 'lease', policy })
  await expect(charge.run(oneCall, () => Promise.reject(new Error('reset')))).rejects.toThrow('reset')
  told()
  expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
  expect(told()).toEqual(['uncertain 0'])
})
