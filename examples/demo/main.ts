// `npm run demo`: the payments API of api.ts, behind the network of fault-proxy.ts, killed again and again while the customers of
// customers.ts pay, once without oncely and once with it. The ledger of ledger.ts judges.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiSettings } from './api.ts'
import { type BankLocation, connectPostgres } from './bank.ts'
import { killChildren, startChild } from './child-process.ts'
import { type DemoOptions, help, parseOptions, WrongOption } from './options.ts'
import { progressBar, progressLines } from './progress.ts'
import type { ProviderSettings } from './provider.ts'
import { complaints, table } from './report.ts'
import { type RunResult, runOnce } from './run.ts'

const options = readOptions()
const folder = mkdtempSync(join(tmpdir(), 'oncely-demo-'))
const schemas = options.store === 'postgres' ? [`oncely_demo_${process.pid}_without`, `oncely_demo_${process.pid}_with`] : []

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    process.stderr.write('\n')
    void cleanUp().finally(() => process.exit(code))
  })
}
process.on('exit', () => {
  killChildren()
  rmSync(folder, { recursive: true, force: true })
})

try {
  await makeSchemas()
  if (options.serve) await serve()
  else process.exitCode = await compare()
} catch (error) {
  process.stderr.write(`\nThe demo itself failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
if (!options.serve || process.exitCode === 1) {
  await cleanUp()
  process.exit()
}

function readOptions(): DemoOptions {
  try {
    const parsed = parseOptions(process.argv.slice(2))
    if (parsed !== 'help') return parsed
    process.stdout.write(help)
    process.exit(0)
  } catch (error) {
    if (!(error instanceof WrongOption)) throw error
    process.stderr.write(`${error.message}\nnpm run demo -- --help lists the options.\n`)
    process.exit(2)
  }
}

/** Both runs and the verdict; answers the exit code. */
async function compare(): Promise<number> {
  const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`)
  say(`${options.payments} payments, ${options.customers} customers at a time, ${options.kills} kills of the API, ${options.store}\n`)
  const without = await run(false)
  const protectedRun = await run(true)
  const wrong = complaints(protectedRun)
  const harmless = without.audits.payments.duplicates + without.audits.charges.duplicates === 0
  const tooCalm = protectedRun.kills < options.kills || without.kills < options.kills
  const right = wrong.length === 0 && !harmless && !tooCalm
  if (options.json)
    process.stdout.write(`${JSON.stringify({ right, store: options.store, seed: options.seed, without, with: protectedRun }, null, 2)}\n`)
  say(`\n${table(without, protectedRun)}\n`)
  if (harmless) say('Nothing was booked twice without oncely: the faults were too mild to prove anything. Raise --payments.')
  if (tooCalm) say('The API was killed less often than asked for. Raise --payments.')
  for (const line of wrong) say(`with oncely: ${line}`)
  say(right ? 'The ledger is right with oncely: every payment was booked exactly once.' : 'FAILED')
  return right ? 0 : 1
}

async function run(protect: boolean): Promise<RunResult> {
  const title = protect ? 'with oncely   ' : 'without oncely'
  const progress = process.stderr.isTTY ? progressBar(title, process.stderr) : progressLines(title, process.stderr)
  const result = await runOnce(options, protect, join(folder, protect ? 'with' : 'without'), bankFor(protect, folder), progress)
  progress.end()
  return result
}

/** The API with oncely and without faults, until somebody presses Ctrl-C. */
async function serve(): Promise<void> {
  const provider = await startChild('provider', { file: join(folder, 'provider.jsonl') } satisfies ProviderSettings)
  const providerUrl = `http://127.0.0.1:${provider.port}`
  const api = await startChild('api', { bank: bankFor(true, folder), providerUrl, protect: true, port: options.port } satisfies ApiSettings)
  const curl = (path: string, cents: number): string =>
    `  curl -i http://127.0.0.1:${api.port}/${path} -H 'Authorization: Bearer alice' -H 'Idempotency-Key: order-1' -H 'Content-Type: application/json' -d '{"reference":"order-1","cents":${cents}}'`
  process.stdout.write(
    `The payments API is up, with records in ${options.store}.

Pay, then press the button again: the second answer is a replay (Idempotent-Replayed: true).
${curl('payments', 1_250)}

The same key for another amount: 422.
${curl('payments', 9_900)}

A charge at the payment provider has keys of its own (-H 'Idempotency-Key: order-2').
${curl('charges', 1_250).replace('Idempotency-Key: order-1', 'Idempotency-Key: order-2')}

Ctrl-C ends it.
`,
  )
}

function bankFor(protect: boolean, inFolder: string): BankLocation {
  if (options.store === 'postgres') return { store: 'postgres', url: options.url, schema: schemas[protect ? 1 : 0] ?? '' }
  return { store: 'sqlite', path: join(inFolder, protect ? 'with.db' : 'without.db') }
}

async function makeSchemas(): Promise<void> {
  await onPostgres((schema) => `CREATE SCHEMA ${schema}`)
}

async function cleanUp(): Promise<void> {
  killChildren()
  rmSync(folder, { recursive: true, force: true })
  await onPostgres((schema) => `DROP SCHEMA IF EXISTS ${schema} CASCADE`).catch(() => {})
}

async function onPostgres(statement: (schema: string) => string): Promise<void> {
  if (schemas.length === 0) return
  const pool = await connectPostgres(options.url, 'public')
  try {
    for (const schema of schemas) await pool.query(statement(schema))
  } finally {
    await pool.end()
  }
}
