import { createHmac } from 'node:crypto'
import { type WebhookSinkOptions, webhookSink } from 'oncely/outbox'
import { describe, expect, test } from 'vitest'
import type { OutboxMessage, OutboxSink } from '../../src/core/index.ts'
import { receiver } from './receiver.ts'

const secret = 'a secret of thirty-two bytes....'
const never = new AbortController().signal
let made = 0

function message(aggregate: string, payload: string, own: Partial<OutboxMessage> = {}): OutboxMessage {
  const id = `00000000-0000-8000-8000-${String(++made).padStart(12, '0')}`
  const headers = {}
  const bytes = new TextEncoder().encode(payload)
  return {
    id,
    topic: 'payments',
    aggregate,
    type: 'made',
    headers,
    payload: bytes,
    contentType: 'application/json',
    occurredAtMs: 0,
    attempt: 1,
    ...own,
  }
}

function sinkTo(url: WebhookSinkOptions['url'], own: Partial<WebhookSinkOptions> = {}): OutboxSink {
  return webhookSink({ url, secret, allowHttp: true, allowAddresses: ['127.0.0.1'], timeoutMs: 300, ...own })
}

describe('a webhook', () => {
  test('carries its key, its signature and what it is', async () => {
    const { url, deliveries } = await receiver()
    const sent = message('a', '{"amount":5}', { headers: { 'X-Trace': 'Grüße' } })
    expect(await sinkTo(url, { headers: { authorization: 'Bearer t' } }).send([sent], never)).toEqual(['sent'])
    const [{ headers, body, key } = { headers: {}, body: '', key: '' }] = deliveries
    expect([key, body]).toEqual([`"${sent.id}"`, '{"amount":5}'])
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': sent.id,
      'webhook-topic': 'payments',
      'webhook-type': 'made',
      'x-trace': 'Gr%C3%BC%C3%9Fe',
      authorization: 'Bearer t',
    })
    const at = String(headers['webhook-timestamp'])
    expect(Math.abs(Number(at) - Date.now() / 1_000)).toBeLessThan(60)
    const expected = createHmac('sha256', secret).update(`${sent.id}.${at}.{"amount":5}`).digest('base64')
    expect(headers['webhook-signature']).toBe(`v1,${expected}`)
  })

  test('is signed with every secret while one is replaced', async () => {
    const { url, deliveries } = await receiver()
    await sinkTo(url, { secret: [secret, `whsec_${Buffer.from(secret).toString('base64')}`] }).send([message('a', '{}')], never)
    const [first, second, ...more] = String(deliveries[0]?.headers['webhook-signature']).split(' ')
    expect(first).toBe(second)
    expect(more).toEqual([])
  })

  test('does not let a message say where it goes or how it is framed', async () => {
    const { url, deliveries } = await receiver()
    const headers = { Host: 'metadata.internal', 'Transfer-Encoding': 'chunked', 'Idempotency-Key': 'mine', 'Content-Length': '1' }
    const sent = message('a', '{"amount":5}', { headers })
    expect(await sinkTo(url).send([sent], never)).toEqual(['sent'])
    expect(deliveries[0]).toMatchObject({ key: `"${sent.id}"`, body: '{"amount":5}', headers: { host: new URL(url).host } })
  })

  test('goes where its topic says', async () => {
    const [one, two] = [await receiver(), await receiver()]
    const sink = sinkTo(({ topic }) => (topic === 'one' ? one.url : two.url))
    await sink.send([message('a', '1', { topic: 'one' }), message('b', '2', { topic: 'two' })], never)
    expect([one.deliveries.length, two.deliveries.length]).toEqual([1, 1])
  })
})

describe('a receiver that acted and then', () => {
  test.each<[string, Parameters<typeof receiver>[0], unknown]>([
    ['does not answer in time', (response, nth) => void (nth === 1 || response.end()), { word: 'retry', reason: 'time-out' }],
    ['answers 500', (response, nth) => void response.writeHead(nth === 1 ? 500 : 200).end(), { word: 'retry', reason: 'status 500' }],
    [
      'closes the connection',
      (response, nth) => void (nth === 1 ? response.destroy() : response.end()),
      { word: 'retry', reason: 'ECONNRESET' },
    ],
    [
      'closes the connection within its headers',
      (response, nth) => {
        if (nth > 1) return void response.end()
        response.socket?.write('HTTP/1.1 200 O')
        response.socket?.destroy()
      },
      { word: 'retry', reason: expect.any(String) },
    ],
  ])('%s gets the same key again and acts once', async (_, answer, expected) => {
    const { url, deliveries, effects } = await receiver(answer)
    const sink = sinkTo(url)
    const sent = message('a', '{"amount":5}')
    expect(await sink.send([sent], never)).toEqual([expected])
    expect(await sink.send([{ ...sent, attempt: 2 }], never)).toEqual(['sent'])
    expect(deliveries.map(({ key }) => key)).toEqual([`"${sent.id}"`, `"${sent.id}"`])
    expect(effects.size).toBe(1)
  })
})

describe('an answer', () => {
  test.each([
    [200, 'sent'],
    [204, 'sent'],
    [400, { word: 'refused', reason: 'status 400' }],
    [401, { word: 'retry', reason: 'status 401' }],
    [409, { word: 'retry', reason: 'status 409' }],
    [410, { word: 'refused', reason: 'status 410' }],
    [422, { word: 'refused', reason: 'status 422' }],
    [303, { word: 'refused', reason: 'status 303' }],
    [503, { word: 'retry', reason: 'status 503' }],
  ])('of %i is %o', async (status, expected) => {
    const { url } = await receiver((response) => void response.writeHead(status).end())
    expect(await sinkTo(url).send([message('a', '{}')], never)).toEqual([expected])
  })

  test('with Retry-After says when to come back, in seconds or as a date', async () => {
    const { url } = await receiver((response, nth) => {
      const date = new Date(Date.now() + 60_000).toUTCString()
      response.writeHead(429, { 'retry-after': nth === 1 ? '7' : nth === 2 ? date : 'soon' }).end()
    })
    const sink = sinkTo(url)
    const [first, second, third] = [
      ...(await sink.send([message('a', '1')], never)),
      ...(await sink.send([message('a', '2')], never)),
      ...(await sink.send([message('a', '3')], never)),
    ]
    expect(first).toEqual({ word: 'retry', reason: 'status 429', afterMs: 7_000 })
    expect((second as { afterMs: number }).afterMs).toBeGreaterThan(55_000)
    expect((second as { afterMs: number }).afterMs).toBeLessThanOrEqual(60_000)
    expect(third).toEqual({ word: 'retry', reason: 'status 429' })
  })

  test('that never ends is cut off, and counts by its status', async () => {
    const { url } = await receiver((response) => {
      const pour = (): void => void (response.destroyed || response.write('x'.repeat(16_384), pour))
      pour()
    })
    expect(await sinkTo(url).send([message('a', '{}')], never)).toEqual(['sent'])
  })
})

describe('a batch', () => {
  test('keeps the order of each aggregate, and sends nothing behind what was not sent', async () => {
    const { url, deliveries } = await receiver((response, _nth, { body }) => void response.writeHead(body === 'a2' ? 503 : 200).end())
    const batch = ['a1', 'b1', 'a2', 'a3', 'b2'].map((payload) => message(payload.slice(0, 1), payload))
    const answers = await sinkTo(url).send(batch, never)
    expect(answers.map((answer) => (typeof answer === 'string' ? answer : answer.word))).toEqual(['sent', 'sent', 'retry', 'retry', 'sent'])
    const bodies = deliveries.map(({ body }) => body)
    expect(bodies.filter((body) => body.startsWith('a'))).toEqual(['a1', 'a2'])
    expect(bodies.filter((body) => body.startsWith('b'))).toEqual(['b1', 'b2'])
  })

  test('that is told to stop sends nothing more', async () => {
    const { url, deliveries } = await receiver()
    const stop = new AbortController()
    stop.abort()
    expect(await sinkTo(url).send([message('a', '{}')], stop.signal)).toEqual([{ word: 'retry', reason: 'not tried: the relay stopped' }])
    expect(deliveries).toEqual([])
  })
})

describe('an address that is not public', () => {
  const refused = [{ word: 'refused', reason: expect.stringContaining('address is not public') }]

  test.each(['127.0.0.1', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', 'localhost'])('is refused: %s', async (host) => {
    const { url, deliveries } = await receiver()
    const { port } = new URL(url)
    expect(await sinkTo(`http://${host}:${port}/`, { allowAddresses: [] }).send([message('a', '{}')], never)).toEqual(refused)
    expect(deliveries).toEqual([])
  })

  test('is refused behind a redirect', async () => {
    const hidden = await receiver(undefined, '127.0.0.2')
    const { url } = await receiver((response) => void response.writeHead(307, { location: hidden.url }).end())
    expect(await sinkTo(url).send([message('a', '{}')], never)).toEqual(refused)
    expect(hidden.deliveries).toEqual([])
  })

  test('is reached where it is allowed, also by name', async () => {
    const { url, deliveries } = await receiver()
    const { port } = new URL(url)
    const sink = sinkTo(`http://localhost:${port}/`, { allowAddresses: ['127.0.0.0/8', '::1'] })
    expect(await sink.send([message('a', '{}')], never)).toEqual(['sent'])
    expect(deliveries).toHaveLength(1)
  })
})

describe('a redirect', () => {
  test('to another origin is followed with the key, without the credentials of the first', async () => {
    const second = await receiver()
    const { url } = await receiver((response) => void response.writeHead(308, { location: second.url }).end())
    const sent = message('a', '{"amount":5}')
    expect(await sinkTo(url, { headers: { authorization: 'Bearer t' } }).send([sent], never)).toEqual(['sent'])
    expect(second.deliveries).toMatchObject([{ key: `"${sent.id}"`, body: '{"amount":5}' }])
    expect(second.deliveries[0]?.headers.authorization).toBeUndefined()
  })

  test('without an end is given up', async () => {
    const { url, deliveries } = await receiver((response) => void response.writeHead(307, { location: '/again' }).end())
    expect(await sinkTo(url, { redirectsMax: 2 }).send([message('a', '{}')], never)).toEqual([
      { word: 'refused', reason: 'more than 2 redirects' },
    ])
    expect(deliveries).toHaveLength(3)
  })

  test('to another scheme or with a password is refused', async () => {
    for (const location of ['file:///etc/passwd', 'http://user:secret@127.0.0.1/', 'http://[']) {
      const { url } = await receiver((response) => void response.writeHead(307, { location }).end())
      expect(await sinkTo(url).send([message('a', '{}')], never), location).toMatchObject([{ word: 'refused' }])
    }
  })
})

describe('webhookSink refuses', () => {
  test.each<[string, Partial<WebhookSinkOptions>]>([
    ['http without a word', { url: 'http://example.com', allowHttp: false }],
    ['a url with a password', { url: 'https://user:secret@example.com' }],
    ['what is no url', { url: 'example' }],
    ['a short secret', { secret: 'short' }],
    ['no secret', { secret: [] }],
    ['a network that is none', { allowAddresses: ['10.0.0.0/64'] }],
    ['a time-out of nothing', { timeoutMs: 0 }],
    ['a name with a slash', { name: 'a/b' }],
  ])('%s', (_, own) => {
    expect(() => webhookSink({ url: 'https://example.com', secret, ...own })).toThrow(
      expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }),
    )
  })
})
