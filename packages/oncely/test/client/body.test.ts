import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type IdempotentFetch, type IdempotentFetchOptions, idempotentFetch } from '../../src/client/index.ts'
import { type Reply, type ScriptedServer, startScriptedServer } from './scripted-server.ts'
import { type TestPlatform, testPlatform } from './test-platform.ts'

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
const created: Reply = { status: 201, body: '{"id":1}' }

describe('a body (R59)', () => {
  test.each([
    ['a stream', () => new Blob(['x']).stream()],
    ['an iterable that is read once', async function* () {}],
    ['a stream of the old kind, which is piped once', () => ({ pipe: () => {} })],
  ])('that is %s is refused before anything is sent', async (_, make) => {
    server.plan(created)
    const init = { method: 'POST', body: make(), duplex: 'half' } as unknown as RequestInit
    await expect(client()(server.url, init)).rejects.toMatchObject({ code: 'ONCELY_BODY_NOT_REPLAYABLE', retryable: false })
    expect(server.seen).toEqual([])
  })

  test.each([
    ['bytes', () => new TextEncoder().encode('a=1')],
    ['a blob', () => new Blob(['a=1'])],
    ['parameters', () => new URLSearchParams({ a: '1' })],
  ])('of %s is sent whole on every attempt', async (_, make) => {
    server.plan('reset', { status: 503 }, created)
    await client()(server.url, { method: 'POST', body: make() })
    expect(server.seen.map(({ body }) => body)).toEqual(['a=1', 'a=1', 'a=1'])
  })

  test('of a form is sent whole on every attempt', async () => {
    server.plan('reset', created)
    const form = new FormData()
    form.set('amount', '12')
    await client()(server.url, { method: 'POST', body: form })
    expect(server.seen.map(({ body }) => /name="amount"\r\n\r\n12\r\n/.test(body))).toEqual([true, true])
  })

  test('inside a Request is sent whole on every attempt, with its headers', async () => {
    server.plan('reset', { status: 503 }, created)
    const request = new Request(server.url, {
      method: 'PATCH',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json', 'x-mine': '1' },
    })
    const { idempotency } = await client()(request)
    expect(
      server.seen.map(({ method, body, headers }) => [
        method,
        body,
        headers['content-type'],
        headers['x-mine'],
        headers['idempotency-key'],
      ]),
    ).toEqual(Array(3).fill(['PATCH', '{"a":1}', 'application/json', '1', 'key-1']))
    expect(idempotency.attempts).toBe(3)
  })
})
