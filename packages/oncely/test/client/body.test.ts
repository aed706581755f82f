import { describe, expect, test } from 'vitest'
import { ClientBench, created } from './client-bench.ts'

const bench = new ClientBench()

describe('a body (R59)', () => {
  test.each([
    ['a stream', () => new Blob(['x']).stream()],
    ['an iterable that is read once', async function* () {}],
    ['a stream of the old kind, which is piped once', () => ({ pipe: () => {} })],
  ])('that is %s is refused before anything is sent', async (_, make) => {
    bench.server.plan(created)
    const init = { method: 'POST', body: make(), duplex: 'half' } as unknown as RequestInit
    await expect(bench.client()(bench.server.url, init)).rejects.toMatchObject({ code: 'ONCELY_BODY_NOT_REPLAYABLE', retryable: false })
    expect(bench.server.seen).toEqual([])
  })

  test.each([
    ['bytes', () => new TextEncoder().encode('a=1')],
    ['a blob', () => new Blob(['a=1'])],
    ['parameters', () => new URLSearchParams({ a: '1' })],
  ])('of %s is sent whole on every attempt', async (_, make) => {
    bench.server.plan('reset', { status: 503 }, created)
    await bench.client()(bench.server.url, { method: 'POST', body: make() })
    expect(bench.server.seen.map(({ body }) => body)).toEqual(['a=1', 'a=1', 'a=1'])
  })

  test('of a form is sent whole on every attempt', async () => {
    bench.server.plan('reset', created)
    const form = new FormData()
    form.set('amount', '12')
    await bench.client()(bench.server.url, { method: 'POST', body: form })
    expect(bench.server.seen.map(({ body }) => /name="amount"\r\n\r\n12\r\n/.test(body))).toEqual([true, true])
  })

  test('inside a Request is sent whole on every attempt, with its headers', async () => {
    bench.server.plan('reset', { status: 503 }, created)
    const request = new Request(bench.server.url, {
      method: 'PATCH',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json', 'x-mine': '1' },
    })
    const { idempotency } = await bench.client()(request)
    expect(
      bench.server.seen.map(({ method, body, headers }) => [
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
