import { join } from 'node:path'
import { postgresStore } from 'oncely/store/postgres'
import { fromPg } from 'oncely/transaction/pg'
import pg from 'pg'
import type { Benchmark, Figure, Finding, Settings } from './benchmark.ts'
import type { CheckoutAnswers, CheckoutSample } from './checkout.ts'
import { Child } from './child.ts'
import { reachPostgres } from './postgres.ts'
import { alternate, compare } from './round.ts'
import type { ProxyAnswers } from './wire-proxy.ts'

const name = 'first-run-postgres'
const inFlight = 8
const delayMs = 0.5

export const firstRunPostgres: Benchmark = {
  name,
  about: 'a transaction of three statements with idempotency, against the same one with its own BEGIN and COMMIT',
  async run(settings) {
    const postgres = await reachPostgres()
    if (postgres.url === undefined) return [{ name, notRun: `no PostgreSQL: ${postgres.reason}` }]
    const schema = `bench_${process.pid}`
    try {
      await createTables(postgres.url, schema)
      return await measure(postgres.url, schema, settings)
    } finally {
      await dropSchema(postgres.url, schema)
      await postgres.stop()
    }
  },
}

async function measure(url: string, schema: string, settings: Settings): Promise<readonly Finding[]> {
  const proxy = new Child<ProxyAnswers>('load', 'wire-proxy')
  try {
    const { hostname, port } = new URL(url)
    const through = async (addedMs: number): Promise<string> => {
      const listening = await proxy.ask('listen', { host: hostname, port: Number(port || 5432), delayMs: addedMs })
      const changed = new URL(url)
      changed.host = `127.0.0.1:${listening}`
      return changed.href
    }
    const trips = await countRoundTrips(await through(0), schema, proxy)
    const near = await throughput(url, schema, settings, { metric: 'transactions a second, loopback', min: 0.65 })
    const far = await throughput(await through(delayMs), schema, settings, {
      metric: `transactions a second, ${delayMs} ms added each way`,
      min: 0.9,
    })
    return [trips, near, far]
  } finally {
    await proxy.stop()
  }
}

async function countRoundTrips(url: string, schema: string, proxy: Child<ProxyAnswers>): Promise<Figure> {
  const transactions = 200
  const count = async (side: 'ours' | 'floor'): Promise<{ trips: number; survives: string }> => {
    const app = new Child<CheckoutAnswers>('measured', 'checkout')
    try {
      const survives = await app.ask('open', { url, schema, side, inFlight: 1 })
      await app.ask('run', { inFlight: 1, amount: 20 })
      await proxy.ask('takeRoundTrips')
      await app.ask('run', { inFlight: 1, amount: transactions })
      return { trips: (await proxy.ask('takeRoundTrips')) / transactions, survives }
    } finally {
      await app.stop()
    }
  }
  const floor = await count('floor')
  const ours = await count('ours')
  return {
    name,
    metric: 'network round trips a transaction',
    unit: 'trips',
    ours: ours.trips,
    floor: floor.trips,
    ratio: floor.trips / ours.trips,
    n: 1,
    bar: { of: 'extra', max: 0 },
    survives: ours.survives,
    note: `counted on the wire by a TCP proxy over ${transactions} transactions of one connection`,
  }
}

async function throughput(
  url: string,
  schema: string,
  { quick, profile, step }: Settings,
  { metric, min }: { readonly metric: string; readonly min: number },
): Promise<Figure> {
  const floor = new Child<CheckoutAnswers>('measured', 'checkout', profile && join(profile, 'floor'))
  const ours = new Child<CheckoutAnswers>('measured', 'checkout', profile && join(profile, 'ours'))
  try {
    await floor.ask('open', { url, schema, side: 'floor', inFlight })
    const survives = await ours.ask('open', { url, schema, side: 'ours', inFlight })
    const roundTripMs = await floor.ask('ping')
    const side = (app: Child<CheckoutAnswers>) => (): Promise<CheckoutSample> => app.ask('run', { inFlight, seconds: quick ? 0.4 : 3 })
    // Statements are planned and code is compiled on both sides before anything counts.
    for (const app of [floor, ours]) await app.ask('run', { inFlight, seconds: quick ? 0.7 : 3 })
    const rounds = await alternate(quick ? 5 : 9, { floor: side(floor), ours: side(ours) }, (text) => step(`${metric}, ${text}`))
    const processor = compare(rounds, 'lower', ({ processorUs }) => processorUs)
    return {
      name,
      metric,
      unit: '/s',
      ...compare(rounds, 'higher', ({ transactions, seconds }) => transactions / seconds),
      bar: { of: 'ratio', min },
      survives,
      note: `operation.run on pg, ${inFlight} connections, PostgreSQL's durable defaults; a round trip of SELECT 1 takes ${roundTripMs.toFixed(2)} ms; processor time of the application a transaction ${processor.ours.toFixed(0)} against ${processor.floor.toFixed(0)} µs`,
    }
  } finally {
    await Promise.all([floor.stop(), ours.stop()])
  }
}

async function createTables(url: string, schema: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 1, options: `-c search_path=${schema}` })
  try {
    await pool.query(`CREATE SCHEMA ${schema}`)
    await pool.query(`
      CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50);
      CREATE TABLE payments (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account integer NOT NULL REFERENCES accounts,
        amount bigint NOT NULL, currency text NOT NULL, created timestamptz NOT NULL DEFAULT now());
      CREATE TABLE ledger (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payment bigint NOT NULL REFERENCES payments,
        account integer NOT NULL REFERENCES accounts, amount bigint NOT NULL);
      INSERT INTO accounts SELECT id, 1000000000 FROM generate_series(0, 999) AS id`)
    await postgresStore(fromPg(pool), { schema }).migrate()
  } finally {
    await pool.end()
  }
}

async function dropSchema(url: string, schema: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
  await client.end()
}
