import { mkdtempSync, rmSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fileKeys } from '../../src/client/file/index.ts'

/** What was put on disk, in order: files and folders by their path. */
const synced: string[] = []

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  const open = async (...given: Parameters<typeof real.open>): Promise<FileHandle> => {
    const handle = await real.open(...given)
    const { sync } = handle
    handle.sync = () => {
      synced.push(String(given[0]))
      return sync.call(handle)
    }
    return handle
  }
  return { ...real, open }
})

test('a key is on disk with every folder that leads to it, for the first that asks and for the next', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'oncely-keys-'))
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }))
  const folder = join(parent, 'shop', 'keys')
  await fileKeys({ folder }).obtain('cart 1', { key: 'first', madeAtMs: 1 })
  expect(synced.slice(2)).toEqual([folder, join(parent, 'shop'), parent])
  synced.length = 0
  // The one before may have been cut off between the name and its way to the disk.
  await fileKeys({ folder }).obtain('cart 1', { key: 'second', madeAtMs: 2 })
  expect(synced).toEqual([folder])
  synced.length = 0
  await fileKeys({ folder }).obtain('cart 2', { key: 'third', madeAtMs: 3 })
  expect(synced.slice(2)).toEqual([folder])
})
