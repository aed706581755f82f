// Measures the library against floors taken in the same run. A benchmark is not a test: it fails on no timing.
//
//   npm run bench                    all of them
//   npm run bench -- NAME…           some
//   npm run bench -- --json NAME…    one line of JSON each
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import type { Benchmark, Finding } from './benchmark.ts'
import { claimsSqlite } from './claims-sqlite.ts'
import { fingerprint } from './fingerprint.ts'
import { firstRunPostgres } from './first-run-postgres.ts'
import { describeCommit, describeMachine } from './machine.ts'
import { outbox } from './outbox.ts'
import { Progress } from './progress.ts'
import { replay } from './replay.ts'
import { jsonLine, textTable, writeResults } from './report.ts'
import { root, scratch } from './repository.ts'
import { size } from './size.ts'

const benchmarks: readonly Benchmark[] = [replay, fingerprint, claimsSqlite, firstRunPostgres, outbox, size]

const profiles = join(scratch, 'profile')

const help = `Usage: npm run bench -- [options] [name…]

Names (all when none is given):
${benchmarks.map(({ name, about }) => `  ${name.padEnd(20)} ${about}`).join('\n')}

Options:
  --json    print one line of JSON for each figure instead of the table
  --quick   end within 20 seconds a name; rougher
  --profile leave a processor profile of each measured process in ${relative(process.cwd(), profiles)}
  --write   put the results into bench/RESULTS.md
  --help    print this

A ratio of 1 means equal to the floor, more is better. Progress goes to stderr.`

process.exitCode = await main(process.argv.slice(2))

async function main(words: readonly string[]): Promise<number> {
  let asked: ReturnType<typeof parse>
  try {
    asked = parse(words)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 2
  }
  const { chosen, json, quick, profile, write, wantsHelp } = asked
  if (wantsHelp) {
    console.log(help)
    return 0
  }
  const machine = describeMachine()
  const progress = new Progress()
  const findings: Finding[] = []
  let failed = 0
  for (const { name, run } of chosen) {
    progress.begin(name)
    try {
      const found = await run({ quick, profile: profile ? join(profiles, name) : undefined, step: (text) => progress.step(name, text) })
      progress.end()
      findings.push(...found)
      if (json) for (const finding of found) console.log(jsonLine(finding, machine))
    } catch (error) {
      progress.end()
      failed++
      console.error(`${name} broke off: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
  if (!json) console.log(`${machine}\n\n${textTable(findings)}`)
  if (write) {
    const command = ['npm run bench --', ...words].join(' ')
    const date = new Date().toISOString().slice(0, 10)
    writeResults(join(root, 'bench/RESULTS.md'), findings, { command, machine, date, commit: describeCommit() })
  }
  return failed > 0 ? 1 : 0
}

function parse(words: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const unknown = positionals.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name))
  if (unknown.length > 0) {
    throw new Error(`No benchmark is named ${unknown.join(', ')}. The names are: ${benchmarks.map(({ name }) => name).join(', ')}.`)
  }
  const chosen = positionals.length === 0 ? benchmarks : benchmarks.filter(({ name }) => positionals.includes(name))
  const { json, quick, profile, write, help: wantsHelp } = values
  return { chosen, json, quick, profile, write, wantsHelp }
}
