import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { type Call, Rejection, TransactionConflict, type Work } from '../../src/core/index.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { book } from '../store/sqlite-fixture.ts'
import { deferred } from '../support/deferred.ts'
import { oneCall, stateOf, workOf } from '../support/engine-world.ts'
import { transactionWorld } from '../support/transaction-world.ts'

const never = (): never => {
  throw new Error('it ran')
}
const engineCall: Call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'value', value: oneCall.input } } }

async function setUp(options: Parameters<typeof transactionWorld>[0] & { retryTransaction?: number; store?: 'nothing' } = {}) {
  const { retryTransaction = 3, store: stored = 'outcome', ...rest } = options
  const world = await transactionWorld(rest)
  const charge = world.oncely.operation('charge', { bind: 'transaction', retryTransaction, store: stored })
  return { ...world, charge }
}

describe('a handler in a transaction', () => {
  test('that returns commits its rows and its outcome, and a duplicate gets that outcome', async () => {
    const { charge, rows, told, store, asked } = await setUp()
    let id = new Uint8Array()
    const result = await charge.run(oneCall, ({ tx, attempt, key, fence, signal, input, record, deriveKey }) => {
      book(tx, 'a')
      id = Buffer.from(record, 'hex')
      expect({ attempt, key, input, aborted: signal.aborted, fenced: fence.seq > 0n }).toEqual({
        attempt: 1,
        key: 'k1',
        input: oneCall.input,
        aborted: false,
        fenced: true,
      })
      return { id: 7, derived: deriveKey('psp').length }
    })
    expect(result).toEqual({ status: 'done', value: { id: 7, derived: 40 }, attempt: 1 })
    expect(rows()).toEqual(['a'])
    expect(told()).toEqual(['claimed 1', 'completed 1'])
    expect(await store.read(id)).toMatchObject({ state: 'completed', bind: 'transaction', attempt: 1 })
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7, derived: 40 } })
    expect(rows()).toEqual(['a'])
    // The duplicate of a minute needs no transaction.
    expect(asked).toHaveLength(1)
  })

  test('that throws leaves nothing, and the retry runs at once', async () => {
    const { charge, rows, told } = await setUp()
    const failing = charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      throw new RangeError('no stock')
    })
    await expect(failing).rejects.toThrow('no stock')
    expect(rows()).toEqual([])
    expect(told()).toEqual(['claimed 1', 'rolled-back 0 RangeError'])
    expect(await charge.run(oneCall, ({ attempt }) => attempt)).toEqual({ status: 'done', value: 1, attempt: 1 })
  })

  test('names its record to whoever asked for it', async () => {
    const { charge, store } = await setUp()
    const result = await charge.engine.execute(
      charge.definition,
      engineCall,
      workOf(() => 7),
    )
    expect(result).toMatchObject({ status: 'done', value: 7, attempt: 1 })
    expect(await store.read(Buffer.from('record' in result ? result.record : '', 'hex'))).toMatchObject({ state: 'completed' })
  })

  test('that judges its value a failure leaves nothing, and its caller gets the value', async () => {
    const { charge, rows, told } = await setUp()
    const work: Work<number, SqliteConnection> = {
      ...workOf<number>(() => 503),
      run: async (_context, tx) => {
        book(tx as SqliteConnection, 'a')
        return 503
      },
      judge: () => 'failed',
    }
    const result = await charge.engine.execute(charge.definition, engineCall, work)
    expect(result).toEqual({ status: 'failed', value: 503, disposition: 'rolled-back', record: expect.stringMatching(/^[0-9a-f]{64}$/) })
    expect(rows()).toEqual([])
    expect(told()).toEqual(['claimed 1', 'rolled-back 0 failed'])
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done', attempt: 1 })
  })

  test('that returns what cannot be stored leaves nothing', async () => {
    const { charge, rows } = await setUp()
    const failing = charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      return new Map()
    })
    await expect(failing).rejects.toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE' })
    expect(rows()).toEqual([])
  })

  test('that returns too much, or what must be given once, commits, and a duplicate learns that it was not stored', async () => {
    for (const options of [{ limits: { responseBytesMax: 3 } }, { store: 'nothing' }] as const) {
      const { charge, rows } = await setUp(options)
      const result = await charge.run(oneCall, ({ tx }) => {
        book(tx, 'a')
        return 'a secret'
      })
      expect(result).toMatchObject({ status: 'done', value: 'a secret' })
      expect(await charge.run(oneCall, never)).toEqual({ status: 'not-stored' })
      expect(rows()).toEqual(['a'])
    }
  })

  test('tells a duplicate in its process that it runs and how long that may take, and another payload that it is one', async () => {
    const world = await setUp()
    const gate = deferred<string>()
    const started = deferred()
    const running = world.charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      started.resolve()
      return gate.promise
    })
    await started.promise
    const inProcess = await world.charge.run(oneCall, never)
    expect(inProcess).toMatchObject({ status: 'in-progress' })
    expect(inProcess.status === 'in-progress' && inProcess.retryAfterMs > 29_000).toBe(true)
    expect(await world.charge.run({ ...oneCall, input: 'another' }, never)).toEqual({ status: 'mismatch' })
    gate.resolve('one')
    expect(await running).toMatchObject({ status: 'done' })
  })

  test('is told to stop when its transaction is over', async () => {
    const { charge } = await setUp()
    let signal: AbortSignal | undefined
    await charge.run(oneCall, (context) => {
      signal = context.signal
    })
    expect(signal?.aborted).toBe(true)
  })

  test('may call begin, which does nothing here', async () => {
    const { charge } = await setUp()
    expect(await charge.run(oneCall, async ({ begin }) => (await begin()) ?? 'begun')).toMatchObject({ status: 'done', value: 'begun' })
  })
})

describe('a rejection in a transaction', () => {
  const rejecting = ({ tx }: { tx: SqliteConnection }): never => {
    book(tx, 'undone')
    throw new Rejection({ code: 'declined' })
  }

  test('undoes the rows, and is recorded and replayed', async () => {
    const { charge, rows, told } = await setUp()
    expect(await charge.run(oneCall, rejecting)).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: false })
    expect(rows()).toEqual([])
    expect(told()).toEqual(['claimed 1', 'completed 1'])
    expect(await charge.run(oneCall, never)).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: true })
  })

  test('names its record and the attempt that recorded it', async () => {
    const { charge, store } = await setUp()
    const result = await charge.engine.execute(
      charge.definition,
      engineCall,
      workOf(() => {
        throw new Rejection('declined')
      }),
    )
    expect(result).toEqual({ status: 'rejected', value: 'declined', record: expect.stringMatching(/^[0-9a-f]{64}$/), attempt: 1 })
    expect(await store.read(Buffer.from('record' in result ? result.record : '', 'hex'))).toMatchObject({ state: 'completed' })
  })

  test('that cannot be stored is an error, and leaves nothing', async () => {
    const { charge, rows, told } = await setUp()
    const failing = charge.run(oneCall, ({ tx }) => {
      book(tx, 'undone')
      throw new Rejection(new Map())
    })
    await expect(failing).rejects.toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE' })
    expect(rows()).toEqual([])
    expect(told()).toEqual(['claimed 1', 'rolled-back 0 ValueNotStorable'])
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done' })
  })

  test('that must be given once, or is too large, is recorded without its value', async () => {
    for (const options of [{ limits: { responseBytesMax: 3 } }, { store: 'nothing' }] as const) {
      const { charge } = await setUp(options)
      expect(await charge.run(oneCall, rejecting)).toMatchObject({ status: 'rejected' })
      expect(await charge.run(oneCall, never)).toEqual({ status: 'not-stored' })
    }
  })

  test('gives way to another attempt that took the key meanwhile: its answer is sent, never our own', async () => {
    const { charge, plan, waiting, thaw, elsewhere } = await setUp()
    plan('none', 'slow')
    const rejected = charge.run(oneCall, rejecting)
    await expect.poll(waiting).toBe(1)
    await elsewhere()
      .operation('charge', { bind: 'transaction' })
      .run(oneCall, () => 'theirs')
    thaw()
    expect(await rejected).toEqual({ status: 'replayed', value: 'theirs' })
  })

  test('whose recording is refused, fenced or not answered is not sent', async () => {
    for (const [fault, answer] of [
      ['refused', { status: 'unavailable', reason: 'store' }],
      ['fenced', { status: 'in-progress', retryAfterMs: 1_000 }],
      ['commit-lost', { status: 'unavailable', reason: 'store', cause: { applied: 'unknown', cause: expect.any(Error) } }],
    ] as const) {
      const { charge, plan, rows } = await setUp()
      plan('none', fault)
      expect(await charge.run(oneCall, rejecting)).toMatchObject(answer)
      expect(rows()).toEqual([])
      expect(await charge.run(oneCall, () => 'ran')).toMatchObject({ status: 'done', value: 'ran' })
    }
  })

  test('that is recorded though the answer was lost is what a retry gets', async () => {
    const { charge, plan } = await setUp()
    plan('none', 'answer-lost')
    expect(await charge.run(oneCall, rejecting)).toMatchObject({ status: 'unavailable', cause: { applied: 'unknown' } })
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'rejected', replayed: true })
  })
})

describe('a conflict with another transaction', () => {
  test('at the commit repeats the whole transaction, and its rows count once', async () => {
    const { charge, plan, rows, told } = await setUp()
    plan('conflict', 'conflict')
    let runs = 0
    const result = await charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      return ++runs
    })
    expect(result).toEqual({ status: 'done', value: 3, attempt: 1 })
    expect(rows()).toEqual(['a'])
    expect(told()).toEqual(['claimed 1', 'retried 1 conflict', 'claimed 1', 'retried 2 conflict', 'claimed 1', 'completed 1'])
  })

  test('that the handler met repeats it too', async () => {
    for (const errcode of [517, 5]) {
      const { charge, told } = await setUp()
      let runs = 0
      const result = await charge.run(oneCall, () => {
        if (++runs === 1) throw Object.assign(new Error('database is locked'), { errcode })
        return runs
      })
      expect(result).toMatchObject({ status: 'done', value: 2 })
      expect(told()).toEqual(['claimed 1', 'rolled-back 0 Error', 'retried 1 conflict', 'claimed 1', 'completed 1'])
    }
  })

  test('that comes too often is passed on with its cause', async () => {
    const { charge } = await setUp({ retryTransaction: 0 })
    const cause = Object.assign(new Error('database is locked'), { errcode: 517 })
    const result = await charge.run(oneCall, () => Promise.reject(cause))
    expect(result).toMatchObject({ status: 'unavailable', cause: { code: 'ONCELY_TRANSACTION_CONFLICT', cause } })
  })

  test.each([0, 1, 3])('is repeated %i times where the operation says so, then the key is free for a retry', async (retryTransaction) => {
    const { charge, plan, rows } = await setUp({ retryTransaction })
    plan(...Array<'conflict'>(retryTransaction + 1).fill('conflict'))
    let runs = 0
    const result = await charge.run(oneCall, ({ tx }) => {
      book(tx, 'a')
      runs++
    })
    expect(result).toMatchObject({ status: 'unavailable', reason: 'store', retryAfterMs: 1_000, cause: expect.any(TransactionConflict) })
    expect(runs).toBe(retryTransaction + 1)
    expect(rows()).toEqual([])
    expect(await charge.run(oneCall, () => 'later')).toMatchObject({ status: 'done', value: 'later' })
  })

  test('is repeated after pauses that double up to a fifth of a second', async () => {
    const clock = new ManualClock()
    const world = await transactionWorld({ clock })
    const pauses: number[] = []
    const after = clock.after.bind(clock)
    const charge = world.oncely.operation('charge', { bind: 'transaction', retryTransaction: 8 })
    world.plan(...Array<'conflict'>(8).fill('conflict'))
    // Half of each pause, by this source of randomness.
    Object.assign(charge.engine.parts.random, { fraction: () => 0.5 })
    Object.assign(clock, {
      after: (delayMs: number, run: () => void) => {
        if (delayMs <= 100) pauses.push(delayMs)
        return after(delayMs, run)
      },
    })
    const running = charge.run(oneCall, () => 'ran')
    for (let turn = 0; turn < 500 && (await stateOf(running)) === 'pending'; turn++) await clock.advance(10)
    expect(await running).toMatchObject({ status: 'done' })
    expect(pauses).toEqual([2.5, 5, 10, 20, 40, 80, 100, 100])
  })

  test('tells the handler of the earlier try to stop', async () => {
    const { charge, plan } = await setUp()
    plan('conflict')
    const signals: AbortSignal[] = []
    await charge.run(oneCall, ({ signal }) => {
      signals.push(signal)
      return signals.map(({ aborted }) => aborted)
    })
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true])
    expect(await charge.run(oneCall, never)).toMatchObject({ value: [true, false] })
  })
})
