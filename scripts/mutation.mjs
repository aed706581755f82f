// `npm run mutation`: mutation tests of the core, and docs/mutation.md from their report.
//
//   npm run mutation                          every file of the core; what has not changed since the last run is not run again
//   npm run mutation -- --files crowd,json-*  some of them, by name
//   npm run mutation -- --page                docs/mutation.md again from the last report
//
// The page keeps what a reader has written after the dash of a survivor's line, as long as that mutant survives.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { entryPoint, root, run, stopRunning } from './tools.mjs'

/**
 * @typedef {{ line: number, column: number }} Position
 * @typedef {{ status: string, mutatorName: string, replacement?: string, location: { start: Position, end: Position } }} Mutant
 * @typedef {{ files: Record<string, { source: string, mutants: Mutant[] }> }} Report
 */

const core = 'packages/oncely/src/core'
const page = join(root, 'docs/mutation.md')
const scratch = join(root, '.cache/mutation')
const reportFile = join(scratch, 'report.json')
const unjudged = 'not judged yet'
const excerptMax = 90

const { values } = parseArgs({ options: { files: { type: 'string' }, page: { type: 'boolean', default: false } } })

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, stopRunning)
process.exitCode = values.page ? 0 : await mutate(values.files)
if (existsSync(reportFile)) writePage(JSON.parse(readFileSync(reportFile, 'utf8')))

/** @param {string | undefined} files */
async function mutate(files) {
  mkdirSync(scratch, { recursive: true })
  const chosen =
    files === undefined
      ? []
      : [
          '--mutate',
          files
            .split(',')
            .map((name) => `${core}/${name}.ts`)
            .join(','),
        ]
  return run(process.execPath, [entryPoint('stryker'), 'run', ...chosen])
}

/** @param {Report} report */
function writePage(report) {
  const reasons = readReasons()
  const files = Object.entries(report.files)
    .map(([path, { source, mutants }]) => ({ name: path.replace(`${core}/`, ''), source, mutants }))
    .filter(({ mutants }) => mutants.length > 0)
    .sort((one, other) => (one.name < other.name ? -1 : 1))
  const all = files.flatMap(({ mutants }) => mutants)
  const ignored = all.filter(({ status }) => status === 'Ignored').length
  const lines = [
    '# Mutation tests of the core',
    '',
    `\`npm run mutation\` changes the core in one place at a time and runs the tests that reach it. ${new Date().toISOString().slice(0, 10)}:`,
    `**${score(all)}** of ${all.length - ignored} changes were noticed by a test (${counted(all, 'Killed')} by an assertion or error, ${counted(all, 'Timeout')} because`,
    `nothing ended any more); below ${threshold()} % the command fails. ${ignored} more are the wording of error messages and are left alone: tests hold the`,
    'codes of errors, and the values and bounds in their messages.',
    '',
    '| file | noticed | survived | never reached |',
    '|---|---|---|---|',
    ...files.map(
      ({ name, mutants }) => `| ${name} | ${score(mutants)} | ${counted(mutants, 'Survived')} | ${counted(mutants, 'NoCoverage')} |`,
    ),
    '',
    '## What survived',
    '',
    'Each line is a change that no test notices, and why that is right, or accepted. Line numbers are those of the run above.',
    ...files.flatMap(({ name, source, mutants }) => {
      const survivors = mutants.filter(({ status }) => status === 'Survived' || status === 'NoCoverage').sort(inOrder)
      if (survivors.length === 0) return []
      return ['', `### ${name}`, '', ...survivors.map((mutant) => lineOf(name, source, mutant, reasons))]
    }),
    '',
  ]
  writeFileSync(page, lines.join('\n'))
}

/** @param {string} name @param {string} source @param {Mutant} mutant @param {Map<string, string>} reasons */
function lineOf(name, source, mutant, reasons) {
  const change = changeOf(source, mutant)
  return `- ${mutant.location.start.line}: ${change} — ${reasons.get(`${name} ${change}`) ?? unjudged}`
}

/** The smallest piece of code that shows the change, before and after. @param {string} source @param {Mutant} mutant */
function changeOf(source, { location: { start, end }, replacement = '' }) {
  const lines = source.split('\n').slice(start.line - 1, end.line)
  const last = lines.length - 1
  const before = lines
    .map((line, nth) => line.slice(nth === 0 ? start.column - 1 : 0, nth === last ? end.column - 1 : undefined))
    .join('\n')
  return `${excerpt(before)} → ${excerpt(replacement)}`
}

/** @param {string} code */
function excerpt(code) {
  const line = code.replaceAll(/\s+/g, ' ').trim()
  const short = line.length > excerptMax ? `${line.slice(0, excerptMax - 1)}…` : line
  const fence = short.includes('`') ? '``' : '`'
  return short === '' ? 'nothing' : `${fence}${fence === '``' ? ` ${short} ` : short}${fence}`
}

/** What the page says now, by file and change. @returns {Map<string, string>} */
function readReasons() {
  /** @type {Map<string, string>} */
  const reasons = new Map()
  if (!existsSync(page)) return reasons
  let file = ''
  for (const line of readFileSync(page, 'utf8').split('\n')) {
    file = /^### (.+)$/.exec(line)?.[1] ?? file
    const [, change, reason] = /^- \d+: (.+?) — (.+)$/.exec(line) ?? []
    if (change !== undefined && reason !== undefined && reason !== unjudged) reasons.set(`${file} ${change}`, reason)
  }
  return reasons
}

/** @param {readonly Mutant[]} mutants @param {string} status */
function counted(mutants, status) {
  return mutants.filter((mutant) => mutant.status === status).length
}

/** @param {readonly Mutant[]} mutants */
function score(mutants) {
  const noticed = counted(mutants, 'Killed') + counted(mutants, 'Timeout')
  const judged = noticed + counted(mutants, 'Survived') + counted(mutants, 'NoCoverage')
  return judged === 0 ? '–' : `${((100 * noticed) / judged).toFixed(1)} %`
}

function threshold() {
  return /break: (\d+)/.exec(readFileSync(join(root, 'stryker.config.mjs'), 'utf8'))?.[1]
}

/** @param {Mutant} one @param {Mutant} other */
function inOrder(one, other) {
  const [a, b] = [one.location.start, other.location.start]
  return a.line - b.line || a.column - b.column
}
