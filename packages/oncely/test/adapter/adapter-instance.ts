import type { Server } from 'node:http'
import { createOncely, type Limits, type Oncely } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { onTestFinished } from 'vitest'
import { type Exchanged, type ExchangeOptions, exchange } from '../../src/testing/http/exchange.ts'
import { listening } from './suite-server.ts'

export const policy = ['standard', { survives: 'nothing' }] as const

/** An instance for one test, over a store of its own. */
export function instance(store: ReturnType<typeof memoryStore> = memoryStore(), limits: Partial<Limits> = {}): Oncely<never> {
  const oncely = createOncely({ namespace: 'adapter-test', store, limits })
  onTestFinished(() => oncely.drain())
  return oncely
}

/** A memory store that breaks when an outcome is recorded. */
export function breakingStore(): ReturnType<typeof memoryStore> {
  return Object.assign(memoryStore(), { complete: () => Promise.reject(new TypeError('a bug of the store')) })
}

/** Starts a server for one test; answers with a function that posts JSON to `/echo` under one key. */
export async function started(server: Server): Promise<(options?: ExchangeOptions) => Promise<Exchanged>> {
  const { port, close } = await listening(server)
  onTestFinished(close)
  return ({ headers, ...options } = {}) =>
    exchange(port, {
      path: '/echo',
      body: options.method === 'GET' ? '' : '{"a":1}',
      ...options,
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k', ...headers },
    })
}
