import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Entry points of the development tools: started by this Node, without a shell and without npx. */
const entryPoints = {
  attw: '@arethetypeswrong/cli/dist/index.js',
  biome: '@biomejs/biome/bin/biome',
  depcruise: 'dependency-cruiser/bin/dependency-cruise.mjs',
  knip: 'knip/bin/knip.js',
  publint: 'publint/src/cli.js',
  stryker: '@stryker-mutator/core/bin/stryker.js',
  tsc: 'typescript/bin/tsc',
  vitest: 'vitest/vitest.mjs',
}

/** @param {keyof typeof entryPoints} name */
export function entryPoint(name) {
  return join(root, 'node_modules', entryPoints[name])
}

/** Children that still run; whoever ends this process early ends them too. @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()

/**
 * Runs a command to its end and answers its exit code (128 and more when a signal ended it). It leads a process group of its
 * own, so that workers which it starts end with it.
 * @param {string} command
 * @param {readonly string[]} options
 * @param {import('node:child_process').SpawnOptions} [settings]
 * @returns {Promise<number>}
 */
export function run(command, options, settings = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, options, { cwd: root, stdio: 'inherit', detached: true, ...settings })
    running.add(child)
    child.once('error', (error) => {
      running.delete(child)
      reject(error)
    })
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143))
    })
  })
}

/** Ends every command that `run` started, with its workers. */
export function stopRunning() {
  for (const { pid } of running) {
    if (pid === undefined) continue
    try {
      process.kill(-pid, 'SIGTERM')
    } catch {
      // The group ended by itself.
    }
  }
}
