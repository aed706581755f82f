import { Readable } from 'node:stream'
import { Agent, type Dispatcher, interceptors, request, fetch as undiciFetch } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type IdempotentDispatchOptions, idempotentDispatch, type UndiciCall, type UndiciContext } from '../../src/adapter/undici/index.ts'
import { NoAnswer } from '../../src/client/index.ts'
import { problem, type Reply, type ScriptedServer, startScriptedServer } from '../client/scripted-server.ts'
import { type TestPlatform, testPlatform } from '../client/test-platform.ts'

let server: ScriptedServer
let agent: Agent
let time: TestPlatform

beforeAll(async () => {
  server = await startScriptedServer()
  agent = new Agent()
})
afterAll(async () => {
  await agent.destroy()
  await server.close()
})
beforeEach(() => {
  time = testPlatform()
})

const keysSeen = (): unknown[] => server.seen.map(({ headers }) => headers['idempotency-key'])
const created: Reply = { status: 201, headers: { 'content-type': 'application/json', 'x-many': 'a' }, body: '{"id":1}' }
const running = problem(409, { retryable: true })
type Options = Partial<Omit<Dispatcher.RequestOptions, 'path'>> & UndiciCall

function client(options: IdempotentDispatchOptions = {}) {
  const noting: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (own, handler) => {
    time.sending()
    return dispatch(own, handler)
  }
  const dispatcher = agent.compose(noting, idempotentDispatch({ platform: time.platform, ...options }))
  return (own: Options = {}) =>
    request(server.url, { method: 'POST', body: '{"amount":1}', ...own, dispatcher } as Parameters<typeof request>[1])
}
const idempotencyOf = ({ context }: Pick<Dispatcher.ResponseData, 'context'>) => (context as UndiciContext).idempotency

describe('undici', () => {
  test('sends one key and one body on every attempt (R57)', async () => {
    server.plan({ status: 503 }, 'reset', running, created)
    const response = await client()()
    expect(response.statusCode).toBe(201)
    expect(response.headers).toMatchObject({ 'content-type': 'application/json', 'x-many': 'a' })
    expect(await response.body.json()).toEqual({ id: 1 })
    expect(keysSeen()).toEqual(Array(4).fill('key-1'))
    expect(server.seen.map(({ body }) => body)).toEqual(Array(4).fill('{"amount":1}'))
    expect(idempotencyOf(response)).toEqual({ key: 'key-1', attempts: 4, replayed: false, uncertain: false, settled: true })
  })

  test.each<readonly [string, Dispatcher.DispatchOptions['headers'], Record<string, unknown>]>([
    ['an object', { 'X-Mine': ['1', '2'], 'x-other': 'o' }, { 'x-mine': '1, 2', 'x-other': 'o' }],
    ['a flat list', ['X-Mine', '1', 'x-other', 'o'], { 'x-mine': '1', 'x-other': 'o' }],
    ['pairs', new Map([['X-Mine', '1']]), { 'x-mine': '1' }],
    ['nothing', null, {}],
  ])('leaves the other headers as they are: %s', async (_, headers, seen) => {
    server.plan(created)
    const { body } = await client()({ headers: headers as Record<string, string> })
    await body.dump()
    expect(server.seen[0]?.headers).toMatchObject({ ...seen, 'idempotency-key': 'key-1' })
  })

  test('takes the key from the options, the header or the intent, for one request only (R60)', async () => {
    const send = client({ retry: { attemptsMax: 1 } })
    server.plan({ status: 503 }, created)
    const responses = [
      await send({ intent: 'cart 1' }),
      await send({ intent: 'cart 1' }),
      await send({ idempotencyKey: 'mine' }),
      await send({ headers: { 'idempotency-key': 'in-header' } }),
      await send(),
      await send({ method: 'GET', body: null }),
    ]
    for (const { body } of responses) await body.dump()
    expect(idempotencyOf(responses[0]!).uncertain).toBe(true)
    expect(keysSeen()).toEqual(['key-1', 'key-1', 'mine', 'in-header', expect.stringMatching(/^key-/), undefined])
  })

  test('hands a refusal out with its body unread (R58)', async () => {
    server.plan(problem(422, { detail: 'other body' }), created)
    const response = await client()()
    expect(response.statusCode).toBe(422)
    expect(await response.body.json()).toMatchObject({ detail: 'other body' })
    expect(idempotencyOf(response).attempts).toBe(1)
  })

  test('fails with NoAnswer when none came (R60)', async () => {
    server.plan('reset')
    const error = await client({ retry: { attemptsMax: 3 } })().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(NoAnswer)
    expect((error as NoAnswer).idempotency).toMatchObject({ key: 'key-1', attempts: 3 })
    expect((error as NoAnswer).cause).toBeInstanceOf(Error)
  })

  test('repeats when no answer comes in time (R58)', async () => {
    server.plan('hang', created)
    const call = client()()
    await server.arrived(1)
    time.timeOut()
    const response = await call
    await response.body.dump()
    expect(idempotencyOf(response).attempts).toBe(2)
  })

  test('ends at once when the caller aborts, before and after the headers', async () => {
    server.plan('hang')
    const early = new AbortController()
    const call = client()({ signal: early.signal })
    await server.arrived(1)
    early.abort(new Error('changed my mind'))
    await expect(call).rejects.toThrow('changed my mind')
    expect(server.seen.length).toBe(1)

    server.plan({ ...created, body: 'x'.repeat(5_000_000) })
    const late = new AbortController()
    const { body } = await client()({ signal: late.signal })
    late.abort(new Error('enough'))
    await expect(body.text()).rejects.toThrow('enough')
  })

  test('passes a large body on at the pace of its reader, byte for byte', async () => {
    const text = Array.from({ length: 300_000 }, (_, index) => `line ${index}`).join('\n')
    server.plan({ status: 200, body: text })
    const { body } = await client()()
    const chunks: Buffer[] = []
    for await (const chunk of body) {
      chunks.push(chunk)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(Buffer.concat(chunks).toString() === text).toBe(true)
  })

  test('fails the body that breaks off', async () => {
    server.plan({ ...created, cut: true })
    const { body } = await client()()
    await expect(body.text()).rejects.toThrow()
  })

  test.each([204, 304])('hands out an answer without a body: %i', async (status) => {
    server.plan({ status })
    const response = await client()()
    expect(response.statusCode).toBe(status)
    expect(await response.body.text()).toBe('')
  })

  test.each<readonly [string, () => unknown]>([
    ['a stream', () => Readable.from(['x'])],
    ['a generator', () => (function* () {})()],
  ])('refuses a body that it cannot send twice: %s (R59)', async (_, make) => {
    server.plan(created)
    await expect(client()({ body: make() as Readable })).rejects.toMatchObject({ code: 'ONCELY_BODY_NOT_REPLAYABLE' })
    expect(server.seen).toEqual([])
  })

  test('works under other interceptors and for its own fetch without a body', async () => {
    server.plan({ status: 503 }, created)
    const dispatcher = agent.compose(idempotentDispatch({ retry: { backoffMs: 0 } }), interceptors.redirect({ maxRedirections: 1 }))
    const response = await undiciFetch(server.url, { method: 'DELETE', dispatcher })
    expect(await response.json()).toEqual({ id: 1 })
    expect(new Set(keysSeen()).size).toBe(1)
    expect(server.seen.length).toBe(2)
  })
})
