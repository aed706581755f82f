import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type IdempotentFetch,
  type IdempotentFetchOptions,
  idempotentFetch,
  memoryKeys,
  publishedRetention,
} from '../../src/client/index.ts'
import { type Reply, type ScriptedServer, startScriptedServer } from './scripted-server.ts'
import { startMs, type TestPlatform, testPlatform } from './test-platform.ts'

let server: ScriptedServer
let time: TestPlatform

beforeAll(async () => {
  server = await startScriptedServer()
})
afterAll(() => server.close())
beforeEach(() => {
  time = testPlatform()
})

function client(options: IdempotentFetchOptions = {}): IdempotentFetch {
  return idempotentFetch({ fetch: time.fetch, platform: time.platform, ...options })
}
const post = { method: 'POST', body: '{"amount":1}', intent: 'cart 1' } as const
const created: Reply = { status: 201, body: '{"id":1}' }
const hourMs = 3_600_000

function published(document: unknown, status = 200): typeof fetch {
  return async () => Response.json(document, { status })
}
const hour = published({
  operations: [
    { name: 'refund', retention_seconds: 60 },
    { name: 'create-payment', retention_seconds: 3_600 },
  ],
})

describe('the published retention (R59)', () => {
  test('is read from the document of the server', async () => {
    expect(await publishedRetention('https://api.example/.well-known/idempotency', 'create-payment', hour)()).toBe(hourMs)
  })

  test.each([
    ['that does not name the operation', published({ operations: [] })],
    ['that is something else', published('hello')],
    ['that is an error', published({ operations: [{ name: 'create-payment', retention_seconds: 60 }] }, 500)],
    ['whose retention is no number', published({ operations: [{ name: 'create-payment', retention_seconds: 'long' }] })],
  ])('is not taken from a document %s', async (_, fetch) => {
    const read = publishedRetention('https://api.example/.well-known/idempotency', 'create-payment', fetch)
    await expect(read()).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })

  test('is not asked for a fresh key, and refuses a stored one past its end', async () => {
    let asked = 0
    const keyAgeMsMax = () => {
      asked++
      return publishedRetention('https://api.example/.well-known/idempotency', 'create-payment', hour)()
    }
    const fetch = client({ keyAgeMsMax, retry: { attemptsMax: 1 } })
    server.plan({ status: 503 })
    await fetch(server.url, post)
    expect(asked).toBe(0)
    time.passMs(hourMs)
    await fetch(server.url, post).catch(() => {})
    expect(server.seen.length).toBe(2)
    time.passMs(1)
    await expect(fetch(server.url, post)).rejects.toMatchObject({ code: 'ONCELY_KEY_TOO_OLD' })
    expect(server.seen.length).toBe(2)
    expect(asked).toBe(2)
  })

  test('ends the retries of a call whose stored key would outlive it', async () => {
    const keys = memoryKeys()
    keys.obtain('cart 1', { key: 'old', madeAtMs: startMs - hourMs + 1_000 })
    server.plan({ status: 503 })
    const retry = { backoffMs: 600, backoffMsMax: 600, attemptsMax: 10 }
    const { status, idempotency } = await client({ keys, keyAgeMsMax: hourMs, retry })(server.url, post)
    expect(status).toBe(503)
    expect(time.pausesMs).toEqual([300, 300, 300])
    expect(idempotency).toMatchObject({ key: 'old', attempts: 4, uncertain: true })
  })

  test('that cannot be read lets nothing out under a stored key', async () => {
    const keys = memoryKeys()
    keys.obtain('cart 1', { key: 'old', madeAtMs: startMs })
    server.plan(created)
    const call = client({ keys, keyAgeMsMax: () => Promise.reject(new Error('no route')) })(server.url, post)
    await expect(call).rejects.toThrow('no route')
    expect(server.seen).toEqual([])
  })
})
