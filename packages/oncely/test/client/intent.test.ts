import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type IdempotentFetch, type IdempotentFetchOptions, idempotentFetch, NoAnswer } from '../../src/client/index.ts'
import { problem, type Reply, type ScriptedServer, type Step, startScriptedServer } from './scripted-server.ts'
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
const keysSeen = (): unknown[] => server.seen.map(({ headers }) => headers['idempotency-key'])
const created: Reply = { status: 201, body: '{"id":1}' }
const running = problem(409, { retryable: true })
const post = { method: 'POST', body: '{"amount":1}' } as const

describe('an intent (R57, R59)', () => {
  test('has its key stored before the first byte leaves, and forgotten once the outcome is known', async () => {
    const log: string[] = []
    const keys = {
      obtain: async (intent: string, fresh: { key: string; madeAtMs: number }) => {
        await new Promise((resolve) => setImmediate(resolve))
        log.push(`stored ${intent} ${fresh.key} ${fresh.madeAtMs - startMs} after ${server.seen.length} requests`)
        return fresh
      },
      remove: (intent: string, key: string) => void log.push(`removed ${intent} ${key} after ${server.seen.length} requests`),
    }
    server.plan({ status: 503 }, created)
    await client({ keys })(server.url, { ...post, intent: 'cart 1' })
    expect(log).toEqual(['stored cart 1 key-1 0 after 0 requests', 'removed cart 1 key-1 after 2 requests'])
  })

  test('is not sent when its key could not be stored', async () => {
    server.plan(created)
    const keys = { obtain: () => Promise.reject(new Error('disk full')), remove: () => {} }
    await expect(client({ keys })(server.url, { ...post, intent: 'cart 1' })).rejects.toThrow('disk full')
    expect(server.seen).toEqual([])
  })

  test.each<readonly [string, readonly Step[]]>([
    ['no answer', ['reset']],
    ['a server error', [{ status: 503 }]],
    ['an uncertain record', [problem(409, { operation_state: 'uncertain' })]],
    ['a refusal at the door', [{ status: 401 }]],
    ['a refusal after a lost answer', ['reset', { status: 402 }]],
  ])('keeps its key after %s', async (_, steps) => {
    server.plan(...steps)
    const fetch = client({ retry: { attemptsMax: 2 } })
    await fetch(server.url, { ...post, intent: 'cart 1' }).catch(() => {})
    const before = new Set(keysSeen())
    server.plan(created)
    await fetch(server.url, { ...post, intent: 'cart 1' })
    expect(new Set(keysSeen())).toEqual(before)
  })

  test.each([201, 402])('has a new key after the outcome %i', async (status) => {
    server.plan({ status })
    const fetch = client()
    await fetch(server.url, { ...post, intent: 'cart 1' })
    await fetch(server.url, { ...post, intent: 'cart 1' })
    expect(new Set(keysSeen()).size).toBe(2)
  })

  test('keeps its key until the outcome is here to its last byte', async () => {
    const fetch = client({ retry: { attemptsMax: 2 } })
    server.plan({ ...created, cut: true }, created)
    const response = await fetch(server.url, { ...post, intent: 'cart 1' })
    expect(await response.json()).toEqual({ id: 1 })
    expect(keysSeen()).toEqual(['key-1', 'key-1'])
    server.plan({ ...created, cut: true })
    await expect(fetch(server.url, { ...post, intent: 'cart 1' })).rejects.toBeInstanceOf(NoAnswer)
    const [key] = keysSeen()
    server.plan(created)
    await fetch(server.url, { ...post, intent: 'cart 1' })
    expect(keysSeen()).toEqual([key])
  })

  test('is one call when it is started twice at once', async () => {
    server.plan(running, created)
    const fetch = client()
    await Promise.all([fetch(server.url, { ...post, intent: 'cart 1' }), fetch(server.url, { ...post, intent: 'cart 1' })])
    expect(new Set(keysSeen()).size).toBe(1)
  })

  test('whose key is older than servers remember is refused, and stays', async () => {
    const fetch = client({ keyAgeMsMax: 3_600_000, retry: { attemptsMax: 1 } })
    server.plan({ status: 503 })
    await fetch(server.url, { ...post, intent: 'cart 1' })
    time.passMs(3_600_001)
    server.plan(created)
    const late = { code: 'ONCELY_KEY_TOO_OLD', retryable: false }
    await expect(fetch(server.url, { ...post, intent: 'cart 1' })).rejects.toMatchObject(late)
    await expect(fetch(server.url, { ...post, intent: 'cart 1' })).rejects.toMatchObject(late)
    await expect(fetch(server.url, { ...post, intent: '' })).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
    expect(server.seen).toEqual([])
  })
})
