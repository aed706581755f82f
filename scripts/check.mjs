// The checks that read the code instead of running it: `npm run check`. Each is one line of the report and counts once.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { misplacedFiles } from './lanes.mjs'
import { entryPoint, root } from './tools.mjs'

/**
 * @typedef {{ ok: boolean, output: string }} Verdict
 * @type {readonly { name: string, about: string, run: () => Promise<Verdict> }[]}
 */
const checks = [
  { name: 'build', about: 'everything compiles', run: () => node([join(root, 'scripts/build.mjs')]) },
  { name: 'biome', about: 'format and lint', run: () => node([entryPoint('biome'), 'check', '--colors=off', '--error-on-warnings', '.']) },
  { name: 'dependency rules', about: 'directions of imports', run: () => node([join(root, 'scripts/check-dependencies.mjs')]) },
  { name: 'knip', about: 'no unused file, export or dependency', run: () => node([entryPoint('knip'), '--no-progress']) },
  { name: 'publint', about: 'the package as published', run: () => node([entryPoint('publint'), 'run', 'packages/oncely', '--strict']) },
  { name: 'publint server', about: 'the same', run: () => node([entryPoint('publint'), 'run', 'packages/server', '--strict']) },
  { name: 'attw', about: 'types resolve as the code does', run: () => node([entryPoint('attw'), ...typesOptions()]) },
  { name: 'attw server', about: 'the same', run: () => node([entryPoint('attw'), ...packOptions('packages/server')]) },
  { name: 'lanes', about: 'each test file belongs to one lane', run: checkLanes },
]

/**
 * Runs every check, also after one failed.
 * @returns {Promise<{ passed: number, failed: number }>}
 */
export async function runChecks() {
  const totals = { passed: 0, failed: 0 }
  for (const { name, about, run } of checks) {
    const { ok, output } = await run()
    console.log(` ${ok ? '✓' : '✗'} ${name}: ${about}`)
    if (!ok) console.log(output.trimEnd().replaceAll(/^/gm, '     '))
    totals[ok ? 'passed' : 'failed']++
  }
  return totals
}

/** attw does not expand wildcards, so the folders on disk are named to it. */
function typesOptions() {
  const folders = ['store', 'transaction', 'lock', 'adapter'].flatMap((layer) => {
    const folder = join(root, 'packages/oncely/src', layer)
    return existsSync(folder) ? readdirSync(folder).map((name) => `./${layer}/${name}`) : []
  })
  const named = folders.length === 0 ? [] : ['--include-entrypoints', ...folders]
  return [...packOptions('packages/oncely'), ...named]
}

/** @param {string} folder */
function packOptions(folder) {
  return ['--pack', folder, '--profile', 'esm-only', '--format', 'ascii', '--no-color']
}

async function checkLanes() {
  const misplaced = misplacedFiles()
  const lines = misplaced.map(({ file, lanes }) => `${file} belongs to ${lanes.length === 0 ? 'no lane' : `the lanes ${lanes.join(', ')}`}`)
  return { ok: misplaced.length === 0, output: lines.join('\n') }
}

/** @param {readonly string[]} options @returns {Promise<Verdict>} */
function node(options) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, options, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ ok: code === 0, output }))
  })
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { passed, failed } = await runChecks()
  console.log(`${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}
