// `npm run proof`: the evidence that takes too long for every change, and docs/proof.md with its last result.
//
//   npm run proof                  everything
//   npm run proof -- sim bench     some of it; the other lines of the page stay as they are
//
// Correctness fails the command; a benchmark below its bar does not, as no test asserts a timing.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './tools.mjs'

/**
 * @typedef {object} Proof
 * @property {string} name
 * @property {string} about
 * @property {readonly string[]} command
 * @property {RegExp} result the line of its output that says what came out
 */

/** @type {readonly Proof[]} */
const proofs = [
  {
    name: 'sim',
    about: 'the engine in a simulated world of faults',
    command: ['scripts/sim.mjs', '--seeds', '50000'],
    result: /^\d+ seeds, .*$/m,
  },
  {
    name: 'mutation',
    about: 'changes of the core that its tests must notice',
    command: ['scripts/mutation.mjs'],
    result: /^Final mutation score .*$/m,
  },
  {
    name: 'bench',
    about: 'every benchmark at its full length; [results](../bench/RESULTS.md)',
    command: ['bench/.build/main.js', '--write'],
    result: /^\d+ × .*$/m,
  },
]

const page = join(root, 'docs/proof.md')
const names = process.argv.slice(2)
const unknown = names.filter((name) => !proofs.some((proof) => proof.name === name))
if (unknown.length > 0) {
  console.error(`unknown proof ${unknown.join(', ')}; the proofs are ${proofs.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}

const lines = readLines()
for (const proof of proofs.filter(({ name }) => names.length === 0 || names.includes(name))) {
  console.log(`\n── ${proof.name}: ${proof.about}`)
  const begun = performance.now()
  const { code, output } = await execute(proof.command)
  const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
  const said = proof.result.exec(output)?.[0].trim()
  // A command that ended well without its result has not shown anything.
  const ok = code === 0 && said !== undefined
  if (!ok) process.exitCode = 1
  const verdict = ok ? said : `**failed** (exit code ${code})${said === undefined ? '' : `: ${said}`}`
  const date = new Date().toISOString().slice(0, 10)
  lines.set(proof.name, `| \`${proof.name}\` | ${proof.about} | ${verdict} | ${minutes} | ${date} |`)
  writePage()
}

function readLines() {
  /** @type {Map<string, string>} */
  const found = new Map()
  if (!existsSync(page)) return found
  for (const line of readFileSync(page, 'utf8').split('\n')) {
    const name = /^\| `(\w+)` /.exec(line)?.[1]
    if (name !== undefined) found.set(name, line)
  }
  return found
}

function writePage() {
  const rows = proofs.map(({ name, about }) => lines.get(name) ?? `| \`${name}\` | ${about} | not run yet | – | – |`)
  writeFileSync(
    page,
    [
      '# Proof that takes longer',
      '',
      'What every change is tested with takes minutes (`npm test`). This takes longer and runs by `npm run proof`; each line is its last result.',
      '',
      '| name | what | result | minutes | date |',
      '|---|---|---|---|---|',
      ...rows,
      '',
    ].join('\n'),
  )
}

/** @param {readonly string[]} command @returns {Promise<{ code: number, output: string }>} */
function execute(command) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
      process.stdout.write(chunk)
    })
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? 1, output }))
  })
}
