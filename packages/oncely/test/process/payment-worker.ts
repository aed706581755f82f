import { setTimeout as sleep } from 'node:timers/promises'
import { createPool } from 'mysql2/promise'
import { createOncely, type Oncely, type RunResult } from 'oncely'
import { Pool } from 'pg'
import { mysqlStore } from '../../src/store/mysql/index.ts'
import { postgresStore } from '../../src/store/postgres/index.ts'
import { type SqliteConnection, sqliteStore } from '../../src/store/sqlite/index.ts'
import { fromMysql2, type Mysql2ConnectionOf } from '../../src/transaction/mysql2/index.ts'
import { fromPg, type PgClient } from '../../src/transaction/pg/index.ts'
import type { PaymentMessage, PaymentTask } from './payment-task.ts'

/**
 * A process of a payments application: the published engine over a real database that the test and other processes use too. It
 * says `ready`, waits for `go`, does its one task and says what it saw.
 */
const task = JSON.parse(process.argv[2] ?? '') as PaymentTask

if (task.database.kind === 'postgres') {
  const { url, schema } = task.database
  const pool = new Pool({ connectionString: url, max: 8 })
  const oncely = createOncely({ namespace: 'payments', store: postgresStore(fromPg(pool), { schema }) })
  await work(oncely, (tx: PgClient, entry) => tx.query(`INSERT INTO "${schema}".effects (value) VALUES ('${entry}')`))
  await pool.end()
} else if (task.database.kind === 'mysql') {
  const pool = createPool({ uri: task.database.url, connectionLimit: 8 })
  const oncely = createOncely({ namespace: 'payments', store: mysqlStore(fromMysql2(pool)) })
  await work(oncely, (tx: Mysql2ConnectionOf<typeof pool>, entry) => tx.query('INSERT INTO effects (value) VALUES (?)', [entry]))
  await pool.end()
} else {
  const store = sqliteStore({ path: task.database.path, busyTimeoutMs: 20_000 })
  const oncely = createOncely({ namespace: 'payments', store, limits: { storeTimeoutMs: 20_000 } })
  await work(oncely, (tx: SqliteConnection, entry) => tx.prepare('INSERT INTO books (entry) VALUES (?)').run(entry))
  await store.close()
}
process.disconnect()

async function work<Tx>(oncely: Oncely<Tx>, book: (tx: Tx, entry: string) => unknown): Promise<void> {
  const pay = oncely.operation('pay', { bind: 'transaction' as never, policy: 'standard' })
  const early = oncely.operation('early', { bind: 'lease' as never, begin: 'explicit', policy: ['standard', { lease: '1s' }] })
  const late = oncely.operation('late', { bind: 'lease' as never, policy: ['standard', { lease: '1s' }] })
  await oncely.open()
  await new Promise<void>((resolve) => {
    process.once('message', () => resolve())
    say({ say: 'ready' })
  })
  const hang = async (): Promise<never> => {
    say({ say: 'inside' })
    await sleep(600_000)
    throw new Error('still here')
  }
  switch (task.task) {
    case 'race': {
      const words = await race(task.keys, task.racers, (key) =>
        pay.run({ principal: 'acme', key, input: { key } }, async (context) => {
          await book((context as unknown as { tx: Tx }).tx, key)
          return key
        }),
      )
      say({ say: 'done', words })
      return
    }
    case 'hang-in-transaction':
      await pay.run({ principal: 'acme', key: task.key, input: { key: task.key } }, async (context) => {
        await book((context as unknown as { tx: Tx }).tx, 'of the process that dies')
        return hang()
      })
      return
    case 'hang-before-begin':
      await early.run({ principal: 'acme', key: task.key, input: { key: task.key } }, hang)
      return
    case 'hang-after-begin':
      await late.run({ principal: 'acme', key: task.key, input: { key: task.key } }, hang)
      return
    default:
      return task satisfies never
  }
}

/** Every key by all racers of this process at once, ten keys at a time; whoever is told to come back does. */
async function race(keys: number, racers: number, pay: (key: string) => Promise<RunResult<string>>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const racer = async (key: string): Promise<void> => {
    for (;;) {
      const result = await pay(key)
      if (result.status === 'in-progress' || result.status === 'unavailable') {
        await sleep(10 + Math.random() * 20)
        continue
      }
      const wrong = 'value' in result && result.value !== key
      const word = wrong ? `wrong ${result.status}` : result.status
      counts[word] = (counts[word] ?? 0) + 1
      return
    }
  }
  for (let first = 0; first < keys; first += 10) {
    const wave = Array.from({ length: Math.min(10, keys - first) }, (_, index) => `key ${first + index}`)
    await Promise.all(wave.flatMap((key) => Array.from({ length: racers }, () => racer(key))))
  }
  return counts
}

function say(message: PaymentMessage): void {
  process.send?.(message)
}
