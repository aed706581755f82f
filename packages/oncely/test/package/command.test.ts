import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const published = join(import.meta.dirname, '../../bin/oncely.js')
let folder: string
let command: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'oncely-command-'))
  // Outside of this repository, where the server package is always found.
  command = join(folder, 'oncely.mjs')
  copyFileSync(published, command)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the oncely command', () => {
  test('says what to install where the server package is missing', () => {
    const { status, stdout, stderr } = start()
    expect(stderr).toContain('npm install @oncely/server')
    expect(stdout).toBe('')
    expect(status).toBe(1)
  })

  test('runs the server package of the project in which it is called', () => {
    const server = join(folder, 'node_modules/@oncely/server')
    mkdirSync(server, { recursive: true })
    writeFileSync(
      join(server, 'package.json'),
      JSON.stringify({ name: '@oncely/server', type: 'module', exports: { './cli': './cli.js' } }),
    )
    writeFileSync(join(server, 'cli.js'), `console.log('options:', process.argv.slice(2).join(' '))\n`)
    const { status, stdout } = start('gateway', '--port', '8080')
    expect(stdout).toBe('options: gateway --port 8080\n')
    expect(status).toBe(0)
  })
})

function start(...options: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [command, ...options], { cwd: folder, encoding: 'utf8' })
}
