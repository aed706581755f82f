import { createOncely, type OutboxSink } from 'oncely'
import { postgresStore } from 'oncely/store/postgres'
import { fromPg } from 'oncely/transaction/pg'
import pg from 'pg'
import type { Benchmark, Finding, Settings } from './benchmark.ts'
import { reachPostgres } from './postgres.ts'
import { alternate, compare } from './round.ts'

const name = 'outbox'
const relays = 4
const aggregates = 200
const batchMax = 100

export const outbox: Benchmark = {
  name,
  about: 'messages relayed by four relays in the order of each aggregate, against a bare loop of select, send and delete',
  async run(settings) {
    const postgres = await reachPostgres()
    if (postgres.url === undefined) return [{ name, notRun: `no PostgreSQL: ${postgres.reason}` }]
    const schema = `bench_outbox_${process.pid}`
    const pool = new pg.Pool({ connectionString: postgres.url, max: relays * 4 })
    try {
      return [await measure(pool, schema, settings)]
    } finally {
      await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
      await pool.end()
      await postgres.stop()
    }
  },
}

async function measure(pool: pg.Pool, schema: string, { quick, step }: Settings): Promise<Finding> {
  const messages = quick ? 5_000 : 20_000
  const store = postgresStore(fromPg(pool), { schema, migrate: 'auto' })
  const { survives } = await store.open()
  const table = `"${schema}".oncely_outbox`
  const buckets = 64
  // Both sides empty the same rows; each aggregate is in one bucket and has its messages in their order.
  const fill = async (): Promise<void> => {
    await pool.query(`TRUNCATE ${table}`)
    await pool.query(
      `INSERT INTO ${table} (occurred, bucket, id, sink, topic, aggregate, type, content_type, headers, payload)
SELECT 0, n % $2 % $3, gen_random_uuid(), '', 'payments', 'account ' || n % $2, 'made', 'application/json', '{}', convert_to('{"nth":' || n || '}', 'UTF8')
FROM generate_series(1, $1::integer) n`,
      [messages, aggregates, buckets],
    )
    await pool.query(`ANALYZE ${table}`)
  }

  const floorRound = async (): Promise<number> => {
    await fill()
    const startedMs = performance.now()
    for (let left = messages; left > 0; ) {
      const { rows } = await pool.query<{ seq: string }>(`SELECT * FROM ${table} ORDER BY seq LIMIT ${batchMax}`)
      await delivered()
      await pool.query(`DELETE FROM ${table} WHERE seq = ANY ($1::bigint[])`, [rows.map(({ seq }) => seq)])
      left -= rows.length
    }
    return (messages / (performance.now() - startedMs)) * 1_000
  }

  const oursRound = async (): Promise<number> => {
    await fill()
    const last = new Map<string, number>()
    let count = 0
    let finish = (): void => {}
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const sink: OutboxSink = {
      name: 'bench',
      send: async (batch) => {
        for (const { aggregate, payload } of batch) {
          const { nth } = JSON.parse(new TextDecoder().decode(payload)) as { nth: number }
          if (nth <= (last.get(aggregate) ?? 0)) throw new Error(`message ${nth} of ${aggregate} came out of order`)
          last.set(aggregate, nth)
        }
        await delivered()
        count += batch.length
        if (count === messages) finish()
        return batch.map(() => 'sent' as const)
      },
    }
    const instances = Array.from({ length: relays }, () =>
      createOncely({ namespace: 'bench', store: postgresStore(fromPg(pool), { schema }) }),
    )
    await Promise.all(instances.map((instance) => instance.open()))
    const startedMs = performance.now()
    await Promise.all(instances.map((instance) => instance.start({ relay: [sink], relayOptions: { batchMax, bucketsMax: 4 } })))
    await finished
    await Promise.all(instances.map((instance) => instance.drain()))
    const seconds = (performance.now() - startedMs) / 1_000
    const { backlog } = (await store.outbox?.stats()) ?? { backlog: -1 }
    if (backlog !== 0) throw new Error(`${backlog} messages were left`)
    return messages / seconds
  }

  await floorRound()
  await oursRound()
  const rounds = await alternate(quick ? 5 : 9, { floor: floorRound, ours: oursRound }, step)
  return {
    name,
    metric: 'messages relayed a second',
    unit: '/s',
    ...compare(rounds, 'higher', (rate) => rate),
    bar: { of: 'ratio', min: 0.5 },
    survives,
    note: `${messages.toLocaleString('en')} messages of ${aggregates} aggregates in batches of ${batchMax}, ${relays} relays in one process, their leases and order included; the floor is one loop on one connection; PostgreSQL's durable defaults`,
  }
}

/** What a sink takes at the least: another turn of the event loop. */
function delivered(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
