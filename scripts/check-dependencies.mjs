// Checks the directions of ARCHITECTURE.md with dependency-cruiser. A run that saw no modules is a failure: some
// combinations of dependency-cruiser and TypeScript see nothing and call it success.
//
//   node scripts/check-dependencies.mjs [root of another tree, for the test of the rules]
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { entryPoint, root as home } from './tools.mjs'

const root = resolve(process.argv[2] ?? home)
const packages = existsSync(join(root, 'packages')) ? readdirSync(join(root, 'packages')) : []
const sources = packages.map((name) => `packages/${name}/src`).filter((folder) => existsSync(join(root, folder)))

if (sources.length === 0) fail('no packages/*/src folder to check')

const options = [entryPoint('depcruise'), '--config', join(home, '.dependency-cruiser.cjs'), '--output-type', 'json', ...sources]
const run = spawnSync(process.execPath, options, { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 })
if (run.error !== undefined) throw run.error

/** @type {import('dependency-cruiser').ICruiseResult} */
let report
try {
  report = JSON.parse(run.stdout)
} catch {
  fail(`dependency-cruiser gave no report (exit code ${run.status}): ${run.stderr.trim()}`)
}

const { summary } = report
const modules = report.modules.filter((module) => sources.some((folder) => module.source.startsWith(`${folder}/`)))
if (modules.length === 0) fail('dependency-cruiser saw 0 modules, so it checked nothing')

for (const { rule, from, to, cycle } of summary.violations) {
  const path = cycle === undefined ? `${from} → ${to}` : [from, ...cycle.map((step) => step.name ?? step)].join(' → ')
  console.log(`${rule.name}: ${path}`)
}
if (summary.violations.length > 0) fail(`${summary.violations.length} imports against the directions of ARCHITECTURE.md`)
console.log(`dependency rules: ${modules.length} modules, ${summary.totalDependenciesCruised} dependencies, no breach`)

/** @param {string} reason @returns {never} */
function fail(reason) {
  console.error(`dependency rules: ${reason}`)
  process.exit(1)
}
