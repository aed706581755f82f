import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { PlantedBug } from './planted-bugs.ts'

const packageFolder = join(import.meta.dirname, '../..')
const repository = join(packageFolder, '../..')
export const patchFolder: string = join(import.meta.dirname, 'patches')

/** `caught`: the named test failed. `missed`: it passed. `broken`: it did not run, so nothing was shown. */
export type Verdict = { readonly word: 'caught' | 'missed' } | { readonly word: 'broken'; readonly why: string }

/**
 * A copy of the package in a temporary folder, with the same dependencies. `oncely` means the copy in it, also where a test
 * imports the package by its name.
 */
export class PackageCopy {
  readonly #root = mkdtempSync(join(tmpdir(), 'oncely-planted-'))

  constructor() {
    const copy = join(this.#root, 'packages/oncely')
    mkdirSync(copy, { recursive: true })
    for (const part of ['src', 'test', 'package.json', 'tsconfig.json', 'tsconfig.test.json']) {
      cpSync(join(packageFolder, part), join(copy, part), { recursive: true, filter: (source) => !source.includes('/vectors/') })
    }
    for (const file of ['package.json', 'vitest.config.ts', 'tsconfig.base.json']) cpSync(join(repository, file), join(this.#root, file))
    const dependencies = join(repository, 'node_modules')
    mkdirSync(join(this.#root, 'node_modules'))
    for (const name of readdirSync(dependencies)) {
      if (!name.startsWith('.') && name !== 'oncely') symlinkSync(join(dependencies, name), join(this.#root, 'node_modules', name))
    }
    symlinkSync(copy, join(this.#root, 'node_modules/oncely'))
  }

  /** Plants the bug, runs the test that must see it, and takes the bug out again. */
  async plant(bug: PlantedBug): Promise<Verdict> {
    const patch = join(patchFolder, `${bug.name}.patch`)
    const applied = await this.#run('git', ['apply', patch])
    if (applied.code !== 0) return { word: 'broken', why: `the patch does not apply: ${applied.output.trim()}` }
    const verdict = await this.look(bug)
    const undone = await this.#run('git', ['apply', '--reverse', patch])
    return undone.code === 0 ? verdict : { word: 'broken', why: `the patch cannot be taken out again: ${undone.output.trim()}` }
  }

  /** Runs the named test on the copy as it is. */
  async look({ caughtBy }: PlantedBug): Promise<Verdict> {
    const report = join(this.#root, 'report.json')
    rmSync(report, { force: true })
    const { output } = await this.#run(process.execPath, [
      join(repository, 'node_modules/vitest/vitest.mjs'),
      'run',
      join('packages/oncely/test', caughtBy.file),
      '--testNamePattern',
      `${caughtBy.test.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`,
      '--reporter=json',
      `--outputFile=${report}`,
    ])
    if (!existsSync(report)) return { word: 'broken', why: output.slice(-2_000) }
    const { numPassedTests: passed, numFailedTests: failed } = JSON.parse(readFileSync(report, 'utf8')) as Record<string, number>
    if (failed !== undefined && failed > 0) return { word: 'caught' }
    return passed !== undefined && passed > 0 ? { word: 'missed' } : { word: 'broken', why: 'no test of that name ran' }
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true })
  }

  #run(command: string, parameters: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
    // The variables of this run's own workers would tell the inner run that it is one of them.
    const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|NODE_V8_COVERAGE|GIT_DIR|GIT_WORK_TREE)/.test(name))
    const env = { ...Object.fromEntries(own), GIT_CEILING_DIRECTORIES: dirname(this.#root) }
    return new Promise((resolve) => {
      execFile(command, parameters, { cwd: this.#root, env, timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : 1, output: `${stdout}\n${stderr}` })
      })
    })
  }
}

/** Each item through `work`, by as many workers as `copies`, each with its own copy. */
export async function share<Item, Result>(
  items: readonly Item[],
  copies: readonly PackageCopy[],
  work: (copy: PackageCopy, item: Item) => Promise<Result>,
): Promise<ReadonlyMap<Item, Result>> {
  const results = new Map<Item, Result>()
  const queue = [...items]
  await Promise.all(
    copies.map(async (copy) => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) results.set(item, await work(copy, item))
    }),
  )
  return results
}
