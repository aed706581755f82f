import { ClientError, type KeyStore, type StoredKey } from '../index.ts'

interface DatabaseRequest<Result> {
  readonly result: Result
  readonly error: unknown
  onsuccess: (() => void) | null
  onerror: (() => void) | null
}

interface ObjectStore {
  get(name: string): DatabaseRequest<unknown>
  put(value: StoredKey, name: string): DatabaseRequest<unknown>
  delete(name: string): DatabaseRequest<unknown>
}

interface Database {
  createObjectStore(name: string): unknown
  transaction(
    name: string,
    mode: 'readwrite',
    options: { readonly durability: 'strict' },
  ): {
    readonly error: unknown
    oncomplete: (() => void) | null
    onabort: (() => void) | null
    objectStore(name: string): ObjectStore
  }
  close(): void
}

/** The part of the browser's `indexedDB` that is called. */
export interface IndexedDatabaseFactory {
  open(name: string, version: number): DatabaseRequest<Database> & { onupgradeneeded: (() => void) | null }
}

export interface IndexedDatabaseKeysOptions {
  /** Name of the database. Default `oncely`. */
  readonly database?: string
  /** Default: the platform's `indexedDB`. */
  readonly factory?: IndexedDatabaseFactory
}

const storeName = 'keys'

/**
 * Keeps keys in the browser's database, so that a call survives a reload, a crash and, where the disk obeys, a power cut. Its
 * transactions are one after another: two tabs, or a page and its worker, that start one intent at once send one key.
 *
 * @example idempotentFetch({ keys: indexedDatabaseKeys() })
 * @throws ClientError `ONCELY_CONFIGURATION` where there is no IndexedDB; on use, what the database throws.
 */
export function indexedDatabaseKeys(options: IndexedDatabaseKeysOptions = {}): KeyStore {
  const { database = 'oncely', factory = (globalThis as { indexedDB?: IndexedDatabaseFactory }).indexedDB } = options
  if (!factory) {
    throw new ClientError(
      'ONCELY_CONFIGURATION',
      'There is no IndexedDB here; pass { factory }, or use memoryKeys() or a store of your own.',
    )
  }
  /** Opens for one transaction only: an open database would keep other tabs from deleting or changing it. */
  const change = async <Result>(work: (store: ObjectStore, answer: (result: Result) => void) => void): Promise<Result | undefined> => {
    const opened = await open(factory, database)
    try {
      return await new Promise<Result | undefined>((resolve, reject) => {
        const transaction = opened.transaction(storeName, 'readwrite', { durability: 'strict' })
        let result: Result | undefined
        transaction.oncomplete = () => resolve(result)
        transaction.onabort = () => reject(transaction.error)
        work(transaction.objectStore(storeName), (answered) => {
          result = answered
        })
      })
    } finally {
      opened.close()
    }
  }
  return {
    obtain: async (intent, fresh) => {
      const kept = await change<StoredKey>((store, answer) => {
        const found = store.get(intent)
        found.onsuccess = () => {
          const stored = storedKey(found.result)
          if (stored === undefined) store.put(fresh, intent)
          answer(stored ?? fresh)
        }
      })
      return kept!
    },
    remove: async (intent, key) => {
      await change((store) => {
        const found = store.get(intent)
        found.onsuccess = () => {
          if (storedKey(found.result)?.key === key) store.delete(intent)
        }
      })
    },
  }
}

function open(factory: IndexedDatabaseFactory, name: string): Promise<Database> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, 1)
    request.onupgradeneeded = () => void request.result.createObjectStore(storeName)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

/** Another script may have put anything under the name; that is no key. */
function storedKey(value: unknown): StoredKey | undefined {
  const { key, madeAtMs } = Object(value) as { key?: unknown; madeAtMs?: unknown }
  return typeof key === 'string' && typeof madeAtMs === 'number' ? { key, madeAtMs } : undefined
}
