// The business transaction of `first-run-postgres`, in a process of its own: with idempotency, and with its own BEGIN and COMMIT.
import { createOncely } from 'oncely'
import { postgresStore } from 'oncely/store/postgres'
import { fromPg } from 'oncely/transaction/pg'
import pg from 'pg'
import { answerParent } from './child.ts'
import { processorTimeUs } from './processor-time.ts'

export interface CheckoutOptions {
  readonly url: string
  readonly schema: string
  readonly side: 'ours' | 'floor'
  readonly inFlight: number
}

export interface CheckoutSample {
  readonly transactions: number
  readonly seconds: number
  /** Of this process, a transaction. */
  readonly processorUs: number
}

const accounts = 1_000

let pool: pg.Pool
let runOne: (nth: number) => Promise<void>
let done = 0

const answers = {
  /** Connects and answers what the store survives. */
  open: async ({ url, schema, side, inFlight }: CheckoutOptions): Promise<string> => {
    pool = new pg.Pool({ connectionString: url, max: inFlight, options: `-c search_path=${schema}` })
    if (side === 'floor') {
      runOne = bareCheckout
      return '–'
    }
    const oncely = createOncely({ namespace: 'bench', store: postgresStore(fromPg(pool), { schema }) })
    const checkout = oncely.operation('checkout', { bind: 'transaction' })
    runOne = async (nth) => {
      const key = `${process.pid}-${nth}`
      const input = { account: nth % accounts, amount: 1_999, currency: 'EUR', reference: key }
      const result = await checkout.run({ principal: 'acct_42', key, input }, ({ tx }) => pay(tx, nth))
      if (result.status !== 'done') throw new Error(`a fresh key was answered ${result.status}`)
    }
    return (await oncely.open()).survives
  },
  /** Runs so many transactions, or for so many seconds, `inFlight` at a time. */
  run: async ({ inFlight, seconds, amount }: { inFlight: number; seconds?: number; amount?: number }): Promise<CheckoutSample> => {
    const [startedMs, startedUs, before] = [performance.now(), processorTimeUs(), done]
    const goesOn = (): boolean => (amount === undefined ? performance.now() - startedMs < (seconds ?? 1) * 1_000 : done - before < amount)
    const caller = async (): Promise<void> => {
      while (goesOn()) await runOne(done++)
    }
    await Promise.all(Array.from({ length: inFlight }, caller))
    const transactions = done - before
    return {
      transactions,
      seconds: (performance.now() - startedMs) / 1_000,
      processorUs: (processorTimeUs() - startedUs) / transactions,
    }
  },
  /** The median time of the smallest statement in milliseconds: what one round trip takes. */
  ping: async (): Promise<number> => {
    const times: number[] = []
    const client = await pool.connect()
    for (let nth = 0; nth < 101; nth++) {
      const startedMs = performance.now()
      await client.query('SELECT 1')
      times.push(performance.now() - startedMs)
    }
    client.release()
    return times.toSorted((one, other) => one - other)[50] as number
  },
  close: async (): Promise<void> => {
    await pool.end()
  },
}

export type CheckoutAnswers = typeof answers

answerParent(answers)

async function bareCheckout(nth: number): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await pay(client, nth)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

/** Three statements: the payment, the balance, the ledger. */
async function pay(tx: pg.ClientBase, nth: number): Promise<{ id: string; status: string }> {
  const account = nth % accounts
  const { rows } = await tx.query<{ id: string }>('INSERT INTO payments (account, amount, currency) VALUES ($1, $2, $3) RETURNING id', [
    account,
    1_999,
    'EUR',
  ])
  const id = (rows[0] as { id: string }).id
  await tx.query('UPDATE accounts SET balance = balance - $2 WHERE id = $1', [account, 1_999])
  await tx.query('INSERT INTO ledger (payment, account, amount) VALUES ($1, $2, $3)', [id, account, -1_999])
  return { id, status: 'accepted' }
}
