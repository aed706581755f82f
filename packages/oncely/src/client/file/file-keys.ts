// Keeps the key of each intent in a folder of its own, <folder>/<hash of the intent>/<hash of the key>.
//
//   absent ──rename of a finished folder──▶ kept ──unlink of the key's file──▶ empty ──rmdir──▶ absent
//
// A folder is renamed onto another one only where that is absent or empty, so the first of two processes wins and the other one
// reads. A file is named for its key, so removing one key never removes the next. What a crash leaves is a folder whose name
// begins with a dot, which is never read.
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ClientError, type KeyStore, type StoredKey } from '../index.ts'

export interface FileKeysOptions {
  /** The folder, made when it is missing; for this user's eyes only. All processes that share it share their keys. */
  readonly folder: string
}

/** How often another process may come in between before this is taken for a mistake. */
const turnsMax = 100

/**
 * Keeps keys in files, so that a call survives a restart of the process, a crash and a power cut: a key is on disk before `obtain`
 * answers. Processes may share the folder on a local disk; one that starts an intent that another has started sends the same key.
 *
 * @example idempotentFetch({ keys: fileKeys({ folder: '/var/lib/shop/keys' }) })
 * @throws ClientError `ONCELY_CONFIGURATION` for an empty folder name; on use, what the file system throws.
 */
export function fileKeys(options: FileKeysOptions): KeyStore {
  if (typeof options.folder !== 'string' || options.folder === '') {
    throw new ClientError('ONCELY_CONFIGURATION', 'fileKeys needs { folder }, the name of a folder that outlives the process.')
  }
  const folder = resolve(options.folder)
  return {
    obtain: async (intent, fresh) => {
      const place = join(folder, hash(intent))
      for (let turn = 0; turn < turnsMax; turn++) {
        const stored = await read(place)
        if (stored !== undefined) {
          // Who kept it may not have come to this.
          await syncFolder(folder)
          return stored
        }
        if (await keep(folder, place, fresh)) return fresh
      }
      throw new Error(`No key could be read from or kept in ${place} in ${turnsMax} turns.`)
    },
    remove: async (intent, key) => {
      const place = join(folder, hash(intent))
      await unlink(join(place, hash(key))).catch(unless('ENOENT'))
      await rmdir(place).catch(unless('ENOENT', 'ENOTEMPTY', 'EEXIST', 'EPERM'))
    },
  }
}

/** The key that is kept in this place; what is no key is cleared away. */
async function read(place: string): Promise<StoredKey | undefined> {
  const names = (await readdir(place).catch(unless('ENOENT'))) ?? []
  for (const name of names) {
    const text = await readFile(join(place, name), 'utf8').catch(unless('ENOENT'))
    const stored = text === undefined ? undefined : storedKey(text)
    if (stored !== undefined) return stored
    if (text !== undefined) await unlink(join(place, name)).catch(unless('ENOENT'))
  }
  return undefined
}

/** Puts a finished folder in its place in one step; false when another one is there. */
async function keep(folder: string, place: string, fresh: StoredKey): Promise<boolean> {
  const made = join(folder, `.${randomUUID()}`)
  const topmost = (await mkdir(made, { recursive: true, mode: 0o700 })) ?? made
  try {
    const file = await open(join(made, hash(fresh.key)), 'wx', 0o600)
    try {
      await file.writeFile(JSON.stringify(fresh))
      await file.sync()
    } finally {
      await file.close()
    }
    await syncFolder(made)
    // Where a rename never replaces a folder (Windows), an empty one has to go first.
    await rmdir(place).catch(unless('ENOENT', 'ENOTEMPTY', 'EEXIST', 'EPERM'))
    await rename(made, place)
    await syncFolder(folder)
    // A folder that was made on the way is on disk when its own folder is.
    for (let path = folder; path.length >= topmost.length; path = dirname(path)) await syncFolder(dirname(path))
    return true
  } catch (error) {
    await rm(made, { recursive: true, force: true })
    return unless('ENOTEMPTY', 'EEXIST', 'EPERM')(error) ?? false
  }
}

/** A new name is on disk when its folder is. Windows opens no folder, and needs none. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(unless('EISDIR', 'EPERM', 'EACCES'))
  if (folder === undefined) return
  try {
    await folder.sync().catch(unless('EPERM', 'EINVAL'))
  } finally {
    await folder.close()
  }
}

/** Lets these error codes pass as nothing, and throws all others. */
function unless(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return undefined
  }
}

function storedKey(text: string): StoredKey | undefined {
  try {
    const { key, madeAtMs } = Object(JSON.parse(text))
    return typeof key === 'string' && typeof madeAtMs === 'number' ? { key, madeAtMs } : undefined
  } catch {
    return undefined
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
