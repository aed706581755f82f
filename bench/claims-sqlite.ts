import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { createOncely } from 'oncely'
import { sqliteStore } from 'oncely/store/sqlite'
import type * as Driver from '../packages/oncely/dist/store/sqlite/sqlite-driver.js'
import type { Benchmark, Finding, Settings } from './benchmark.ts'
import { processorTimeUs } from './processor-time.ts'
import { library, scratch } from './repository.ts'
import { alternate, compare } from './round.ts'
import { replayStatements, StatementRecorder } from './statement-recorder.ts'

const inFlight = 16

export const claimsSqlite: Benchmark = {
  name: 'claims-sqlite',
  about: 'claim and completion in lease mode on SQLite (WAL, FULL), against a bare loop of the same statements',
  async run(settings) {
    mkdirSync(scratch, { recursive: true })
    const folder = mkdtempSync(join(scratch, 'claims-sqlite-'))
    try {
      return [await measure(folder, settings)]
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

interface Sample {
  readonly pairsASecond: number
  readonly processorUs: number
}

async function measure(folder: string, { quick, step }: Settings): Promise<Finding> {
  const { loadDriver } = (await import(pathToFileURL(join(library, 'store/sqlite/sqlite-driver.js')).href)) as typeof Driver
  const { DatabaseSync } = loadDriver(false)
  const roundMs = quick ? 500 : 2_000
  const file = (name: string): string => join(folder, `${name}.db`)

  const ours = await openSide(sqliteStore({ path: file('ours') }), inFlight)
  // The floor writes what a third store wrote just before, statement by statement, so that both files grow alike: one call after
  // another, as a loop has nothing to share a commit with.
  const recorder = new StatementRecorder(() => new DatabaseSync(file('recorded')))
  const recorded = await openSide(sqliteStore({ factory: () => recorder.connect() }), 1)
  const schema = await openSide(sqliteStore({ path: file('floor') }), 1)
  await schema.close()
  const [writer, reader] = [new DatabaseSync(file('floor')), new DatabaseSync(file('floor'))]
  writer.exec('PRAGMA busy_timeout = 0; PRAGMA synchronous = FULL')
  reader.exec('PRAGMA busy_timeout = 0; PRAGMA query_only = ON')

  const floorRound = async (): Promise<Sample> => {
    recorder.begin()
    const pairs = await recorded.runPairs(roundMs)
    const replay = replayStatements([writer, reader], recorder.end())
    return timed(async () => {
      replay()
      return pairs
    })
  }
  const oursRound = (): Promise<Sample> => timed(() => ours.runPairs(roundMs))
  // Statements are prepared and code is compiled before anything counts.
  await floorRound()
  await oursRound()
  const rounds = await alternate(quick ? 5 : 9, { floor: floorRound, ours: oursRound }, step)

  const count = writer.prepare("SELECT count(*) AS records FROM oncely_keys WHERE state = 'completed'").get() as { records: number }
  const { completed } = await recorded.stats()
  if (count.records !== completed) throw new Error(`the floor completed ${count.records} records, and ${completed} were recorded`)
  await Promise.all([ours.close(), recorded.close()])
  writer.close()
  reader.close()

  const processor = compare(rounds, 'lower', ({ processorUs }) => processorUs)
  return {
    name: 'claims-sqlite',
    metric: 'claim + complete pairs a second',
    unit: '/s',
    ...compare(rounds, 'higher', ({ pairsASecond }) => pairsASecond),
    bar: { of: 'ratio', min: 0.8 },
    survives: ours.survives,
    note: `operation.run, ${inFlight} in flight, which share commits; WAL, synchronous FULL; the floor runs one after the other; processor time a pair ${processor.ours.toFixed(0)} against ${processor.floor.toFixed(0)} µs (${processor.ratio.toFixed(2)})`,
  }
}

async function openSide(store: ReturnType<typeof sqliteStore>, callers: number) {
  const oncely = createOncely({ namespace: 'bench', store })
  const operation = oncely.operation('create-payment', { bind: 'lease' })
  const { survives } = await oncely.open()
  let nth = 0
  /** One caller: runs fresh keys, one after the other, until the time has come. */
  const caller = async (untilMs: number): Promise<void> => {
    while (performance.now() < untilMs) {
      const key = `key-${nth++}`
      const result = await operation.run({ principal: 'acct_42', key, input: { amount: 1_999, currency: 'EUR', reference: key } }, () => ({
        id: key,
        status: 'accepted',
      }))
      if (result.status !== 'done') throw new Error(`a claim of a fresh key answered ${result.status}`)
    }
  }
  return {
    survives,
    /** Answers how many pairs there were. */
    runPairs: async (durationMs: number): Promise<number> => {
      const [before, untilMs] = [nth, performance.now() + durationMs]
      await Promise.all(Array.from({ length: callers }, () => caller(untilMs)))
      return nth - before
    },
    stats: () => oncely.stats(),
    close: () => store.close(),
  }
}

async function timed(run: () => Promise<number>): Promise<Sample> {
  const [startedMs, startedUs] = [performance.now(), processorTimeUs()]
  const pairs = await run()
  return {
    pairsASecond: (pairs / (performance.now() - startedMs)) * 1_000,
    processorUs: (processorTimeUs() - startedUs) / pairs,
  }
}
