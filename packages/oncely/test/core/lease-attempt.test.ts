import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import {
  type Call,
  type ClaimRequest,
  encodeValue,
  LeaseLost,
  type OncelyRecord,
  type Ownership,
  Rejection,
  StoreUnavailable,
  sealOutcome,
} from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import { deferred } from '../support/deferred.ts'
import { engineWorld, oneCall, stateOf, workOf } from '../support/engine-world.ts'
import type { Fault } from '../support/fault-store.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const engineCall: Call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'value', value: oneCall.input } } }
const never = (): never => {
  throw new Error('it ran')
}
const many = (fault: Fault): Fault[] => Array<Fault>(2_000).fill(fault)

/** One process with one operation, and the record of its calls. */
function oneOperation(own: { begin?: 'explicit'; rerunnable?: boolean; store?: 'nothing'; open?: boolean } = {}) {
  const world = engineWorld()
  const process = world.start({ limits: { storeTimeoutMs: 1_000 } })
  const { open, ...options } = own
  const charge = process.oncely.operation('charge', { bind: 'lease', policy: open ? 'telemetry' : policy, ...options })
  let id = new Uint8Array()
  const remember = (record: string): void => {
    id = Buffer.from(record, 'hex')
  }
  return {
    ...world,
    ...process,
    charge,
    remember,
    read: (): Promise<OncelyRecord | undefined> => world.store.read(id),
    /** Proof of the newest claim, as its process holds it. */
    owned: async (): Promise<Ownership> => {
      const record = await world.store.read(id)
      if (record === undefined) throw new Error('no record')
      return { id: record.id, token: record.token, attemptId: record.attemptId }
    },
    reasons: async () => (await world.store.trail(id)).map(({ event, reason }) => `${event} ${reason}`.trim()),
  }
}

describe('a handler that ends with', () => {
  test('a failure as value releases the key before begin and seals it after, and its caller gets the value', async () => {
    const explicit = oneOperation({ begin: 'explicit' })
    const failed = (operation: ReturnType<typeof oneOperation>['charge'], judge: 'failed' | 'not-applied') =>
      operation.engine.execute(
        operation.definition,
        engineCall,
        workOf(() => 503, judge),
      )
    expect(await failed(explicit.charge, 'failed')).toEqual({
      status: 'failed',
      value: 503,
      disposition: 'released',
      record: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    expect(explicit.told()).toEqual(['claimed 1', 'released 1 failed'])
    const begun = oneOperation()
    expect(await failed(begun.charge, 'failed')).toMatchObject({ status: 'failed', value: 503, disposition: 'uncertain' })
    expect(begun.told()).toEqual(['claimed 1', 'sealed 1 failed'])
    expect(await begun.charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
    const declared = oneOperation()
    expect(await failed(declared.charge, 'not-applied')).toMatchObject({ disposition: 'released' })
    expect(declared.told()).toEqual(['claimed 1', 'released 1 not-applied'])
    expect(await declared.charge.run(oneCall, ({ attempt }) => attempt)).toMatchObject({ status: 'done', value: 2 })
  })

  test('an exception leaves the name of its class as the reason, never its message', async () => {
    const { charge, remember, reasons, told } = oneOperation()
    const failing = charge.run(oneCall, ({ record }) => {
      remember(record)
      throw new RangeError('card 4242 4242 4242 4242')
    })
    await expect(failing).rejects.toThrow('4242')
    expect(await reasons()).toEqual(['claimed', 'uncertain RangeError'])
    expect(told()).toEqual(['claimed 1', 'sealed 1 RangeError'])
  })

  test('a rejection records its value, and its own caller is told that it is new', async () => {
    const { charge, told } = oneOperation()
    const result = await charge.engine.execute(
      charge.definition,
      engineCall,
      workOf(() => {
        throw new Rejection({ code: 'declined' })
      }),
    )
    expect(result).toEqual({ status: 'rejected', value: { code: 'declined' }, record: expect.any(String), attempt: 1 })
    expect(told()).toEqual(['claimed 1', 'completed 1'])
    expect(await charge.run(oneCall, never)).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: true })
  })

  test('a rejection or value that cannot be stored settles the record, and the error is thrown', async () => {
    for (const end of ['throw', 'return'] as const) {
      const { charge, told } = oneOperation({ begin: 'explicit' })
      const failing = charge.run(oneCall, () => {
        if (end === 'throw') throw new Rejection(new Map())
        return new Map()
      })
      await expect(failing).rejects.toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE' })
      expect(told()).toEqual(['claimed 1', 'released 1 ValueNotStorable'])
    }
  })

  test('a rejection too large to store tells a retry that it was not stored', async () => {
    const { oncely } = engineWorld().start({ limits: { responseBytesMax: 4 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    const rejecting = (): never => {
      throw new Rejection('far too long')
    }
    expect(await charge.run(oneCall, rejecting)).toEqual({ status: 'rejected', value: 'far too long', replayed: false })
    expect(await charge.run(oneCall, never)).toEqual({ status: 'not-stored' })
    expect(await charge.run({ ...oneCall, key: 'fits' }, () => 'ab')).toMatchObject({ status: 'done' })
    expect(await charge.run({ ...oneCall, key: 'fits' }, never)).toEqual({ status: 'replayed', value: 'ab' })
  })

  test('a value that is not to be stored says so in the record, and why', async () => {
    for (const [own, limits, why] of [
      [{ store: 'nothing' }, {}, 'no-store'],
      [{}, { responseBytesMax: 1 }, 'oversize'],
    ] as const) {
      const { store, start } = engineWorld()
      const charge = start({ limits }).oncely.operation('charge', { bind: 'lease', policy, ...own })
      let id = ''
      await charge.run(oneCall, ({ record }) => {
        id = record
        return 'secret'
      })
      const found = await store.read(Buffer.from(id, 'hex'))
      expect(found?.state === 'completed' && Buffer.from(found.outcome?.bytes ?? []).toString()).toBe(why)
    }
  })
})

describe('a claim', () => {
  test('hands the handler its key, its number, its fence and its record', async () => {
    const { charge, read, remember } = oneOperation({ begin: 'explicit' })
    await expect(charge.run(oneCall, () => Promise.reject(new Error('again')))).rejects.toThrow('again')
    await charge.run(oneCall, async (context) => {
      remember(context.record)
      const record = await read()
      expect(context).toMatchObject({ key: 'k1', attempt: 2, fence: record?.token, input: oneCall.input })
      expect(context.signal.aborted).toBe(false)
      return null
    })
    expect(await read()).toMatchObject({ state: 'completed', attempt: 2 })
  })

  test('that takes a lost lease over says so', async () => {
    const world = engineWorld()
    const [a, b] = [world.start(), world.start()]
    a.cutOff()
    const gate = deferred<string>()
    const options = { bind: 'lease', rerunnable: true, policy } as const
    const late = a.oncely.operation('sync', options).run(oneCall, () => gate.promise)
    await world.clock.advance(30_001)
    expect(await b.oncely.operation('sync', options).run(oneCall, () => 'b')).toMatchObject({ status: 'done', value: 'b', attempt: 2 })
    expect(b.told()).toEqual(['taken-over 2', 'completed 2'])
    gate.resolve('a')
    expect(await late).toEqual({ status: 'replayed', value: 'b' })
    expect(a.told()).toEqual(['claimed 1', 'lease-lost 1 lost', 'replayed 0'])
  })

  test('that is answered after its lease could have ended runs nothing, and frees the key', async () => {
    const { clock, charge, faulty, told } = oneOperation()
    await charge.run({ ...oneCall, key: 'opened' }, () => 0)
    told()
    faulty.plan('claim', 'slow')
    // The process stands still for the time of the lease, and its timers run only after the answer.
    const stalled = charge.run(oneCall, never)
    expect(await stateOf(stalled)).toBe('pending')
    Object.defineProperty(clock, 'monotonicMs', { configurable: true, value: () => 30_000 })
    faulty.thaw()
    expect(await stateOf(stalled)).toEqual({
      status: 'unavailable',
      reason: 'store',
      retryAfterMs: 1_000,
      cause: expect.any(LeaseLost),
    })
    Reflect.deleteProperty(clock, 'monotonicMs')
    expect(await charge.run(oneCall, ({ attempt }) => attempt)).toMatchObject({ status: 'done', value: 2 })
  })

  test('that fails with an error of another kind lets it pass', async () => {
    const claim = () => Promise.reject(new TypeError('a bug of the store'))
    const { oncely } = engineWorld({ store: (clock) => Object.assign(memoryStore({ clock }), { claim }) }).start()
    for (const preset of ['telemetry', policy] as const) {
      const charge = oncely.operation(`charge ${String(preset)}`.replace(/[^a-z]/g, '-'), { bind: 'lease', policy: preset })
      await expect(charge.run(oneCall, never)).rejects.toThrow('a bug of the store')
    }
  })

  test('that nobody answered is given up, and freed as soon as the store is back', async () => {
    const { clock, charge, faulty, store, remember, reasons } = oneOperation()
    faulty.plan('claim', ...Array<Fault>(30).fill('answer-lost'))
    const lost = charge.run(oneCall, never)
    await clock.advance(1_000)
    expect(await stateOf(lost)).toMatchObject({ status: 'unavailable' })
    const claims = faulty.calls.claim ?? 0
    await clock.advance(29_000)
    expect(faulty.calls.claim).toBeGreaterThan(claims)
    expect(await store.stats()).toMatchObject({ records: 1, running: 0, uncertain: 0 })
    await charge.run(oneCall, ({ record }) => remember(record))
    expect(await reasons()).toContain('released the claim was given up unanswered')
  })

  test('that surely did not happen is not asked again, and nothing is left to free', async () => {
    const { clock, charge, faulty, store } = oneOperation()
    faulty.plan('claim', 'refused')
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'unavailable' })
    await clock.advance(60_000)
    expect(faulty.calls.claim).toBe(1)
    expect(await store.stats()).toMatchObject({ records: 0 })
  })

  test('that is given up while another one runs leaves that one alone', async () => {
    const world = engineWorld()
    const [a, b] = [world.start({ limits: { storeTimeoutMs: 1_000 } }), world.start()]
    const gate = deferred<string>()
    const running = b.oncely.operation('charge', { bind: 'lease', policy }).run(oneCall, () => gate.promise)
    await stateOf(running)
    a.faulty.plan('claim', ...Array<Fault>(30).fill('answer-lost'))
    const lost = a.oncely.operation('charge', { bind: 'lease', policy }).run(oneCall, never)
    await world.clock.advance(20_000)
    expect(await lost).toMatchObject({ status: 'unavailable' })
    expect(a.faulty.calls.release).toBeUndefined()
    gate.resolve('b')
    expect(await running).toMatchObject({ status: 'done', value: 'b' })
  })
})

describe('with an open policy and the store away', () => {
  test('the handler runs unprotected, and the event says why', async () => {
    const { charge, faulty, events } = oneOperation({ open: true })
    faulty.plan('claim', 'refused')
    const seen: unknown[] = []
    const result = await charge.run(oneCall, async ({ key, attempt, fence, begin, signal, deriveKey, record }) => {
      await begin()
      seen.push(key, attempt, fence, signal.aborted, deriveKey('psp').length, record.length)
      return 'ran'
    })
    expect(result).toEqual({ status: 'unprotected', value: 'ran' })
    expect(seen).toEqual(['k1', 0, { epoch: 0, seq: 0n }, false, 40, 64])
    expect(events).toMatchObject([{ type: 'unprotected', attempt: 0, reason: 'store', error: expect.any(StoreUnavailable) }])
  })

  test('a rejection is answered and not recorded, and an exception passes', async () => {
    const { charge, faulty } = oneOperation({ open: true })
    faulty.plan('claim', 'refused', 'refused')
    const rejecting = (): never => {
      throw new Rejection('declined')
    }
    expect(await charge.run(oneCall, rejecting)).toEqual({ status: 'rejected', value: 'declined', replayed: false })
    await expect(charge.run(oneCall, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(await charge.run(oneCall, () => 'ran')).toMatchObject({ status: 'done', value: 'ran' })
  })
})

describe('an outcome that the store does not take', () => {
  test('is tried until the time limit, and then the caller is told', async () => {
    const { clock, charge, faulty, events } = oneOperation()
    faulty.plan('complete', ...many('refused'))
    const running = charge.engine.execute(
      charge.definition,
      engineCall,
      workOf(() => 'value'),
    )
    await clock.advance(1_000)
    expect(await stateOf(running)).toEqual({
      status: 'unrecorded',
      value: 'value',
      answer: true,
      retryAfterMs: 1_000,
      record: expect.any(String),
    })
    expect(events.map(({ type, attempt, reason }) => `${type} ${attempt} ${reason}`)).toEqual(['claimed 1 ', 'unrecorded 1 store'])
    expect(events[1]?.error).toBeInstanceOf(StoreUnavailable)
  })

  test('because another one stands gives the caller the one that stands', async () => {
    const { charge, owned, remember, store, told } = oneOperation()
    const result = await charge.run(oneCall, async ({ record }) => {
      remember(record)
      await store.complete(await owned(), sealOutcome(encodeValue(7), nodeHasher))
      return 8
    })
    expect(result).toEqual({ status: 'replayed', value: 7 })
    expect(told()).toEqual(['claimed 1', 'outcome-conflict 1 conflict', 'replayed 0'])
  })

  test('because the claim is lost leaves doubt where nothing stands, or where the store cannot be read', async () => {
    for (const faults of [[], ['refused']] as const) {
      const { charge, owned, remember, store, faulty, told } = oneOperation()
      const result = await charge.run(oneCall, async ({ record }) => {
        remember(record)
        await store.release(await owned(), { reason: 'elsewhere', declared: true })
        faulty.plan('read', ...faults)
        return 8
      })
      expect(result).toEqual({ status: 'uncertain', record: expect.stringMatching(/^[0-9a-f]{64}$/) })
      expect(told()).toEqual(['claimed 1', 'lease-lost 1 lost'])
    }
  })
})

describe('a record that cannot be settled', () => {
  test('keeps running until its lease ends, and the caller of a failure is told what the next claim will find', async () => {
    for (const [own, disposition, next] of [
      [{ begin: 'explicit' }, 'released', 'done'],
      [{}, 'uncertain', 'uncertain'],
    ] as const) {
      const { clock, charge, faulty } = oneOperation(own)
      faulty.plan('release', ...many('refused'))
      faulty.plan('seal', ...many('refused'))
      const failing = charge.engine.execute(
        charge.definition,
        engineCall,
        workOf(() => 503, 'failed'),
      )
      await clock.advance(1_000)
      expect(await stateOf(failing)).toMatchObject({ status: 'failed', disposition })
      await clock.advance(30_000)
      expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: next })
    }
  })

  test('because it is not ours any more is in doubt for its caller', async () => {
    const { charge, owned, remember, store } = oneOperation({ begin: 'explicit' })
    const failing = charge.engine.execute(
      charge.definition,
      engineCall,
      workOf(async ({ record }) => {
        remember(record)
        await store.forget((await owned()).id, { reason: 'erased' })
        return 503
      }, 'failed'),
    )
    expect(await failing).toMatchObject({ status: 'failed', disposition: 'uncertain' })
  })

  test('as free because the store knows of a begun attempt is sealed', async () => {
    const { charge, owned, remember, store, told, reasons } = oneOperation({ begin: 'explicit' })
    const failing = charge.run(oneCall, async ({ record }) => {
      remember(record)
      await store.renew(await owned(), { leaseMs: 30_000, begun: true })
      throw new Error('after all')
    })
    await expect(failing).rejects.toThrow('after all')
    expect(told()).toEqual(['claimed 1', 'sealed 1 Error'])
    expect(await reasons()).toContain('uncertain Error')
  })

  test('with an error of another kind lets that pass', async () => {
    const release = () => Promise.reject(new TypeError('a bug of the store'))
    const { oncely } = engineWorld({ store: (clock) => Object.assign(memoryStore({ clock }), { release }) }).start()
    const charge = oncely.operation('charge', { bind: 'lease', begin: 'explicit', policy })
    await expect(charge.run(oneCall, () => Promise.reject(new Error('mine')))).rejects.toThrow('a bug of the store')
  })
})

test('a claim that is asked again is the same attempt, and the next call is another one', async () => {
  const ids: string[] = []
  const { clock, start } = engineWorld({
    store: (manual) => {
      const store = memoryStore({ clock: manual })
      const claim = store.claim.bind(store)
      return Object.assign(store, {
        claim: (request: ClaimRequest) => {
          ids.push(request.attemptId)
          return claim(request)
        },
      })
    },
  })
  const { oncely, faulty } = start()
  const charge = oncely.operation('charge', { bind: 'lease', policy })
  faulty.plan('claim', 'answer-lost')
  const first = charge.run(oneCall, ({ attempt }) => attempt)
  await clock.advance(100)
  expect(await stateOf(first)).toMatchObject({ status: 'done', value: 1 })
  await charge.run({ ...oneCall, key: 'k2' }, () => 2)
  const [one, again, next] = ids
  expect(ids).toHaveLength(3)
  expect(again).toBe(one)
  expect(next).not.toBe(one)
})
