import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import {
  type Call,
  type QuarantineWord,
  quarantineRecord,
  StoreUnavailable,
  TransactionConflict,
  transactPlainly,
} from '../../src/core/index.ts'
import { book } from '../store/sqlite-fixture.ts'
import { workOf } from '../support/engine-world.ts'
import { transactionWorld } from '../support/transaction-world.ts'

const call: Call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'value', value: { amount: 5 } } } }
const seven = workOf(() => 7)

async function setUp() {
  const world = await transactionWorld()
  const charge = world.oncely.operation('charge', { bind: 'transaction' })
  await world.oncely.open()
  const written: string[] = []
  const put = (given = call): Promise<QuarantineWord> =>
    quarantineRecord<SqliteConnection>(charge.engine, {
      operation: charge.definition,
      call: given,
      reason: 'poison',
      write: async (tx, word) => {
        written.push(word)
        book(tx, word)
      },
    })
  return { ...world, charge, put, written }
}

describe('taking a record out of circulation', () => {
  test('is one commit with what is written beside it, and nobody runs the key after it', async () => {
    const { charge, put, rows } = await setUp()
    expect(await put()).toBe('quarantined')
    expect(rows()).toEqual(['quarantined'])
    expect(await charge.engine.execute(charge.definition, call, seven)).toMatchObject({ status: 'quarantined' })
  })

  test('leaves a record that completed as it is', async () => {
    const { charge, put, rows } = await setUp()
    await charge.engine.execute(charge.definition, call, seven)
    expect(await put()).toBe('completed')
    expect(rows()).toEqual([])
  })

  test('of a record that was taken out before writes beside it again', async () => {
    const { put, written } = await setUp()
    await put()
    await expect(put()).rejects.toThrow('UNIQUE')
    expect(written).toEqual(['quarantined', 'quarantined'])
  })

  test('of another payload under the key says mismatch, and that it wrote', async () => {
    const { charge, put, rows } = await setUp()
    await charge.engine.execute(charge.definition, call, seven)
    expect(await put({ ...call, facts: { body: { kind: 'value', value: { other: 'payload' } } } })).toBe('mismatch')
    expect(rows()).toEqual(['mismatch'])
  })

  test('is repeated after a conflict, and given up after the fifth repeat', async () => {
    const { charge, put, plan, rows } = await setUp()
    plan('conflict')
    expect(await put()).toBe('quarantined')
    expect(rows()).toEqual(['quarantined'])
    plan(...Array.from({ length: 6 }, () => 'conflict' as const))
    const given = transactPlainly<SqliteConnection, undefined>(charge.engine, charge.definition, async () => ({
      end: 'commit',
      value: undefined,
    }))
    await expect(given).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no', cause: expect.any(TransactionConflict) })
  })

  test('says that nobody knows when the database ended the transaction by itself', async () => {
    const { charge, plan } = await setUp()
    plan('fenced')
    const given = transactPlainly<SqliteConnection, undefined>(charge.engine, charge.definition, async () => ({
      end: 'commit',
      value: undefined,
    }))
    await expect(given).rejects.toBeInstanceOf(StoreUnavailable)
  })
})
