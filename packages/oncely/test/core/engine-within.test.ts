import type { SqliteConnection } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { type Call, Draining, Rejection, type Work } from '../../src/core/index.ts'
import { book, connect } from '../store/sqlite-fixture.ts'
import { oneCall, workOf } from '../support/engine-world.ts'
import { transactionWorld } from '../support/transaction-world.ts'

const never = (): never => {
  throw new Error('it ran')
}
const engineCall: Call = { principal: 'acme', key: 'k1', facts: { body: { kind: 'value', value: oneCall.input } } }

/** A transaction that the user has opened. */
async function setUp(own: { store?: 'nothing'; limits?: Record<string, number> } = {}) {
  const { limits, ...options } = own
  const world = await transactionWorld(limits === undefined ? {} : { limits })
  const tx = connect(world.path)
  tx.exec('BEGIN IMMEDIATE')
  return { ...world, tx, charge: world.oncely.operation('charge', { bind: 'transaction', ...options }) }
}

describe('inside a transaction of the user’s own', () => {
  test('rows, claim and outcome are final with the user’s commit', async () => {
    const { charge, tx, rows, store } = await setUp()
    let id = new Uint8Array()
    const result = await charge.within(tx, oneCall, (context) => {
      expect(context.tx).toBe(tx)
      expect(context).toMatchObject({ key: 'k1', attempt: 1, input: oneCall.input })
      expect(context.signal.aborted).toBe(false)
      id = Buffer.from(context.record, 'hex')
      book(context.tx, 'a')
      return { id: 7 }
    })
    expect(result).toEqual({ status: 'done', value: { id: 7 }, attempt: 1 })
    expect([rows(), await store.read(id)]).toEqual([[], undefined])
    tx.exec('COMMIT')
    expect(rows()).toEqual(['a'])
    expect(await store.read(id)).toMatchObject({ state: 'completed', bind: 'transaction' })
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: { id: 7 } })
  })

  test('the user’s roll-back undoes the claim with the effect', async () => {
    const { charge, tx, rows } = await setUp()
    await charge.within(tx, oneCall, (context) => book(context.tx, 'a'))
    tx.exec('ROLLBACK')
    expect(rows()).toEqual([])
    expect(await charge.run(oneCall, ({ attempt }) => attempt)).toEqual({ status: 'done', value: 1, attempt: 1 })
  })

  test('the user’s roll-back undoes an outcome that the same transaction has replayed', async () => {
    const { charge, tx } = await setUp()
    await charge.within(tx, oneCall, () => 'first')
    expect(await charge.within(tx, oneCall, never)).toEqual({ status: 'replayed', value: 'first' })
    tx.exec('ROLLBACK')
    expect(await charge.run(oneCall, () => 'second')).toMatchObject({ status: 'done', value: 'second' })
  })

  test('begin does nothing, and derived keys are those of the record', async () => {
    const { charge, tx } = await setUp()
    const derived: string[] = []
    await charge.within(tx, oneCall, async ({ begin, deriveKey }) => {
      await begin()
      derived.push(deriveKey('psp'))
    })
    tx.exec('ROLLBACK')
    await charge.run(oneCall, ({ deriveKey }) => void derived.push(deriveKey('psp')))
    expect(derived[1]).toBe(derived[0])
  })

  test('a duplicate gets the recorded outcome, another payload a mismatch', async () => {
    const { charge, tx } = await setUp()
    await charge.within(tx, oneCall, () => 'first')
    expect(await charge.within(tx, oneCall, never)).toEqual({ status: 'replayed', value: 'first' })
    expect(await charge.within(tx, { ...oneCall, input: 'another' }, never)).toEqual({ status: 'mismatch' })
    tx.exec('COMMIT')
  })

  test('a handler that throws undoes its own rows and claim only, and its error passes', async () => {
    const { charge, tx, rows } = await setUp()
    book(tx, 'before')
    const mine = new Error('no stock')
    const failing = charge.within(tx, oneCall, (context) => {
      book(context.tx, 'undone')
      throw mine
    })
    await expect(failing).rejects.toBe(mine)
    expect(await charge.within(tx, oneCall, ({ attempt }) => attempt)).toEqual({ status: 'done', value: 1, attempt: 1 })
    tx.exec('COMMIT')
    expect(rows()).toEqual(['before'])
  })

  test('a rejection undoes the rows and is recorded in the same transaction', async () => {
    const { charge, tx, rows } = await setUp()
    const rejecting = charge.within(tx, oneCall, (context) => {
      book(context.tx, 'undone')
      throw new Rejection({ code: 'declined' })
    })
    expect(await rejecting).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: false })
    tx.exec('COMMIT')
    expect(rows()).toEqual([])
    expect(await charge.run(oneCall, never)).toEqual({ status: 'rejected', value: { code: 'declined' }, replayed: true })
  })

  test('a rejection whose key somebody else holds by then gives way to their word', async () => {
    const { charge, tx, store } = await setUp()
    const within = store.within.bind(store)
    Object.assign(charge.engine.parts.store, {
      within: (handle: SqliteConnection) => {
        const scope = within(handle)
        const claim = scope.claim.bind(scope)
        let claims = 0
        return Object.assign(scope, {
          claim: async (request: Parameters<typeof claim>[0]) => (++claims === 1 ? claim(request) : { word: 'mismatch' }),
        })
      },
    })
    const rejecting = charge.within(tx, oneCall, () => {
      throw new Rejection('declined')
    })
    expect(await rejecting).toEqual({ status: 'mismatch' })
    tx.exec('ROLLBACK')
  })

  test('a value that its caller judges a failure undoes rows and claim, and the user’s transaction lives on', async () => {
    const { charge, tx, rows } = await setUp()
    const work: Work<number, SqliteConnection> = {
      ...workOf<number>(() => 503),
      run: async (_context, handle) => {
        book(handle as SqliteConnection, 'undone')
        return 503
      },
      judge: () => 'failed',
    }
    expect(await charge.engine.executeWithin(charge.definition, tx, engineCall, work)).toEqual({
      status: 'failed',
      value: 503,
      disposition: 'rolled-back',
      record: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    book(tx, 'after')
    tx.exec('COMMIT')
    expect(rows()).toEqual(['after'])
    expect(await charge.run(oneCall, () => 1)).toMatchObject({ status: 'done', attempt: 1 })
  })

  test('a value that cannot be stored undoes rows and claim', async () => {
    const { charge, tx, rows } = await setUp()
    const failing = charge.within(tx, oneCall, (context) => {
      book(context.tx, 'undone')
      return new Map()
    })
    await expect(failing).rejects.toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE' })
    tx.exec('COMMIT')
    expect(rows()).toEqual([])
  })

  test('what is too large or must be given once is not stored', async () => {
    for (const options of [{ limits: { responseBytesMax: 3 } }, { store: 'nothing' }] as const) {
      const { charge, tx } = await setUp(options)
      expect(await charge.within(tx, oneCall, () => 'a secret')).toMatchObject({ status: 'done', value: 'a secret' })
      tx.exec('COMMIT')
      expect(await charge.run(oneCall, never)).toEqual({ status: 'not-stored' })
    }
  })

  test('a claim that was lost inside the transaction tells its caller to roll it back', async () => {
    const { charge, tx, store } = await setUp()
    const within = store.within.bind(store)
    for (const [word, message] of [
      ['lost', /taken by another attempt/],
      ['conflict', /completed with another outcome/],
    ] as const) {
      Object.assign(charge.engine.parts.store, {
        within: (handle: SqliteConnection) => Object.assign(within(handle), { complete: async () => word }),
      })
      const failing = charge.within(tx, oneCall, () => 1)
      await expect(failing).rejects.toMatchObject({ code: 'ONCELY_LEASE_LOST', message: expect.stringMatching(message) })
    }
    tx.exec('ROLLBACK')
  })

  test('nothing is claimed while the process drains, and a call that is wrong is refused before it claims', async () => {
    const { charge, oncely, tx } = await setUp()
    await expect(charge.within(tx, { ...oneCall, key: '' }, never)).rejects.toMatchObject({ code: 'ONCELY_KEY_INVALID' })
    await oncely.drain()
    expect(await charge.within(tx, oneCall, never)).toMatchObject({
      status: 'unavailable',
      reason: 'draining',
      cause: expect.any(Draining),
    })
  })

  test('an operation that only observes or runs under a lease has no place in it', async () => {
    const { oncely, tx } = await setUp()
    const leased = oncely.operation('leased', { bind: 'lease' })
    await expect(leased.within(tx, oneCall, never)).rejects.toThrow('"leased" is bound to "lease"')
  })
})
