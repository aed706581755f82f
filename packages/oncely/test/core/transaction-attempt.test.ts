import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { Rejection, StoreUnavailable, TransactionDead, TransactionEscaped } from '../../src/core/index.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { book } from '../store/sqlite-fixture.ts'
import { deferred } from '../support/deferred.ts'
import { oneCall, stateOf, workOf } from '../support/engine-world.ts'
import { transactionWorld } from '../support/transaction-world.ts'

const never = (): never => {
  throw new Error('it ran')
}
const booking = ({ tx }: { tx: SqliteConnection }): string => {
  book(tx, 'a')
  return 'booked'
}

async function setUp(options: Parameters<typeof transactionWorld>[0] = {}) {
  const world = await transactionWorld(options)
  return { ...world, charge: world.oncely.operation('charge', { bind: 'transaction' }) }
}

/** Moves the clock a millisecond at a time until this many have passed; the store's own turns go on meanwhile. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed++) await clock.advance(1)
}

describe('a commit whose answer is lost', () => {
  test('is read again by its attempt: when it stands, the caller gets the value', async () => {
    const { charge, plan, rows } = await setUp()
    plan('answer-lost')
    expect(await charge.run(oneCall, booking)).toEqual({ status: 'done', value: 'booked', attempt: 1 })
    expect(rows()).toEqual(['a'])
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'booked' })
  })

  test('that does not stand, as far as anybody sees, is withheld, and the retry finds out', async () => {
    const { charge, plan, rows, events } = await setUp()
    plan('commit-lost')
    expect(await charge.run(oneCall, booking)).toEqual({ status: 'unrecorded', value: undefined, retryAfterMs: 1_000 })
    expect(events.map(({ type, attempt, reason }) => [type, attempt, reason])).toEqual([
      ['claimed', 1, ''],
      ['unrecorded', 0, 'commit-unknown'],
    ])
    expect(rows()).toEqual([])
    expect(await charge.run(oneCall, booking)).toMatchObject({ status: 'done' })
    expect(rows()).toEqual(['a'])
  })

  test('is not taken for the outcome of somebody else', async () => {
    const { charge, plan, store, elsewhere } = await setUp()
    plan('commit-lost')
    const other = elsewhere().operation('charge', { bind: 'transaction' })
    const read = store.read.bind(store)
    // Between the lost commit and the second look, another process is done with the key.
    Object.assign(charge.engine.parts.store, {
      read: async (id: Uint8Array) => {
        await other.run(oneCall, () => 'theirs')
        return read(id)
      },
    })
    expect(await charge.run(oneCall, () => 'ours')).toMatchObject({ status: 'unrecorded', value: undefined })
    expect(await other.run(oneCall, never)).toEqual({ status: 'replayed', value: 'theirs' })
  })

  test('is withheld too when the store cannot be read', async () => {
    const { charge, plan, store } = await setUp()
    plan('answer-lost')
    Object.assign(store, { read: () => Promise.reject(new StoreUnavailable('planned', { applied: 'no' })) })
    expect(await charge.run(oneCall, booking)).toMatchObject({ status: 'unrecorded', value: undefined })
    Reflect.deleteProperty(store, 'read')
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'booked' })
  })

  test('is waited for no longer than the store may take', async () => {
    const clock = new ManualClock()
    const { charge, plan } = await setUp({ clock, limits: { storeTimeoutMs: 300 } })
    plan('hangs-at-commit')
    const running = charge.run(oneCall, booking)
    await pass(clock, 299)
    expect(await stateOf(running)).toBe('pending')
    await pass(clock, 20)
    expect(await stateOf(running)).toEqual({ status: 'done', value: 'booked', attempt: 1 })
  })

  test('that surely did not happen is an outage like any other, and a bug of the store is a bug', async () => {
    const { charge, plan, rows } = await setUp()
    plan('refused-at-commit', 'bug-at-commit')
    expect(await charge.run(oneCall, booking)).toMatchObject({ status: 'unavailable', cause: { applied: 'no' } })
    await expect(charge.run(oneCall, booking)).rejects.toThrow('a bug of the store')
    expect(rows()).toEqual([])
    expect(await charge.run(oneCall, booking)).toMatchObject({ status: 'done' })
  })

  test('is answered by no one, whatever the policy says of unrecorded outcomes', async () => {
    const { charge, plan } = await setUp()
    plan('commit-lost')
    const call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'none' } } } as const
    const execution = await charge.engine.execute(
      charge.definition,
      call,
      workOf(() => 7),
    )
    expect(execution).toEqual({ status: 'unrecorded', value: undefined, answer: false, retryAfterMs: 1_000, record: expect.any(String) })
  })

  test('of a roll-back withholds the answer', async () => {
    const { charge, plan } = await setUp()
    plan('answer-lost')
    const failing = charge.run(oneCall, () => {
      throw new Error('no stock')
    })
    expect(await failing).toMatchObject({ status: 'unrecorded', value: undefined })
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done', attempt: 1 })
  })
})

test('a transaction is asked to be what the operation and the limits say', async () => {
  const { oncely, asked } = await transactionWorld({ limits: { storeTimeoutMs: 300 } })
  const policy = ['standard', { lease: '7s' }] as const
  await oncely.operation('strict', { bind: 'transaction', isolation: 'serializable', policy }).run(oneCall, () => 1)
  await oncely.operation('plain', { bind: 'transaction', policy }).run({ ...oneCall, key: 'k2' }, () => 1)
  expect(asked).toEqual([
    { lockTimeoutMs: 300, idleTimeoutMs: 7_000, isolation: 'serializable' },
    { lockTimeoutMs: 300, idleTimeoutMs: 7_000, isolation: 'default' },
  ])
})

describe('a transaction that does not open', () => {
  test('because the store is away is unavailable, and the handler never runs', async () => {
    const { charge, plan } = await setUp()
    plan('refused')
    expect(await charge.run(oneCall, never)).toEqual({
      status: 'unavailable',
      reason: 'store',
      retryAfterMs: 1_000,
      cause: expect.any(StoreUnavailable),
    })
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done' })
  })

  test('in time is unavailable, and when it opens later it is rolled back without the handler', async () => {
    const clock = new ManualClock()
    const { charge, plan, thaw, store } = await setUp({ clock, limits: { storeTimeoutMs: 300 } })
    plan('slow')
    const running = charge.run(oneCall, never)
    await pass(clock, 299)
    expect(await stateOf(running)).toBe('pending')
    await pass(clock, 2)
    expect(await stateOf(running)).toMatchObject({ status: 'unavailable', cause: { applied: 'no' } })
    thaw()
    await pass(clock, 20)
    expect(await store.stats()).toMatchObject({ records: 0 })
    expect(await charge.run(oneCall, ({ attempt }) => attempt)).toMatchObject({ status: 'done', value: 1 })
  })

  test('before its time was over, as the clock says, does not run the handler, though no timer has told so yet', async () => {
    const clock = new ManualClock()
    const { charge, plan, thaw, waiting } = await setUp({ clock, limits: { storeTimeoutMs: 300 } })
    plan('slow')
    const running = charge.run(oneCall, never)
    await expect.poll(waiting).toBe(1)
    // The process stands still: its timers run only after the answer of the store.
    Object.defineProperty(clock, 'monotonicMs', { configurable: true, value: () => 300 })
    thaw()
    expect(await running).toMatchObject({ status: 'unavailable', cause: { applied: 'no' } })
    Reflect.deleteProperty(clock, 'monotonicMs')
  })

  test('is bounded, but the handler is not: it may take longer than the store', async () => {
    const clock = new ManualClock()
    const { charge } = await setUp({ clock, limits: { storeTimeoutMs: 300 } })
    const gate = deferred<string>()
    const running = charge.run(oneCall, () => gate.promise)
    await pass(clock, 1_000)
    expect(await stateOf(running)).toBe('pending')
    gate.resolve('late')
    expect(await running).toMatchObject({ status: 'done', value: 'late' })
  })

  test('any more, while the handler runs, ends the call', async () => {
    const { charge, plan, rows } = await setUp()
    plan('cut')
    const gate = deferred<string>()
    const running = charge.run(oneCall, () => gate.promise)
    expect(await running).toMatchObject({ status: 'unavailable', reason: 'store' })
    gate.resolve('too late')
    await expect.poll(async () => (await charge.run(oneCall, () => 'again')).status).toBe('done')
    expect(rows()).toEqual([])
  })
})

describe('a transaction that is not the handler’s to end', () => {
  test('is fenced when the record was taken over: nothing of it counts, and the caller may come back', async () => {
    const { charge, plan, rows, told } = await setUp()
    plan('fenced')
    expect(await charge.run(oneCall, booking)).toEqual({ status: 'in-progress', retryAfterMs: 1_000 })
    expect(rows()).toEqual([])
    expect(told()).toEqual(['claimed 1', 'lease-lost 0 fenced', 'in-progress 0'])
  })

  test('committed by the handler, which then returns: the outcome is recorded after it, and the event says so', async () => {
    const { charge, rows, told } = await setUp()
    const result = await charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      tx.exec('COMMIT')
      return 'committed'
    })
    expect(result).toMatchObject({ status: 'done', value: 'committed' })
    expect(rows()).toEqual(['a'])
    expect(told()).toEqual([
      'claimed 1',
      'completed 1',
      'transaction-escaped 1 the handler ended its transaction itself; the outcome was recorded after it, not with it',
    ])
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: 'committed' })
  })

  test('committed by the handler, which then throws: a typed error, never "not applied", and nothing runs again', async () => {
    const { charge, rows, events } = await setUp()
    const mine = new Error('after the commit')
    const failing = charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      tx.exec('COMMIT')
      throw mine
    })
    const error = await failing.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TransactionEscaped)
    expect(error).toMatchObject({ cause: mine, message: expect.stringContaining('"charge" ended its transaction itself and then threw') })
    expect(rows()).toEqual(['a'])
    expect(events.at(-1)).toMatchObject({ type: 'transaction-escaped', attempt: 0, reason: 'uncertain', error })
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
  })

  test('committed by the handler, which then rejects: the same', async () => {
    const { charge, rows } = await setUp()
    const failing = charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      tx.exec('COMMIT')
      throw new Rejection('declined')
    })
    const error = await failing.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'ONCELY_TRANSACTION_ESCAPED', cause: undefined, message: expect.stringContaining('then failed') })
    expect(rows()).toEqual(['a'])
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'uncertain' })
  })

  test('rolled back by the handler, which then goes on: nothing was committed, and the error names the mistake', async () => {
    const { charge, rows } = await setUp()
    const failing = charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      tx.exec('ROLLBACK')
      return 'as if nothing had happened'
    })
    await expect(failing).rejects.toBeInstanceOf(TransactionDead)
    expect(rows()).toEqual([])
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done', attempt: 1 })
  })
})

describe('an error of the database inside the handler', () => {
  test.each([
    ['a disk that fails', 10, { status: 'unavailable', cause: { applied: 'no', cause: { errcode: 10 } } }],
    ['a disk that is full', 13, { status: 'unavailable', cause: { applied: 'no', cause: { errcode: 13 } } }],
  ])('of %s makes the call unavailable, and nothing counts', async (_, errcode, answer) => {
    const { charge, told } = await setUp()
    const failing = charge.run(oneCall, () => {
      throw Object.assign(new Error('disk'), { errcode })
    })
    expect(await failing).toMatchObject(answer)
    expect(told()).toEqual(['claimed 1', 'rolled-back 0 Error', 'unavailable 0 store'])
  })

  test('that an earlier statement caused names the first error as the one to look for', async () => {
    const { charge } = await setUp()
    const aborted = Object.assign(new Error('aborted'), { errcode: 4 })
    const failing = charge.run(oneCall, () => {
      throw aborted
    })
    await expect(failing).rejects.toMatchObject({ code: 'ONCELY_TRANSACTION_DEAD', cause: aborted })
  })

  test('of the user’s own rules is theirs', async () => {
    const { charge, rows } = await setUp()
    await charge.run(oneCall, booking)
    const failing = charge.run({ ...oneCall, key: 'k2' }, booking)
    await expect(failing).rejects.toThrow(/UNIQUE/)
    expect(rows()).toEqual(['a'])
    expect(await charge.run({ ...oneCall, key: 'k2' }, () => 1)).toMatchObject({ status: 'done' })
  })
})
