import { anonymous, createOncely } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import {
  type ClaimRequest,
  decodeValue,
  type OncelyRecord,
  type Resolution,
  StoreTooWeak,
  StoreUnavailable,
  type Survives,
} from '../../src/core/index.ts'
import { engineWorld, oneCall } from '../support/engine-world.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const key = 'a secret of 16 B'

describe('an instance', () => {
  test.each([
    ['no namespace', { namespace: '' }, 'namespace is ""'],
    ['one that is no text', { namespace: 5 as never }, 'namespace is 5'],
    ['one that is too long', { namespace: 'n'.repeat(129) }, '1 to 128 printable ASCII'],
    ['one with a line end', { namespace: 'a\nb' }, 'printable ASCII'],
    ['a secret id below the range', { secrets: [{ id: 0, key }] }, "A secret's id is 0"],
    ['a secret id beyond the range', { secrets: [{ id: 32_768, key }] }, "A secret's id is 32768"],
    ['a secret id that is no whole number', { secrets: [{ id: 1.5, key }] }, "A secret's id is 1.5"],
    ['a secret below 16 bytes', { secrets: [{ id: 1, key: key.slice(1) }] }, 'Secret 1 has 15 bytes, at least 16'],
    ['a secret below 16 bytes as bytes', { secrets: [{ id: 1, key: new Uint8Array(15) }] }, 'Secret 1 has 15 bytes, at least 16'],
    ['a secret of another type', { secrets: [{ id: 1, key: 'x'.repeat(20).split('') as never }] }, 'Secret 1 has 20 bytes'],
    ['no secret at all', { secrets: [{ id: 1, key: undefined as never }] }, 'Secret 1 has 0 bytes'],
  ])('with %s is refused', (_, own, message) => {
    expect(() => engineWorld().start(own)).toThrow(message)
  })

  test('tells the id of a caller’s record, anonymous callers included', async () => {
    const oncely = createOncely({ namespace: 'n', store: memoryStore() })
    const operation = oncely.operation('pay', { bind: 'lease', policy })
    const apart = oncely.operation('refund', { bind: 'lease', policy, keyspace: 'operation' })
    for (const principal of ['acme', 'anonymous', anonymous] as const) {
      await operation.run({ principal, key: 'k', input: {} }, () => 1)
      await apart.run({ principal, key: 'k', input: {} }, () => 1)
      const own = oncely.recordId({ principal, key: 'k', operation: 'refund' })
      expect((await oncely.read(oncely.recordId({ principal, key: 'k' })))?.operation).toBe('pay')
      expect((await oncely.read(own))?.operation).toBe('refund')
    }
    expect((await oncely.stats()).records).toBe(6)
  })

  test('takes what is just inside its bounds', () => {
    for (const namespace of ['n', ' ~', 'n'.repeat(128)]) expect(engineWorld().start({ namespace }).oncely.namespace).toBe(namespace)
    const secrets = [
      { id: 1, key },
      { id: 32_767, key: new Uint8Array(16) },
    ]
    expect(engineWorld().start({ secrets }).oncely.operations).toEqual([])
  })

  test('reads a secret given as text as its UTF-8 bytes', async () => {
    const world = engineWorld()
    const options = { bind: 'lease', policy } as const
    await world
      .start({ secrets: [{ id: 1, key }] })
      .oncely.operation('charge', options)
      .run(oneCall, () => 1)
    const bytes = world.start({ secrets: [{ id: 1, key: new TextEncoder().encode(key) }] }).oncely
    expect(await bytes.operation('charge', options).run(oneCall, () => 2)).toEqual({ status: 'replayed', value: 1 })
    const other = world.start({ secrets: [{ id: 1, key: new Uint8Array(16) }] }).oncely
    expect(await other.operation('charge', options).run(oneCall, () => 2)).toEqual({ status: 'mismatch' })
  })

  test('names its process in the trail, where it has a name', async () => {
    for (const owner of ['host-1', undefined]) {
      const { oncely } = engineWorld().start(owner === undefined ? {} : { owner })
      let record = ''
      await oncely.operation('charge', { bind: 'lease', policy }).run(oneCall, (context) => {
        record = context.record
      })
      expect((await oncely.trail(Buffer.from(record, 'hex')))[0]).toMatchObject({ event: 'claimed', owner: owner ?? '' })
    }
  })

  test('gives its operations its phase, which is enforce where nothing is said', () => {
    const declared = (own: object) => engineWorld().start(own).oncely.operation('charge', { bind: 'lease', policy }).definition.phase
    expect(declared({})).toBe('enforce')
    expect(declared({ phase: 'optional' })).toBe('optional')
    expect(
      engineWorld().start({ phase: 'optional' }).oncely.operation('charge', { bind: 'lease', policy, phase: 'observe' }).definition.phase,
    ).toBe('observe')
  })
})

describe('the store', () => {
  function surviving(survives: Survives) {
    return engineWorld({
      store: (clock) =>
        Object.assign(memoryStore({ clock }), {
          open: async () => ({ survives, survivesBecause: 'fsync is off', instanceId: 'x' }),
        }),
    })
  }

  test('is opened once, by the first call or by hand', async () => {
    const { oncely, faulty } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await Promise.all([charge.run(oneCall, () => 1), charge.run({ ...oneCall, key: 'k2' }, () => 2)])
    expect(await oncely.open()).toMatchObject({ survives: 'nothing' })
    await charge.run(oneCall, () => 3)
    expect(faulty.calls.open).toBe(1)
  })

  test('is opened again after it could not be', async () => {
    const { oncely, faulty } = engineWorld().start()
    faulty.plan('open', 'refused')
    await expect(oncely.open()).rejects.toBeInstanceOf(StoreUnavailable)
    expect(await oncely.open()).toMatchObject({ survives: 'nothing' })
    expect(faulty.calls.open).toBe(2)
  })

  test('that does not open in time is unavailable', async () => {
    const { clock, start } = engineWorld()
    const { oncely, faulty } = start({ limits: { storeTimeoutMs: 300 } })
    faulty.plan('open', 'hangs')
    const opening = expect(oncely.open()).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
    await clock.advance(300)
    await opening
  })

  test.each([
    ['nothing', 'restart'],
    ['restart', 'power'],
    ['power', 'failover'],
  ] as const)('that survives %s is refused where %s is needed, and good enough for itself', async (weaker, stronger) => {
    const { oncely } = surviving(weaker).start()
    oncely.operation('charge', { bind: 'lease', policy: ['standard', { survives: weaker }] })
    expect(await oncely.open()).toMatchObject({ survives: weaker })
    oncely.operation('pay', { bind: 'lease', policy: ['standard', { survives: stronger }] })
    await expect(oncely.open()).rejects.toBeInstanceOf(StoreTooWeak)
    await expect(oncely.open()).rejects.toThrow(`needs a store that survives ${stronger}, and memory survives ${weaker}`)
  })

  test('that is too weak is found by the call, also of an operation declared later', async () => {
    const { oncely } = surviving('nothing').start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done' })
    const pay = oncely.operation('pay', { bind: 'lease', policy: 'financial' })
    await expect(pay.run({ ...oneCall, key: 'k2' }, () => 2)).rejects.toBeInstanceOf(StoreTooWeak)
  })
})

describe('the sweeper', () => {
  /** A store whose batches are as large as they are told to be. */
  function sweeping(...batches: number[]) {
    const limits: { readonly batchMax: number }[] = []
    const world = engineWorld({
      store: (clock) =>
        Object.assign(memoryStore({ clock }), {
          sweep: async (limit: { readonly batchMax: number }) => {
            limits.push(limit)
            return { removed: batches.shift() ?? 0 }
          },
        }),
    })
    return { ...world, ...world.start(), limits }
  }

  test('does not run unless it is asked for', async () => {
    const { oncely, clock, limits } = sweeping()
    await oncely.start()
    await oncely.start({ sweepEveryMs: 10 })
    await clock.advance(600_000)
    expect(limits).toEqual([])
    expect(clock.pending).toBe(0)
  })

  test('sweeps a bounded batch each minute, and more often where that is said', async () => {
    const { oncely, clock, limits } = sweeping()
    await oncely.start({ sweeper: true })
    await clock.advance(59_999)
    expect(limits).toEqual([])
    await clock.advance(1)
    expect(limits).toEqual([{ batchMax: 5_000 }])
    await clock.advance(60_000)
    expect(limits).toHaveLength(2)
    const often = sweeping()
    await often.oncely.start({ sweeper: true, sweepEveryMs: 1_000 })
    await often.clock.advance(10_000)
    expect(often.limits).toHaveLength(10)
  })

  test('goes on at once after a full batch, and waits after any other', async () => {
    const { oncely, clock, limits } = sweeping(5_000, 5_000, 4_999)
    await oncely.start({ sweeper: true })
    await clock.advance(60_000)
    expect(limits).toHaveLength(3)
    await clock.advance(59_999)
    expect(limits).toHaveLength(3)
    await clock.advance(1)
    expect(limits).toHaveLength(4)
  })

  test('goes on after an outage', async () => {
    const { oncely, clock, faulty, limits } = sweeping()
    faulty.plan('sweep', 'refused')
    await oncely.start({ sweeper: true })
    await clock.advance(60_000)
    expect(limits).toEqual([])
    await clock.advance(60_000)
    expect(limits).toHaveLength(1)
  })
})

describe('an operator', () => {
  /** An uncertain or quarantined record. */
  async function doubtful(state: 'uncertain' | 'quarantined') {
    const resolutions: Resolution[] = []
    const world = engineWorld({
      store: (clock) => {
        const store = memoryStore({ clock })
        const resolve = store.resolve.bind(store)
        return Object.assign(store, {
          resolve: (id: Uint8Array, resolution: Resolution) => {
            resolutions.push(resolution)
            return resolve(id, resolution)
          },
        })
      },
    })
    const { oncely } = world.start()
    const begin = state === 'uncertain' ? 'at-claim' : 'explicit'
    const charge = oncely.operation('charge', { bind: 'lease', begin, policy: ['standard', { survives: 'nothing', attemptsMax: 1 }] })
    let id = new Uint8Array()
    const failing = charge.run(oneCall, ({ record }) => {
      id = Buffer.from(record, 'hex')
      throw new Error('reset')
    })
    await expect(failing).rejects.toThrow('reset')
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: state })
    return { ...world, oncely, charge, id, record: (await oncely.read(id)) as OncelyRecord, resolutions }
  }

  test.each(['uncertain', 'quarantined'] as const)('completes a record that is %s with the value that was found', async (state) => {
    const { oncely, charge, record, resolutions } = await doubtful(state)
    expect(await oncely.resolve(record, { applied: true, value: { id: 7 }, by: 'ops', reason: 'found it' })).toEqual({ word: 'resolved' })
    expect(await charge.run(oneCall, () => 'again')).toEqual({ status: 'replayed', value: { id: 7 } })
    expect(resolutions).toMatchObject([{ expected: { state, token: record.token }, by: 'ops', reason: 'found it' }])
  })

  test('frees a record whose effect is proven not to have happened', async () => {
    const { oncely, charge, record, clock } = await doubtful('uncertain')
    expect(await oncely.resolve(record, { applied: false, by: 'ops', reason: 'not there' })).toMatchObject({ word: 'early' })
    await clock.advance(60_000)
    expect(await oncely.resolve(record, { applied: false, by: 'ops', reason: 'not there' })).toEqual({ word: 'resolved' })
    expect((await oncely.read(record.id))?.state).toBe('released')
    expect((await charge.run(oneCall, () => 1)).status).toBe('quarantined')
  })

  test('decides only what is in doubt, and only while it is as it was read', async () => {
    const { oncely, charge, record } = await doubtful('uncertain')
    const decision = { applied: true, value: 1, by: 'ops', reason: 'found it' }
    await oncely.resolve(record, decision)
    expect(await oncely.resolve(record, decision)).toEqual({ word: 'changed' })
    const completed = (await oncely.read(record.id)) as OncelyRecord
    await expect(oncely.resolve(completed, decision)).rejects.toThrow('The record is completed')
    expect(await charge.run(oneCall, () => 2)).toEqual({ status: 'replayed', value: 1 })
  })

  test.each([
    ['by', { applied: false, by: '', reason: 'why' }],
    ['reason', { applied: false, by: 'ops', reason: '' }],
  ])('must give "%s" for the trail', async (_, decision) => {
    const { oncely, record } = await doubtful('uncertain')
    await expect(oncely.resolve(record, decision)).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })

  test('reads the outcome of a record and erases it', async () => {
    const { oncely } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    let id = new Uint8Array()
    await charge.run(oneCall, ({ record }) => {
      id = Buffer.from(record, 'hex')
      return 'secret'
    })
    const found = await oncely.read(id)
    expect(found?.state === 'completed' && found.outcome !== undefined && decodeValue(found.outcome)).toBe('secret')
    expect(await oncely.stats()).toMatchObject({ records: 1, completed: 1 })
    expect(await oncely.forget(id, 'asked for')).toBe(true)
    expect(await oncely.read(id)).toBeUndefined()
    expect(await oncely.forget(id, 'asked for')).toBe(false)
    expect(await oncely.trail(id)).toContainEqual(expect.objectContaining({ event: 'forgotten', reason: 'asked for' }))
  })
})

test('a claim asks for what the operation declared', async () => {
  const claims: ClaimRequest[] = []
  const { start } = engineWorld({
    store: (clock) => {
      const store = memoryStore({ clock })
      const claim = store.claim.bind(store)
      return Object.assign(store, {
        claim: (request: ClaimRequest) => {
          claims.push(request)
          return claim(request)
        },
      })
    },
  })
  const { oncely } = start({ owner: 'host-1' })
  await oncely.operation('charge', { bind: 'lease', policy }).run({ ...oneCall, traceId: 'trace-1' }, () => 1)
  expect(claims).toMatchObject([{ operation: 'charge', bind: 'lease', begun: true, leaseMs: 30_000, owner: 'host-1', traceId: 'trace-1' }])
})
