import { createOncely } from 'oncely'
import { handle, reply, wellKnown } from 'oncely/adapter/fetch'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { instance, policy } from './adapter-instance.ts'

const principal = () => 'account-1'
const operation = (limits = {}) =>
  createOncely({ namespace: 'fetch-test', store: memoryStore(), limits }).operation('echo', { policy, bind: 'lease' })

function request(body: string | ReadableStream<Uint8Array>, headers: Record<string, string> = {}, path = '/echo'): Request {
  const init = { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': 'k', ...headers }, body }
  return new Request(`https://api.example.com${path}`, { ...init, duplex: 'half' } as RequestInit)
}

/** A body that arrives in these pieces, and then ends or breaks. */
function pieces(texts: readonly string[], error?: Error): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text))
      if (error === undefined) controller.close()
      else controller.error(error)
    },
  })
}

describe('a fetch route', () => {
  test('hands on what the framework gives besides the request, and leaves the body to read', async () => {
    const echo = handle(operation(), { principal }, async ({ input }, request, context: { params: { id: string } }) =>
      reply(200, { input, text: await request.text(), id: context.params.id }),
    )
    const answer = await echo(request(pieces(['{"a"', ':1}'])), { params: { id: '7' } })
    expect(await answer.json()).toEqual({ input: { a: 1 }, text: '{"a":1}', id: '7' })
    const again = await echo(request('{ "a": 1 }'), { params: { id: '7' } })
    expect([again.headers.get('idempotent-replayed'), await again.json()]).toEqual(['true', { input: { a: 1 }, text: '{"a":1}', id: '7' }])
  })

  test('takes the path and the query for the place of a request', async () => {
    const echo = handle(operation(), { principal }, () => reply(200))
    expect((await echo(request('1', {}, '/a'))).status).toBe(200)
    for (const path of ['/b', '/a?dry=1']) expect((await echo(request('1', {}, path))).status).toBe(422)
    expect((await echo(request('1', {}, '/a?'))).headers.get('idempotent-replayed')).toBe('true')
  })

  test('refuses two keys, which Fetch has joined, as a list', async () => {
    const echo = handle(operation(), { principal }, () => reply(200))
    for (const [one, two] of [
      ['one', 'two'],
      ['"one"', '"two"'],
      ['same', 'same'],
    ] as const) {
      const repeated = request('1')
      repeated.headers.set('idempotency-key', one)
      repeated.headers.append('idempotency-key', two)
      expect((await echo(repeated)).status).toBe(400)
    }
  })

  test.each([204, 205, 304])('answers %i without a body, again and again', async (status) => {
    const answers = { status, headers: [['etag', '"v1"']] as const, body: new TextEncoder().encode('ignored') }
    const echo = handle(operation(), { principal }, () => answers)
    for (const replayed of [null, 'true']) {
      const answer = await echo(request('1'))
      expect([answer.status, answer.body, answer.headers.get('etag'), answer.headers.get('idempotent-replayed')]).toEqual([
        status,
        null,
        '"v1"',
        replayed,
      ])
    }
  })

  test('keeps the lines of several cookies apart', async () => {
    const echo = handle(operation(), { principal }, () => reply(200, 'x', { 'set-cookie': ['a=1', 'b=2'] }))
    expect((await echo(request('1'))).headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  })

  test('needs the body unread, refuses one that is too large and one that was cut off', async () => {
    const echo = handle(operation({ bodyBytesMax: 10 }), { principal }, () => reply(200))
    const read = request('{"a":1}')
    await read.text()
    await expect(echo(read)).rejects.toMatchObject({ code: 'ONCELY_BODY_NOT_CAPTURED', message: expect.stringContaining('clone()') })
    const locked = request('{"a":1}')
    locked.body?.getReader()
    await expect(echo(locked)).rejects.toMatchObject({ code: 'ONCELY_BODY_NOT_CAPTURED' })
    expect((await echo(request(pieces(['"12345', '6789"', ' '])))).status).toBe(413)
    expect((await echo(request(pieces(['"12'], new Error('aborted'))))).status).toBe(400)
  })

  test('finishes and stores what its client no longer waits for', async () => {
    const client = new AbortController()
    const echo = handle(operation(), { principal }, () => {
      client.abort()
      return reply(201, 'finished')
    })
    await echo(new Request(request('1'), { signal: client.signal }))
    expect((await echo(request('1'))).headers.get('idempotent-replayed')).toBe('true')
  })

  test('rejects with what its handler throws', async () => {
    const echo = handle(operation(), { principal }, () => Promise.reject(new Error('a bug')))
    await expect(echo(request('1'))).rejects.toThrow('a bug')
  })
})

test('the document is a response', async () => {
  const answer = wellKnown(instance(), { problemBase: 'https://api.example.com/p/' })()
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
  expect(await answer.json()).toMatchObject({ operations: [], key: { header: 'Idempotency-Key' } })
})
