import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileKeys } from '../../src/client/file/index.ts'
import { idempotentFetch } from '../../src/client/index.ts'
import { startScriptedServer } from './scripted-server.ts'

let folder: string

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'oncely-keys-')), 'keys')
})
afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }))

const first = { key: 'first', madeAtMs: 1 }
const second = { key: 'second', madeAtMs: 2 }

/** Every file below the folder, with its text. */
function files(): string[][] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))
  return names.filter((name) => statSync(name).isFile()).map((name) => [name, readFileSync(name, 'utf8')])
}

describe('fileKeys (R57)', () => {
  test('keeps the key that came first, and finds it again after a restart', async () => {
    expect(await fileKeys({ folder }).obtain('cart 1', first)).toEqual(first)
    expect(await fileKeys({ folder }).obtain('cart 1', second)).toEqual(first)
    expect(await fileKeys({ folder }).obtain('cart 2', second)).toEqual(second)
  })

  test('leaves nothing of an intent that is forgotten', async () => {
    const keys = fileKeys({ folder })
    await keys.obtain('cart 1', first)
    await keys.remove('cart 1', 'first')
    expect(readdirSync(folder)).toEqual([])
  })

  test('has neither intents nor keys in its names, and is for its owner only', async () => {
    await fileKeys({ folder }).obtain('cart of alice/../..', first)
    const [[name = '', text] = []] = files()
    expect(name).not.toMatch(/alice|first/)
    expect(JSON.parse(text ?? '')).toEqual(first)
    expect(statSync(name).mode & 0o077).toBe(0)
    expect(statSync(folder).mode & 0o077).toBe(0)
  })

  test('answers one key to all that start an intent at once, and leaves nothing else behind', async () => {
    const started = Array.from({ length: 40 }, (_, index) =>
      fileKeys({ folder }).obtain('cart 1', { key: `key-${index}`, madeAtMs: index }),
    )
    expect(new Set((await Promise.all(started)).map(({ key }) => key)).size).toBe(1)
    expect(readdirSync(folder).length).toBe(1)
    expect(files().length).toBe(1)
  })

  test('answers one key to processes that start an intent at once', async () => {
    const module = join(import.meta.dirname, '../../.build/src/client/file/index.js')
    if (!existsSync(module)) throw new Error(`${module} is missing; run \`npm run build\` first`)
    const program = `
      const { fileKeys } = await import(${JSON.stringify(module)})
      const { key } = await fileKeys({ folder: ${JSON.stringify(folder)} }).obtain('cart 1', { key: String(process.pid), madeAtMs: 1 })
      console.log(key)`
    const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
    const answers = await Promise.all(Array.from({ length: 4 }, run))
    expect(new Set(answers.map(({ stdout }) => stdout)).size).toBe(1)
  })

  test('never answers a key that a later one took the place of, while others keep and remove', async () => {
    const keys = fileKeys({ folder })
    const rounds = Array.from({ length: 8 }, async (_, worker) => {
      for (let round = 0; round < 15; round++) {
        const mine = { key: `${worker}-${round}`, madeAtMs: round }
        const { key } = await keys.obtain('cart 1', mine)
        if (key === mine.key) {
          expect((await keys.obtain('cart 1', second)).key).toBe(key)
          await keys.remove('cart 1', key)
        } else await keys.remove('cart 1', `${worker}-${round}`)
      }
    })
    await Promise.all(rounds)
    expect(await keys.obtain('cart 1', first)).toEqual(first)
  })

  test.each(['', 'null', '{"key":1,"madeAtMs":1}', 'no JSON'])('takes %j, which is no key, for none', async (text) => {
    await fileKeys({ folder }).obtain('cart 1', first)
    writeFileSync(files()[0]![0]!, text)
    expect(await fileKeys({ folder }).obtain('cart 1', second)).toEqual(second)
    expect(await fileKeys({ folder }).obtain('cart 1', first)).toEqual(second)
  })

  test('lets nothing out when the key cannot be kept', async () => {
    const server = await startScriptedServer()
    writeFileSync(folder, 'a file where the folder should be')
    const fetch = idempotentFetch({ keys: fileKeys({ folder }) })
    await expect(fetch(server.url, { method: 'POST', intent: 'cart 1' })).rejects.toMatchObject({ code: 'ENOTDIR' })
    expect(server.seen).toEqual([])
    await server.close()
  })

  test('needs a folder', () => {
    expect(() => fileKeys({ folder: '' })).toThrow(/fileKeys needs \{ folder \}/)
  })
})
