import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fileKeys } from '../../src/client/file/index.ts'
import { type KeyStore, localStorageKeys, memoryKeys, type WebStorage } from '../../src/client/index.ts'

function mapStorage(): WebStorage & { readonly entries: Map<string, string> } {
  const entries = new Map<string, string>()
  return {
    entries,
    getItem: (name) => entries.get(name) ?? null,
    setItem: (name, value) => void entries.set(name, value),
    removeItem: (name) => void entries.delete(name),
  }
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-keys-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const first = { key: 'first', madeAtMs: 1 }
const second = { key: 'second', madeAtMs: 2 }

describe.each<readonly [string, () => KeyStore]>([
  ['memoryKeys', () => memoryKeys()],
  ['localStorageKeys', () => localStorageKeys({ storage: mapStorage() })],
  ['fileKeys', () => fileKeys({ folder: temporaryFolder() })],
])('%s', (_, make) => {
  test('answers the key that was kept first', async () => {
    const keys = make()
    expect(await keys.obtain('cart 1', first)).toEqual(first)
    expect(await keys.obtain('cart 1', second)).toEqual(first)
    expect(await keys.obtain('cart 2', second)).toEqual(second)
  })

  test('forgets an intent only with the key that it is kept with', async () => {
    const keys = make()
    await keys.obtain('cart 1', second)
    await keys.remove('cart 1', 'first')
    expect(await keys.obtain('cart 1', first)).toEqual(second)
    await keys.remove('cart 1', 'second')
    expect(await keys.obtain('cart 1', first)).toEqual(first)
    await keys.remove('never kept', 'first')
  })
})

describe('localStorageKeys over a restart', () => {
  test('finds the key again', async () => {
    const storage = mapStorage()
    await localStorageKeys({ storage }).obtain('cart 1', first)
    expect(await localStorageKeys({ storage }).obtain('cart 1', second)).toEqual(first)
    expect([...storage.entries.keys()]).toEqual(['oncely:cart 1'])
    expect(await localStorageKeys({ storage, prefix: 'other:' }).obtain('cart 1', second)).toEqual(second)
  })

  test.each(['', 'null', '[]', '{"key":1,"madeAtMs":1}', '{"key":"a"}', 'no JSON'])('takes %j, which is no key, for none', async (text) => {
    const storage = mapStorage()
    storage.setItem('oncely:cart 1', text)
    expect(await localStorageKeys({ storage }).obtain('cart 1', first)).toEqual(first)
    expect(await localStorageKeys({ storage }).obtain('cart 1', second)).toEqual(first)
  })

  test('says what to do where there is no storage', () => {
    expect(() => localStorageKeys({ storage: undefined as unknown as WebStorage })).toThrow(/localStorage.*memoryKeys\(\)/)
  })
})
