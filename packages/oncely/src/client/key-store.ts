import { ClientError } from './client-error.ts'

/** A key as it is kept for an intent. */
export interface StoredKey {
  readonly key: string
  /** When the key was made, in milliseconds since 1970. */
  readonly madeAtMs: number
}

/**
 * Keeps the key of each intent from before its first byte leaves until its answer is known. Methods may answer promises; nothing
 * is sent before `obtain` has answered, and when it throws, nothing is sent at all.
 */
export interface KeyStore {
  /** The key kept for the intent; else keeps the fresh one and answers it. In one step: two callers get the same key. */
  obtain(intent: string, fresh: StoredKey): StoredKey | Promise<StoredKey>
  /** Forgets the intent, but only while it is kept with this key. */
  remove(intent: string, key: string): void | Promise<void>
}

/** Keeps keys as long as the page or process lives: a second press of a button is the same call, a restart is not. */
export function memoryKeys(): KeyStore {
  const kept = new Map<string, StoredKey>()
  return {
    obtain: (intent, fresh) => {
      const stored = kept.get(intent) ?? fresh
      kept.set(intent, stored)
      return stored
    },
    remove: (intent, key) => {
      if (kept.get(intent)?.key === key) kept.delete(intent)
    },
  }
}

/** The part of a Web `Storage` that is called. */
export interface WebStorage {
  getItem(name: string): string | null
  setItem(name: string, value: string): void
  removeItem(name: string): void
}

export interface LocalStorageKeysOptions {
  /** Default: the page's `localStorage`; `sessionStorage` ends with the tab. */
  readonly storage?: WebStorage
  /** Begins the names of the entries. Default `oncely:`. */
  readonly prefix?: string
}

/**
 * Keeps keys in the browser's storage, so that a call survives a reload or a crash of the page. Tabs see each other's keys; two
 * tabs that start the same intent in the same instant may still make one each.
 *
 * @throws ClientError `ONCELY_CONFIGURATION` where there is no storage; on use, what the storage throws when it is full.
 */
export function localStorageKeys(options: LocalStorageKeysOptions = {}): KeyStore {
  const { prefix = 'oncely:', storage = (globalThis as { localStorage?: WebStorage }).localStorage } = options
  if (!storage) {
    throw new ClientError(
      'ONCELY_CONFIGURATION',
      'There is no localStorage here; pass { storage }, or use memoryKeys() or a store of your own.',
    )
  }
  const read = (intent: string): StoredKey | undefined => parseStoredKey(storage.getItem(prefix + intent))
  return {
    obtain: (intent, fresh) => {
      const stored = read(intent)
      if (stored === undefined) storage.setItem(prefix + intent, JSON.stringify(fresh))
      return stored ?? fresh
    },
    remove: (intent, key) => {
      if (read(intent)?.key === key) storage.removeItem(prefix + intent)
    },
  }
}

/** Another script may have written anything under the name; that is no key. */
function parseStoredKey(text: string | null): StoredKey | undefined {
  try {
    const { key, madeAtMs } = JSON.parse(text ?? '{}')
    return typeof key === 'string' && typeof madeAtMs === 'number' ? { key, madeAtMs } : undefined
  } catch {
    return undefined
  }
}
