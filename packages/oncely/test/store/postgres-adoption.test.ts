import { createOncely } from 'oncely'
import type { PoolClient } from 'pg'
import { expect, test } from 'vitest'
import type { Adoption } from '../../src/core/index.ts'
import { addEffect, effects, inPlace, type Place } from './postgres-fixture.ts'

interface Payment {
  readonly id: string
}

const callOf = (key: string) => ({ principal: 'acme', key, input: { amount: 5 } })
const never = (): never => {
  throw new TypeError('it ran again')
}

/** An idempotency table as many applications have made one, and the code around it. */
async function handMade(place: Place) {
  const table = `"${place.schema}".idempotency_keys`
  await place.pool.query(
    `CREATE TABLE ${table} (tenant text, key text, amount integer, state text NOT NULL, response jsonb, PRIMARY KEY (tenant, key))`,
  )
  /** The old code: one transaction that inserts the key, pays, and stores its answer; a second caller gets the stored one. */
  const pay = async (key: string): Promise<Payment> => {
    const client = await place.pool.connect()
    try {
      await client.query('BEGIN')
      const { rowCount } = await client.query(`INSERT INTO ${table} VALUES ('acme', $1, 5, 'running') ON CONFLICT DO NOTHING`, [key])
      if (rowCount === 1) {
        await addEffect(place, client, key)
        await client.query(`UPDATE ${table} SET state = 'done', response = $2 WHERE key = $1`, [key, { id: `old ${key}` }])
      }
      const { rows } = await client.query(`SELECT response FROM ${table} WHERE tenant = 'acme' AND key = $1`, [key])
      await client.query('COMMIT')
      return rows[0].response
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }
  const adopt: Adoption<Payment> = {
    find: async ({ principal, key, input }) => {
      const { rows } = await place.pool.query(`SELECT * FROM ${table} WHERE tenant = $1 AND key = $2`, [principal, key])
      const [row] = rows
      if (row === undefined) return undefined
      if (row.amount !== (input as { amount: number }).amount) return { state: 'mismatch' }
      return row.state === 'done' ? { state: 'completed', value: row.response } : { state: 'running' }
    },
    write: async ({ principal, key, input, value, tx }) => {
      const { amount } = input as { amount: number }
      await (tx as PoolClient).query(`INSERT INTO ${table} VALUES ($1, $2, $3, 'done', $4)`, [principal, key, amount, value])
    },
  }
  return { table, pay, adopt }
}

/** The new code, on the same database; `adopt` while the table is taken over from. */
function payment(place: Place, adopt?: Adoption<Payment>) {
  const oncely = createOncely({ namespace: 'shop', store: place.another().store, limits: { recentOutcomesMax: 0 } })
  const operation = oncely.operation<{ amount: number }, Payment, 'transaction'>('pay', {
    bind: 'transaction',
    ...(adopt === undefined ? {} : { adopt }),
  })
  const pay = (key: string) =>
    operation.run(callOf(key), async ({ tx }) => {
      await addEffect(place, tx, key)
      return { id: `new ${key}` }
    })
  return { oncely, operation, pay }
}

test(
  'a hand-made table is read beside, imported, cut over from, and gone back to',
  inPlace(async (place) => {
    const { table, pay: oldPay, adopt } = await handMade(place)
    for (const key of ['a', 'b', 'c']) await oldPay(key)
    await place.pool.query(`INSERT INTO ${table} VALUES ('acme', 'busy', 5, 'running')`)

    // Dual read: the old answers, once each, from whichever code is asked.
    const dual = payment(place, adopt)
    expect(await dual.pay('a')).toEqual({ status: 'replayed', value: { id: 'old a' } })
    expect(await dual.operation.run({ ...callOf('b'), input: { amount: 6 } }, never)).toEqual({ status: 'mismatch' })
    expect(await dual.pay('busy')).toMatchObject({ status: 'in-progress' })
    expect(await dual.pay('new')).toMatchObject({ status: 'done', value: { id: 'new new' } })

    // The way back: the old code finds what the new one did.
    expect(await oldPay('new')).toEqual({ id: 'new new' })

    // Import: every row, while calls are served.
    const { rows } = await place.pool.query(`SELECT key FROM ${table} ORDER BY key`)
    const calls = rows.map(({ key }) => callOf(key))
    expect(await dual.operation.adopt(calls)).toEqual({ adopted: 2, present: 2, absent: 0, running: 1, mismatch: 0 })
    expect(await dual.operation.adopt(calls)).toEqual({ adopted: 0, present: 4, absent: 0, running: 1, mismatch: 0 })

    // Cut-over: without the table.
    await place.pool.query(`DROP TABLE ${table}`)
    const after = payment(place)
    for (const key of ['a', 'b', 'c']) expect(await after.pay(key)).toEqual({ status: 'replayed', value: { id: `old ${key}` } })
    expect(await after.pay('new')).toEqual({ status: 'replayed', value: { id: 'new new' } })
    expect(await effects(place)).toEqual(['a', 'b', 'c', 'new'])
  }),
)

test(
  'old and new code at once: 40 keys, four callers of each, and every key takes effect once',
  inPlace(async (place) => {
    const { pay: oldPay, adopt } = await handMade(place)
    const { pay } = payment(place, adopt)
    const keys = Array.from({ length: 40 }, (_, nth) => `key ${nth}`)
    // The loser's row is refused by the old table's unique key, and its transaction is gone with its effect.
    const quietly = (work: Promise<unknown>): Promise<unknown> => work.catch((error: { code?: string }) => expect(error.code).toBe('23505'))
    await Promise.all(keys.flatMap((key) => [oldPay(key), quietly(pay(key)), quietly(pay(key)), oldPay(key)]))
    expect((await effects(place)).sort()).toEqual([...keys].sort())
    for (const key of keys) {
      const answer = await pay(key)
      expect(answer).toEqual({ status: 'replayed', value: await oldPay(key) })
    }
  }),
)
