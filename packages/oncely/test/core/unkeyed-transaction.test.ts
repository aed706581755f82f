import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { Rejection, StoreUnavailable, TransactionConflict, type Work } from '../../src/core/index.ts'
import { book } from '../store/sqlite-fixture.ts'
import { oneCall, workOf } from '../support/engine-world.ts'
import { transactionWorld } from '../support/transaction-world.ts'

async function setUp(phase: 'enforce' | 'observe' = 'enforce') {
  const world = await transactionWorld()
  return { ...world, charge: world.oncely.operation('charge', { bind: 'transaction', phase, retryTransaction: 1 }) }
}

/** Books a row, then ends as told. */
function work<R>(end: () => R, judge: 'complete' | 'failed' = 'complete'): Work<R, SqliteConnection> {
  return {
    ...workOf<R>(end, judge),
    run: async (_context, tx) => {
      book(tx as SqliteConnection, 'a')
      return end()
    },
  }
}

const rejecting = (): never => {
  throw new Rejection('declined')
}

describe('a call without a key, bound to a transaction', () => {
  test('runs in a transaction of its own, without a record', async () => {
    const { charge, rows, store, told } = await setUp()
    expect(
      await charge.engine.executeUnkeyed(
        charge.definition,
        work(() => 7),
      ),
    ).toEqual({ status: 'unprotected', value: 7 })
    expect(rows()).toEqual(['a'])
    expect(await store.stats()).toMatchObject({ records: 0 })
    expect(told()).toEqual(['unkeyed 0'])
  })

  test('may return what no store could keep', async () => {
    const { charge, rows } = await setUp()
    const value = new Map()
    expect(
      await charge.engine.executeUnkeyed(
        charge.definition,
        work(() => value),
      ),
    ).toEqual({ status: 'unprotected', value })
    expect(rows()).toEqual(['a'])
  })

  test('that throws, fails or rejects leaves nothing', async () => {
    const { charge, rows, told } = await setUp()
    const { engine, definition } = charge
    const failing = work(() => {
      throw new RangeError('no stock')
    })
    await expect(engine.executeUnkeyed(definition, failing)).rejects.toThrow('no stock')
    expect(
      await engine.executeUnkeyed(
        definition,
        work(() => 503, 'failed'),
      ),
    ).toEqual({
      status: 'failed',
      value: 503,
      disposition: 'rolled-back',
      record: '',
    })
    expect(await engine.executeUnkeyed(definition, work(rejecting))).toEqual({
      status: 'rejected',
      value: 'declined',
      record: '',
      attempt: 0,
    })
    expect(rows()).toEqual([])
    expect(told()).toEqual(['unkeyed 0', 'rolled-back 0 RangeError', 'unkeyed 0', 'rolled-back 0 failed', 'unkeyed 0'])
  })

  test('may reject with what no store could keep', async () => {
    const { charge } = await setUp()
    const value = new Map()
    const ending = charge.engine.executeUnkeyed(
      charge.definition,
      work(() => {
        throw new Rejection(value)
      }),
    )
    expect(await ending).toMatchObject({ status: 'rejected', value })
  })

  test('is repeated after a conflict, and unavailable when it conflicts too often', async () => {
    const { charge, plan, rows, told, events } = await setUp()
    plan('conflict')
    expect(
      await charge.engine.executeUnkeyed(
        charge.definition,
        work(() => 1),
      ),
    ).toEqual({ status: 'unprotected', value: 1 })
    expect(rows()).toEqual(['a'])
    expect(events.map(({ record }) => record)).toEqual(['', ''])
    expect(told()).toEqual(['unkeyed 0', 'retried 1 conflict'])
    plan('conflict', 'conflict')
    const again = await charge.engine.executeUnkeyed(
      charge.definition,
      workOf(() => 2),
    )
    expect(again).toEqual({
      status: 'unavailable',
      reason: 'store',
      retryAfterMs: 1_000,
      cause: expect.any(TransactionConflict),
      record: '',
    })
  })

  test('is unavailable while the store is away, when its transaction was ended, and when nobody knows whether its commit counts', async () => {
    for (const [fault, applied, kept] of [
      ['refused', 'no', []],
      ['fenced', 'unknown', []],
      ['commit-lost', 'unknown', []],
      ['answer-lost', 'unknown', ['a']],
    ] as const) {
      const { charge, plan, rows } = await setUp()
      plan(fault)
      const result = await charge.engine.executeUnkeyed(
        charge.definition,
        work(() => 1),
      )
      expect(result).toMatchObject({ status: 'unavailable', reason: 'store', cause: { applied } })
      expect('cause' in result && result.cause).toBeInstanceOf(StoreUnavailable)
      expect(rows()).toEqual(kept)
    }
  })

  test('has no key to derive others from, and a handler that may call begin', async () => {
    const { charge } = await setUp()
    const seen: unknown[] = []
    const result = await charge.engine.executeUnkeyed(charge.definition, {
      ...workOf(() => 1),
      run: async ({ key, record, attempt, fence, begin, deriveKey }) => {
        await begin()
        seen.push(key, record, attempt, fence)
        expect(() => deriveKey('psp')).toThrow('came without')
        return 1
      },
    })
    expect(result).toEqual({ status: 'unprotected', value: 1 })
    expect(seen).toEqual(['', '', 0, { epoch: 0, seq: 0n }])
  })
})

test('a call without a key under a lease gets no transaction, whatever the store could do', async () => {
  const { oncely } = await setUp()
  const leased = oncely.operation('leased', { bind: 'lease' })
  const seen: unknown[] = []
  const result = await leased.engine.executeUnkeyed(leased.definition, {
    ...workOf(() => 1),
    run: async (_context, tx) => seen.push(tx),
  })
  expect(result).toEqual({ status: 'unprotected', value: 1 })
  expect(seen).toEqual([undefined])
})

describe('a phase that only observes a transaction', () => {
  test('runs each call in a plain transaction, and says what it would have answered', async () => {
    const { charge, rows, told } = await setUp('observe')
    const derived: string[] = []
    for (const entry of ['a', 'b']) {
      const result = await charge.run(oneCall, ({ tx, deriveKey, key }) => {
        book(tx, entry)
        derived.push(deriveKey('psp'))
        return key
      })
      expect(result).toEqual({ status: 'unprotected', value: 'k1' })
    }
    expect(rows()).toEqual(['a', 'b'])
    expect(derived[0]).toMatch(/^[0-9a-f]{40}$/)
    expect(derived[1]).toBe(derived[0])
    await expect.poll(told).toEqual(expect.arrayContaining([expect.stringMatching(/^observed 0/)]))
  })

  test('keeps the handler’s judgement: a failure is rolled back, a rejection answered', async () => {
    const { charge, rows } = await setUp('observe')
    const call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'none' } } } as const
    expect(
      await charge.engine.execute(
        charge.definition,
        call,
        work(() => 503, 'failed'),
      ),
    ).toMatchObject({
      status: 'failed',
      disposition: 'rolled-back',
    })
    expect(await charge.engine.execute(charge.definition, call, work(rejecting))).toMatchObject({ status: 'rejected', value: 'declined' })
    expect(rows()).toEqual([])
  })
})
