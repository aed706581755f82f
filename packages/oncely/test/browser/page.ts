// What the tested page runs; bundled by the test.

import axios, { type AxiosAdapter } from 'axios'
import { idempotentAxios } from '../../src/client/axios/index.ts'
import { type Idempotency, idempotentFetch, localStorageKeys } from '../../src/client/index.ts'
import { indexedDatabaseKeys } from '../../src/client/indexed-db/index.ts'

export interface Seen {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string | null>>
  readonly idempotency: Idempotency
}

const stores = { localStorage: () => localStorageKeys(), indexedDb: () => indexedDatabaseKeys() }

/** Pays under an intent, with its key in one of the browser's stores. */
async function pay(url: string, store: keyof typeof stores, intent: string): Promise<Seen> {
  const fetch = idempotentFetch({ keys: stores[store]() })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: '{"cents":1250}', intent })
  const exposed = ['idempotent-replayed', 'idempotency-settled', 'idempotency-status', 'retry-after', 'x-hidden']
  return {
    status: response.status,
    body: await response.text(),
    headers: Object.fromEntries(exposed.map((name) => [name, response.headers.get(name)])),
    idempotency: response.idempotency,
  }
}

/** The same with axios, on one of its own adapters for browsers. */
async function payWithAxios(url: string, adapter: 'xhr' | 'fetch', intent: string): Promise<Seen> {
  const wrapped: AxiosAdapter = idempotentAxios(axios.getAdapter(adapter), { keys: localStorageKeys() })
  const client = axios.create({ adapter: wrapped, transformResponse: (body: string) => body })
  const config = { intent, headers: { 'content-type': 'application/json' } }
  const response = await client.post<string>(url, '{"cents":1250}', config)
  const exposed = ['idempotent-replayed', 'idempotency-status', 'x-hidden']
  return {
    status: response.status,
    body: response.data,
    headers: Object.fromEntries(exposed.map((name) => [name, (response.headers[name] as string | undefined) ?? null])),
    idempotency: (response as unknown as { idempotency: Idempotency }).idempotency,
  }
}

/** The keys that two stores of one database answer when an intent is started in both at once, and after it was forgotten. */
async function race(): Promise<string[]> {
  const start = (key: string) => indexedDatabaseKeys().obtain('race', { key, madeAtMs: 1 })
  const kept = await Promise.all(['a', 'b', 'c', 'd'].map(start))
  const keys = indexedDatabaseKeys()
  await keys.remove('race', 'not this one')
  kept.push(await start('e'))
  await keys.remove('race', kept[0]!.key)
  kept.push(await start('f'))
  return kept.map(({ key }) => key)
}

export const tested = { pay, payWithAxios, race }
Object.assign(globalThis, { tested })
