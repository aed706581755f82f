import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { type Call, Draining, OutcomeCorrupt, type RecordSummary, SecretMissing, StoreUnavailable } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'
import { engineWorld, oneCall, stateOf, workOf } from '../support/engine-world.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const other = { ...oneCall, input: { amount: 6 } }
const never = (): never => {
  throw new Error('it ran')
}
const engineCall: Call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'value', value: oneCall.input } } }

/** The trail's count of answers that duplicates of this record got. */
async function counted(oncely: ReturnType<ReturnType<typeof engineWorld>['start']>['oncely'], record: string): Promise<string[]> {
  const trail = await oncely.trail(Buffer.from(record, 'hex'))
  return trail.filter(({ count }) => count > 0).map(({ reason, count }) => `${reason} ${count}`)
}

describe('what a duplicate is told is told to the event sink and counted', () => {
  test('a replay', async () => {
    const { oncely, told } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    let record = ''
    await charge.run(oneCall, (context) => {
      record = context.record
    })
    expect(told()).toEqual(['claimed 1', 'completed 1'])
    await charge.run(oneCall, never)
    await charge.run(oneCall, never)
    expect(told()).toEqual(['replayed 0', 'replayed 0'])
    expect(await counted(oncely, record)).toEqual(['replayed 2'])
  })

  test('that another call runs, and when its lease ends', async () => {
    const world = engineWorld()
    const [a, b] = [world.start(), world.start()]
    const gate = deferred()
    const running = a.oncely.operation('charge', { bind: 'lease', policy }).run(oneCall, () => gate.promise)
    await world.clock.advance(1_000)
    const charge = b.oncely.operation('charge', { bind: 'lease', policy })
    const result = await charge.engine.execute(charge.definition, engineCall, workOf(never))
    expect(result).toEqual({ status: 'in-progress', retryAfterMs: 29_000, record: expect.stringMatching(/^[0-9a-f]{64}$/) })
    expect(b.told()).toEqual(['in-progress 0'])
    expect(await counted(b.oncely, 'record' in result ? result.record : '')).toEqual(['in-progress 1'])
    gate.resolve()
    await running
  })

  test('a mismatch', async () => {
    const { oncely, told } = engineWorld().start({ limits: { recentOutcomesMax: 0 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    let record = ''
    await charge.run(oneCall, (context) => {
      record = context.record
    })
    told()
    expect(await charge.run(other, never)).toEqual({ status: 'mismatch' })
    expect(told()).toEqual(['mismatch 0'])
    expect(await counted(oncely, record)).toEqual(['mismatch 1'])
  })

  test('that its outcome is uncertain, with what is known of the record', async () => {
    const { oncely, told } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await expect(charge.run(oneCall, () => Promise.reject(new RangeError('reset')))).rejects.toThrow('reset')
    expect(told()).toEqual(['claimed 1', 'sealed 1 RangeError'])
    const result = await charge.engine.execute(charge.definition, engineCall, workOf(never))
    expect(result).toMatchObject({ status: 'uncertain', summary: { state: 'uncertain', attempt: 1, reason: 'RangeError' } })
    expect(told()).toEqual(['uncertain 0'])
    expect(await counted(oncely, 'record' in result ? result.record : '')).toEqual(['uncertain 1'])
  })

  test('that the record is quarantined, with what is known of it', async () => {
    const { oncely, told } = engineWorld().start()
    const charge = oncely.operation('charge', {
      bind: 'lease',
      begin: 'explicit',
      policy: ['standard', { survives: 'nothing', attemptsMax: 1 }],
    })
    await expect(charge.run(oneCall, () => Promise.reject('no error at all'))).rejects.toBe('no error at all')
    expect(told()).toEqual(['claimed 1', 'released 1 string'])
    const result = await charge.engine.execute(charge.definition, engineCall, workOf(never))
    expect(result).toMatchObject({ status: 'quarantined', summary: { state: 'quarantined', attempt: 1 } })
    expect(told()).toEqual(['quarantined 0'])
    expect(await counted(oncely, 'record' in result ? result.record : '')).toEqual(['quarantined 1'])
  })

  test('that the key is used up, with what is known of the record', async () => {
    const { clock, start } = engineWorld()
    const { oncely, told } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await charge.run(oneCall, () => 1)
    await clock.advance(24 * 3_600_000)
    told()
    const result = await charge.engine.execute(charge.definition, engineCall, workOf(never))
    expect(result).toMatchObject({ status: 'expired', summary: { state: 'completed', attempt: 1 } })
    expect(told()).toEqual(['expired 0'])
    expect(await counted(oncely, 'record' in result ? result.record : '')).toEqual(['expired 1'])
  })

  test('that nobody can read the record, which nothing runs over', async () => {
    const world = engineWorld()
    const key = new Uint8Array(32)
    await world
      .start({ secrets: [{ id: 1, key }] })
      .oncely.operation('charge', { bind: 'lease', policy })
      .run(oneCall, () => 1)
    const { oncely, told } = world.start({ secrets: [{ id: 2, key }] })
    expect(await oncely.operation('charge', { bind: 'lease', policy }).run(oneCall, never)).toEqual({
      status: 'unavailable',
      reason: 'fingerprint-secret',
      retryAfterMs: 5_000,
      cause: expect.any(SecretMissing),
    })
    expect(told()).toEqual(['unavailable 0 fingerprint-secret'])
  })

  test('that the store is away, with the reason for whoever listens', async () => {
    const { oncely, faulty, events } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    faulty.plan('claim', 'refused')
    const result = await charge.run(oneCall, never)
    expect(result).toEqual({ status: 'unavailable', reason: 'store', retryAfterMs: 1_000, cause: expect.any(StoreUnavailable) })
    expect(events).toEqual([
      {
        type: 'unavailable',
        operation: 'charge',
        record: expect.stringMatching(/^[0-9a-f]{64}$/),
        client: expect.stringMatching(/^[0-9a-f]{12}$/),
        attempt: 0,
        reason: 'store',
        error: 'cause' in result ? result.cause : undefined,
      },
    ])
  })

  test('nothing, where nobody listens', async () => {
    const { oncely } = engineWorld().start({ events: undefined as never })
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done' })
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'replayed' })
  })
})

describe('a replay', () => {
  test('is answered from this process for a minute, then by the store again', async () => {
    const { clock, start } = engineWorld()
    const { oncely, faulty } = start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await charge.run(oneCall, () => 'one')
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'one' })
    expect(await charge.run(other, never)).toEqual({ status: 'mismatch' })
    expect(faulty.calls.claim).toBe(1)
    await clock.advance(60_000)
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'one' })
    expect(faulty.calls.claim).toBe(2)
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'one' })
    expect(faulty.calls.claim).toBe(2)
  })

  test('is answered from this process no longer than its retention', async () => {
    const { clock, start } = engineWorld()
    const { oncely, faulty } = start()
    const parts = { retryHorizon: '5s', backoffCeiling: 0, partitionRecovery: 0, brokerRedelivery: 0 } as const
    const brief = { survives: 'nothing', retention: '20s', tombstone: '1h', lease: '5s', ...parts } as const
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', brief] })
    await charge.run(oneCall, () => 'one')
    await clock.advance(19_999)
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'one' })
    expect(faulty.calls.claim).toBe(1)
    await clock.advance(1)
    expect(await charge.run(oneCall, never)).toEqual({ status: 'expired' })
  })

  test('is not answered from this process once the record is erased', async () => {
    const { oncely } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    let record = ''
    await charge.run(oneCall, (context) => {
      record = context.record
    })
    await oncely.forget(Buffer.from(record, 'hex'), 'asked for')
    expect(await charge.run(oneCall, () => 'again')).toMatchObject({ status: 'done', value: 'again', attempt: 1 })
  })

  test('is authorised again each time, on what is known of the record, wherever that comes from', async () => {
    const world = engineWorld()
    const [a, b] = [world.start(), world.start()]
    const seen: RecordSummary[] = []
    const authorizeReplay = async (summary: RecordSummary): Promise<boolean> => seen.push(summary) > 1
    const charge = a.oncely.operation('charge', { bind: 'lease', policy })
    await charge.run({ ...oneCall, actor: 'alice' }, () => 1)
    const elsewhere = b.oncely.operation('charge', { bind: 'lease', policy })
    expect(await elsewhere.run({ ...oneCall, authorizeReplay }, never)).toEqual({ status: 'forbidden' })
    expect(b.told()).toEqual(['forbidden 0'])
    expect(await charge.run({ ...oneCall, authorizeReplay }, never)).toEqual({ status: 'replayed', value: 1 })
    const [fromStore, fromProcess] = seen
    expect(fromStore).toMatchObject({ state: 'completed', operation: 'charge', attempt: 1, reason: '' })
    expect(fromProcess).toEqual({ ...fromStore, completedAtMs: 0 })
  })

  test('goes to the same actor only where the policy says so', async () => {
    const { oncely, told } = engineWorld().start()
    const byActor = oncely.operation('by-actor', { bind: 'lease', policy: ['standard', { survives: 'nothing', replayTo: 'actor' }] })
    const byPrincipal = oncely.operation('by-principal', { bind: 'lease', policy, keyspace: 'operation' })
    await byActor.run({ ...oneCall, actor: 'alice' }, () => 1)
    expect(await byActor.run({ ...oneCall, actor: 'alice' }, never)).toMatchObject({ status: 'replayed' })
    told()
    expect(await byActor.run({ ...oneCall, actor: 'bob' }, never)).toEqual({ status: 'forbidden' })
    expect(await byActor.run(oneCall, never)).toEqual({ status: 'forbidden' })
    expect(told()).toEqual(['forbidden 0', 'forbidden 0'])
    await byPrincipal.run({ ...oneCall, actor: 'alice' }, () => 1)
    expect(await byPrincipal.run({ ...oneCall, actor: 'bob' }, never)).toMatchObject({ status: 'replayed' })
  })

  test('of an outcome that is missing or damaged is a typed error, and nothing runs', async () => {
    for (const outcome of [undefined, { codec: 1, bytes: Uint8Array.of(0x31), checksum: new Uint8Array(16) }]) {
      const claim = async () => ({ word: 'replay', record: { actor: new Uint8Array(0) } as RecordSummary, outcome }) as const
      const { oncely } = engineWorld({ store: (clock) => Object.assign(memoryStore({ clock }), { claim }) }).start()
      const charge = oncely.operation('charge', { bind: 'lease', policy })
      await expect(charge.run(oneCall, never)).rejects.toBeInstanceOf(OutcomeCorrupt)
    }
  })
})

describe('a process takes no more than it may', () => {
  test('a call beyond the limit is refused with a time to come back, and one that ended makes room', async () => {
    const { oncely } = engineWorld().start({ limits: { runningMax: 2 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    const gates = [deferred(), deferred()]
    const running = gates.map((gate, nth) => charge.run({ ...oneCall, key: `running ${nth}` }, () => gate.promise))
    expect(await stateOf(running[1] as Promise<unknown>)).toBe('pending')
    expect(await charge.run(oneCall, never)).toEqual({
      status: 'unavailable',
      reason: 'running-max',
      retryAfterMs: 1_000,
      cause: undefined,
    })
    gates[0]?.resolve()
    await running[0]
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done' })
    gates[1]?.resolve()
    await running[1]
  })

  test('a call that fails makes room too', async () => {
    const { oncely } = engineWorld().start({ limits: { runningMax: 1 } })
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await expect(charge.run(oneCall, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(await charge.run({ ...oneCall, key: 'k2' }, () => 1)).toMatchObject({ status: 'done' })
  })

  test('nothing at all while it drains, and it says why', async () => {
    const { oncely } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy })
    await oncely.drain()
    expect(await charge.run(oneCall, never)).toEqual({
      status: 'unavailable',
      reason: 'draining',
      retryAfterMs: 1_000,
      cause: expect.any(Draining),
    })
  })
})
