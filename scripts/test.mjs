// `npm test`: runs the lanes of scripts/lanes.mjs one after another and ends with the totals on the last line.
//
//   npm test                     every lane
//   npm test -- unit postgres    some lanes
//   CI=true npm test             installs what is missing; a lane that did not run is a failure, unless
//                                .ci/unverified.json names it with a reason
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runChecks } from './check.mjs'
import { filesOf, lanes } from './lanes.mjs'
import { isAlive } from './services/host.mjs'
import { killServices, startServices, stopServices, variableOf } from './services.mjs'
import { entryPoint, root, run, stopRunning } from './tools.mjs'

/**
 * @typedef {import('./lanes.mjs').Lane} Lane
 * @typedef {{ passed: number, failed: number, skipped: number, notRun?: string }} Result
 */

const node24Version = '24.9.0'
const inContinuousIntegration = process.env.CI === 'true'

/** Reports of this run; several runs at once do not meet. */
const scratch = join(root, '.cache/runs', String(process.pid))
for (const folder of existsSync(dirname(scratch)) ? readdirSync(dirname(scratch)) : []) {
  if (!isAlive(Number(folder))) rmSync(join(dirname(scratch), folder), { recursive: true, force: true })
}
mkdirSync(scratch, { recursive: true })

let interrupted = false
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    interrupted = true
    stopRunning()
  })
}
process.on('exit', () => {
  stopRunning()
  killServices()
  rmSync(scratch, { recursive: true, force: true })
})

const chosen = chooseLanes(process.argv.slice(2))
const reached = await startServices([...new Set(chosen.flatMap((lane) => lane.needs ?? []))])
/** @type {{ lane: Lane, result: Result, minutes: number }[]} */
const report = []

// Programs and child processes run compiled; the check lane builds too, and counts it.
const buildCode = chosen.some((lane) => lane.name === 'check') ? 0 : await run(process.execPath, [join(root, 'scripts/build.mjs')])

for (const lane of chosen) {
  if (interrupted) break
  console.log(`\n── ${lane.name}: ${lane.about}`)
  const begun = performance.now()
  const result = await runLane(lane).catch((error) => failure(error instanceof Error ? error.message : String(error)))
  const minutes = (performance.now() - begun) / 60_000
  report.push({ lane, result, minutes })
  console.log(`── ${lane.name}: ${describe(result)} (${minutes.toFixed(1)} min)`)
}

await stopServices()
process.exitCode = conclude()

/** @param {readonly string[]} names @returns {readonly Lane[]} */
function chooseLanes(names) {
  const unknown = names.filter((name) => !lanes.some((lane) => lane.name === name))
  if (unknown.length > 0) {
    console.error(`unknown lane ${unknown.join(', ')}; the lanes are ${lanes.map((lane) => lane.name).join(', ')}`)
    process.exit(2)
  }
  return names.length === 0 ? lanes : lanes.filter((lane) => names.includes(lane.name))
}

/** @param {Lane} lane @returns {Promise<Result>} */
async function runLane(lane) {
  if (lane.unavailable !== undefined) return notRun(lane.unavailable)
  if (lane.name === 'check') return { skipped: 0, ...(await runChecks()) }
  if (lane.program !== undefined) return runProgram(lane.program)

  /** @type {NodeJS.ProcessEnv} */
  const environment = { ...process.env }
  for (const service of lane.needs ?? []) {
    const { url, reason } = reached[service] ?? { reason: `${service} was not started` }
    if (url === undefined) return notRun(reason ?? '')
    environment[variableOf(service)] = url
  }
  if (lane.repeats === undefined) return runVitest(lane, process.execPath, environment)
  const node24 = await findNode24()
  if (node24 === undefined) return notRun('Node 24 is not here; `CI=true npm test -- node24` installs it into .cache/node24')
  return runVitest(lane, node24, { ...environment, PATH: `${dirname(node24)}:${process.env.PATH}` })
}

/**
 * Runs the lane's files and reads the totals from vitest's own report. No file, or no test in them, is a failure.
 * @param {Lane} lane
 * @param {string} node
 * @param {NodeJS.ProcessEnv} environment
 * @returns {Promise<Result>}
 */
async function runVitest(lane, node, environment) {
  const files = filesOf(lane)
  if (files.length === 0) return failure('the lane has no test files')
  const output = join(scratch, `${lane.name}.json`)
  const options = [entryPoint('vitest'), 'run', ...files, '--reporter=default', '--reporter=json', `--outputFile=${output}`]
  if (lane.coverage) options.push('--coverage', `--coverage.reportsDirectory=${join(scratch, 'coverage')}`)
  const exitCode = await run(node, options, { env: environment })
  if (!existsSync(output)) return failure(`vitest ended with exit code ${exitCode} and wrote no report`)

  /** @type {import('vitest/reporters').JsonTestResults} */
  const totals = JSON.parse(readFileSync(output, 'utf8'))
  const unloaded = totals.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
  const result = {
    passed: totals.numPassedTests,
    failed: totals.numFailedTests + unloaded,
    skipped: totals.numPendingTests + totals.numTodoTests,
  }
  if (result.passed + result.failed === 0) return failure('no test ran')
  // Tests can pass while the run fails: coverage below its threshold, an error outside of any test.
  if (exitCode !== 0 && result.failed === 0) result.failed = 1
  return result
}

/** @param {string} program @returns {Promise<Result>} */
async function runProgram(program) {
  if (!existsSync(join(root, program))) return failure(`${program} does not exist`)
  const exitCode = await run(process.execPath, [join(root, program)])
  return exitCode === 0 ? { passed: 1, failed: 0, skipped: 0 } : failure(`${program} ended with exit code ${exitCode}`)
}

/** The `node` package brings the binary; a newcomer's machine is asked first, so only CI installs it. */
async function findNode24() {
  const folder = join(root, '.cache/node24')
  const binary = join(folder, 'node_modules/node/bin/node')
  if (!existsSync(binary) && inContinuousIntegration) {
    mkdirSync(folder, { recursive: true })
    await run('npm', ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', `node@${node24Version}`])
  }
  if (!existsSync(binary)) return
  console.log(`   on Node ${execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()}`)
  return binary
}

/** @param {string} reason @returns {Result} */
function notRun(reason) {
  return { passed: 0, failed: 0, skipped: 0, notRun: reason }
}

/** @param {string} reason @returns {Result} */
function failure(reason) {
  console.error(`   ${reason}`)
  return { passed: 0, failed: 1, skipped: 0 }
}

/** @param {Result} result */
function describe({ passed, failed, skipped, notRun: reason }) {
  if (reason !== undefined) return 'did not run'
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** Prints the table of lanes, what did not run and why, and the totals; answers the exit code. */
function conclude() {
  /** @type {Record<string, string>} */
  const unverified = JSON.parse(readFileSync(join(root, '.ci/unverified.json'), 'utf8'))
  const totals = { passed: 0, failed: 0, skipped: 0 }
  const widest = Math.max(...lanes.map((lane) => lane.name.length))

  console.log(`\n${'lane'.padEnd(widest)}  minutes  result`)
  for (const { lane, result, minutes } of report) {
    const reasoned = unverified[lane.name] ?? result.notRun
    const excused = !inContinuousIntegration || lane.name in unverified
    const detail = result.notRun === undefined ? describe(result) : `did not run${excused ? '' : ' (a failure)'}: ${reasoned}`
    console.log(`${lane.name.padEnd(widest)}  ${minutes.toFixed(1).padStart(7)}  ${detail}`)
    totals.passed += result.passed
    totals.failed += result.failed + (result.notRun !== undefined && !excused ? 1 : 0)
    totals.skipped += result.skipped
  }
  if (buildCode !== 0) {
    console.log('the build failed, so compiled programs were missing or old')
    totals.failed += 1
  }
  if (interrupted) {
    console.log(`interrupted: ${chosen.length - report.length} lanes were not reached`)
    totals.failed += 1
  }
  console.log(`\n${totals.passed} passed, ${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''}`)
  return totals.failed === 0 && totals.passed > 0 ? 0 : 1
}
