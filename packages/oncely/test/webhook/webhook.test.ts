import { createServer } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { createOncely, type TransactionalStore } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import type { SqliteConnection } from 'oncely/store/sqlite'
import {
  adyenWebhook,
  githubWebhook,
  shopifyWebhook,
  stripeWebhook,
  type WebhookEvent,
  type WebhookRoute,
  webhookEvent,
} from 'oncely/webhook'
import { describe, expect, onTestFinished, test } from 'vitest'
import * as onExpress from '../../src/adapter/express/index.ts'
import * as onFastify from '../../src/adapter/fastify/index.ts'
import * as onFetch from '../../src/adapter/fetch/index.ts'
import * as onHono from '../../src/adapter/hono/index.ts'
import * as onKoa from '../../src/adapter/koa/index.ts'
import * as onNode from '../../src/adapter/node/index.ts'
import { instance, policy } from '../adapter/adapter-instance.ts'
import { listening } from '../adapter/suite-server.ts'
import { openSqlite } from '../adapter/suite-stores.ts'
import { adyenItem, adyenSignature, type Delivery, fromAdyen, fromGithub, fromShopify, fromStripe, secrets } from './sender.ts'

type Deliver = (delivery: Delivery) => Promise<Response>

/** A server with one webhook, the events that its handler saw, and a way to deliver to it. */
interface Endpoint {
  readonly events: WebhookEvent[]
  readonly deliver: Deliver
  readonly store: ReturnType<typeof memoryStore>
}

function deliverTo(port: number): Deliver {
  return ({ headers, body }) => fetch(`http://127.0.0.1:${port}/hook`, { method: 'POST', headers, body })
}

/** What each framework makes of a route's options and its handler. */
const servers = {
  express: (route, run, operation) => {
    const app = express()
    app.use(onExpress.capture({ requests: 'all' }), express.json())
    app.post('/hook', onExpress.handle(operation, route, run))
    return listening(createServer(app))
  },
  fastify: async (route, run, operation) => {
    const app = fastify()
    app.addHook('onRequest', onFastify.capture({ requests: 'all' }))
    app.post('/hook', onFastify.handle(operation, route, run))
    await app.ready()
    return listening(app.server)
  },
  koa: (route, run, operation) => {
    const answer = new Koa().use(onKoa.handle(operation, route, run)).callback()
    return listening(createServer((request, response) => void answer(request, response)))
  },
  hono: (route, run, operation) => {
    const app = new Hono()
    app.post('/hook', onHono.handle(operation, route, run))
    return listening(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
  },
  node: (route, run, operation) => {
    const answer = onNode.handle(operation, route, run)
    return listening(createServer((request, response) => answer(request, response, () => void response.writeHead(500).end())))
  },
  fetch: (route, run, operation) => {
    const answer = onFetch.handle(operation, route, run)
    return listening(createAdaptorServer({ fetch: (request) => answer(request) }) as ReturnType<typeof createServer>)
  },
} satisfies Record<string, (route: WebhookRoute, run: Run, operation: EventOperation) => ReturnType<typeof listening>>

type EventOperation = ReturnType<typeof operationOf>
type Run = (context: { readonly input: WebhookEvent }) => onExpress.HttpResponse

function operationOf(oncely: ReturnType<typeof instance>) {
  return oncely.operation('events', { policy, bind: 'lease', begin: 'explicit', input: webhookEvent() })
}

async function serving(
  route: WebhookRoute,
  answer: (event: WebhookEvent) => onExpress.HttpResponse = () => onExpress.reply(200, 'handled'),
  server: keyof typeof servers = 'express',
): Promise<Endpoint> {
  const events: WebhookEvent[] = []
  const store = memoryStore()
  const run: Run = ({ input }) => {
    events.push(input)
    return answer(input)
  }
  const { port, close } = await servers[server](route, run, operationOf(instance(store)))
  onTestFinished(close)
  return { events, deliver: deliverTo(port), store }
}

async function told(response: Response): Promise<readonly [number, string | undefined]> {
  const { status } = response
  const body = await response.text()
  return [status, status >= 400 ? (JSON.parse(body) as { type: string; reason?: string }).reason : body]
}

const event = { id: 'evt_1', type: 'payment_intent.succeeded', pending_webhooks: 2, data: { object: { amount: 1250 } } }

describe('a redelivered event runs its handler once', () => {
  test.each(Object.keys(servers) as (keyof typeof servers)[])('with %s', async (server) => {
    const { events, deliver } = await serving(stripeWebhook({ secret: secrets.stripe }), undefined, server)
    const first = await deliver(fromStripe(event))
    expect([first.status, first.headers.get('idempotent-replayed'), await first.text()]).toEqual([200, null, 'handled'])
    // Stripe counts the endpoints that have not answered yet, and signs each delivery at its own time.
    const again = await deliver(fromStripe({ ...event, pending_webhooks: 1 }, { timestamp: Math.floor(Date.now() / 1_000) - 60 }))
    expect([again.status, again.headers.get('idempotent-replayed'), await again.text()]).toEqual([200, 'true', 'handled'])
    expect(events).toEqual([{ provider: 'stripe', id: 'evt_1', type: 'payment_intent.succeeded', payload: event }])
    expect(await told(await deliver({ ...fromStripe(event), body: JSON.stringify(event) }))).toEqual([400, 'mismatch'])
    expect(events).toHaveLength(1)
  })

  test('when many deliveries of it arrive at once', async () => {
    const { events, deliver } = await serving(stripeWebhook({ secret: secrets.stripe }))
    const answers = await Promise.all(Array.from({ length: 20 }, () => deliver(fromStripe(event))))
    expect(answers.filter(({ status }) => status !== 200 && status !== 409)).toEqual([])
    expect(events).toHaveLength(1)
  })

  test('and again after its handler failed, until that succeeds', async () => {
    let failures = 1
    const { events, deliver } = await serving(stripeWebhook({ secret: secrets.stripe }), () =>
      failures-- > 0 ? onExpress.reply(503) : onExpress.reply(200, 'now'),
    )
    expect((await deliver(fromStripe(event))).status).toBe(503)
    expect(await told(await deliver(fromStripe(event)))).toEqual([200, 'now'])
    expect((await deliver(fromStripe(event))).headers.get('idempotent-replayed')).toBe('true')
    expect(events).toHaveLength(2)
  })

  test('in one commit with the rows of its handler', async () => {
    const { store, close, transactional } = await openSqlite()
    onTestFinished(() => close('passed'))
    const oncely = createOncely({ namespace: 'webhook-test', store: store as TransactionalStore<SqliteConnection> })
    const app = express()
    const operation = oncely.operation('events', { policy, bind: 'transaction', input: webhookEvent() })
    app.post(
      '/hook',
      onExpress.handle(operation, stripeWebhook({ secret: secrets.stripe }), async ({ input, tx }) => {
        await transactional?.effects.add(tx, input.id)
        return onExpress.reply(200)
      }),
    )
    const { port, close: stop } = await listening(createServer(app))
    onTestFinished(stop)
    for (const id of ['evt_1', 'evt_1', 'evt_2']) expect((await deliverTo(port)(fromStripe({ ...event, id }))).status).toBe(200)
    expect(await transactional?.effects.list()).toEqual(['evt_1', 'evt_2'])
  })
})

describe('Stripe', () => {
  test('is believed under each of several secrets, and under no other', async () => {
    const { deliver } = await serving(stripeWebhook({ secret: ['whsec_new', secrets.stripe] }))
    expect((await deliver(fromStripe(event))).status).toBe(200)
    expect((await deliver(fromStripe({ ...event, id: 'evt_2' }, { secret: 'whsec_new' }))).status).toBe(200)
    expect(await told(await deliver(fromStripe({ ...event, id: 'evt_3' }, { secret: 'whsec_other' })))).toEqual([400, 'mismatch'])
  })

  test('may sign with two secrets at once, and with schemes that are not looked at', async () => {
    const { deliver } = await serving(stripeWebhook({ secret: secrets.stripe }))
    const { headers, body } = fromStripe(event)
    const [timestamp, signature] = String(headers['stripe-signature']).split(',')
    const sent = (field: string) => deliver({ headers: { ...headers, 'stripe-signature': field }, body })
    expect((await sent(`${timestamp},v1=${'0'.repeat(64)},${signature},v0=xyz`)).status).toBe(200)
    expect(await told(await sent(`${timestamp},${signature?.replace('v1', 'v0')}`))).toEqual([400, 'malformed'])
    expect(await told(await sent(`${timestamp},${timestamp},${signature}`))).toEqual([400, 'malformed'])
    expect(await told(await sent(`${signature}`))).toEqual([400, 'malformed'])
    expect(await told(await sent(`${timestamp},v1=short`))).toEqual([400, 'mismatch'])
    expect(await told(await deliver({ headers: { 'content-type': 'application/json' }, body }))).toEqual([400, 'missing'])
  })

  test('is refused when it signed too long ago, or in the future', async () => {
    const { events, deliver } = await serving(stripeWebhook({ secret: secrets.stripe, toleranceMs: 60_000 }))
    const nowSeconds = Math.floor(Date.now() / 1_000)
    for (const timestamp of [nowSeconds - 120, nowSeconds + 120])
      expect(await told(await deliver(fromStripe(event, { timestamp })))).toEqual([400, 'timestamp'])
    expect((await deliver(fromStripe(event, { timestamp: nowSeconds - 30 }))).status).toBe(200)
    expect(events).toHaveLength(1)
  })

  test('a forged event uses no key up and stores nothing', async () => {
    const { events, deliver, store } = await serving(stripeWebhook({ secret: secrets.stripe }))
    const answer = await deliver(fromStripe(event, { secret: 'whsec_forged' }))
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await answer.json()).toMatchObject({ type: 'https://oncely.dev/problems/signature-invalid', reason: 'mismatch' })
    expect(Object.values((await store.stats()).records).every((count) => count === 0)).toBe(true)
    expect((await deliver(fromStripe(event))).headers.get('idempotent-replayed')).toBeNull()
    expect(events).toHaveLength(1)
  })

  test('connected accounts and endpoints keep their events apart', async () => {
    const { events, deliver } = await serving(stripeWebhook({ secret: secrets.stripe }))
    for (const account of ['acct_1', 'acct_2', 'acct_1']) await deliver(fromStripe({ ...event, account }))
    expect(events).toHaveLength(2)
  })

  test('sends what is no event of its own only with a bug', async () => {
    const { deliver } = await serving(stripeWebhook({ secret: secrets.stripe }))
    for (const body of [{}, { id: 1, type: 'a' }, []]) expect(await told(await deliver(fromStripe(body)))).toEqual([400, 'no-event'])
    expect(await told(await deliver(fromStripe({ ...event, id: 'x'.repeat(300) })))).toEqual([400, 'too-long'])
  })
})

describe('GitHub', () => {
  test('is verified as its documentation computes it', async () => {
    const { deliver } = await serving(githubWebhook({ secret: secrets.github }))
    // The documented example: its body is signed and no JSON.
    const signature = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
    const headers = { 'content-type': 'text/plain', 'x-hub-signature-256': signature, 'x-github-delivery': 'a', 'x-github-event': 'ping' }
    expect(await told(await deliver({ headers, body: 'Hello, World!' }))).toEqual([400, 'no-event'])
    expect(await told(await deliver({ headers, body: 'Hello, World?' }))).toEqual([400, 'mismatch'])
  })

  test('delivers JSON and forms, once each', async () => {
    const { events, deliver } = await serving(githubWebhook({ secret: secrets.github }))
    for (const form of [false, true])
      for (let times = 0; times < 2; times++) {
        const { status } = await deliver(fromGithub(`id-${form}`, { ref: 'refs/heads/main & more' }, { form }))
        expect(status).toBe(200)
      }
    expect(events.map(({ id, type, payload }) => [id, type, payload])).toEqual([
      ['id-false', 'push', { ref: 'refs/heads/main & more' }],
      ['id-true', 'push', { ref: 'refs/heads/main & more' }],
    ])
  })

  test('is refused without its signature, its id or its secret', async () => {
    const { events, deliver } = await serving(githubWebhook({ secret: secrets.github }))
    const { headers, body } = fromGithub('id', {})
    const without = (name: string) => ({ headers: Object.fromEntries(Object.entries(headers).filter(([other]) => other !== name)), body })
    expect(await told(await deliver(without('x-hub-signature-256')))).toEqual([400, 'missing'])
    expect(await told(await deliver(without('x-github-delivery')))).toEqual([400, 'no-event'])
    expect(await told(await deliver(fromGithub('id', {}, { secret: 'other' })))).toEqual([400, 'mismatch'])
    expect(await told(await deliver({ headers: { ...headers, 'x-hub-signature-256': 'sha1=00' }, body }))).toEqual([400, 'malformed'])
    expect(events).toEqual([])
  })
})

describe('Shopify', () => {
  test('runs an event once for each shop and topic', async () => {
    const { events, deliver } = await serving(shopifyWebhook({ secret: ['new', secrets.shopify] }))
    const shops = ['a.myshopify.com', 'A.myshopify.com', 'b.myshopify.com']
    for (const shop of shops) expect((await deliver(fromShopify('event-1', { id: 1 }, { shop }))).status).toBe(200)
    expect(events.map(({ id, type, payload }) => [id, type, payload])).toEqual([
      ['event-1', 'orders/create', { id: 1 }],
      ['event-1', 'orders/create', { id: 1 }],
    ])
  })

  test('is refused with another signature, in another alphabet and without its fields', async () => {
    const { events, deliver } = await serving(shopifyWebhook({ secret: secrets.shopify }))
    const { headers, body } = fromShopify('event-1', { id: 1 })
    expect(await told(await deliver(fromShopify('event-1', { id: 1 }, { secret: 'other' })))).toEqual([400, 'mismatch'])
    for (const field of ['not base64', 'AAAA'])
      expect(await told(await deliver({ headers: { ...headers, 'x-shopify-hmac-sha256': field }, body }))).toEqual([400, 'mismatch'])
    expect(await told(await deliver({ headers: { 'x-shopify-hmac-sha256': headers['x-shopify-hmac-sha256'] ?? '' }, body }))).toEqual([
      400,
      'no-event',
    ])
    expect(await told(await deliver({ headers: {}, body }))).toEqual([400, 'missing'])
    expect(events).toEqual([])
  })
})

describe('Adyen', () => {
  const second = { ...adyenItem, pspReference: '7914073381342285', eventCode: 'CAPTURE' }

  test('is verified as its own libraries compute it, and told that its notification is accepted', async () => {
    expect(adyenSignature(adyenItem)).toBe('coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=')
    const { events, deliver } = await serving(adyenWebhook({ secret: secrets.adyen }))
    for (let times = 0; times < 2; times++) expect(await told(await deliver(fromAdyen([adyenItem])))).toEqual([200, '[accepted]'])
    expect(events).toEqual([
      {
        provider: 'adyen',
        id: 'AUTHORISATION:7914073381342284:true',
        type: 'AUTHORISATION',
        payload: { ...adyenItem, additionalData: { hmacSignature: adyenSignature(adyenItem) } },
      },
    ])
  })

  test('delivers several items: each runs once, also when one of them failed the first time', async () => {
    let failures = 1
    const { events, deliver } = await serving(adyenWebhook({ secret: ['00', secrets.adyen] }), ({ type }) =>
      type === 'CAPTURE' && failures-- > 0 ? onExpress.reply(503, {}) : onExpress.reply(200),
    )
    expect((await deliver(fromAdyen([adyenItem, second]))).status).toBe(503)
    expect(await told(await deliver(fromAdyen([adyenItem, second])))).toEqual([200, '[accepted]'])
    expect(events.map(({ type }) => type)).toEqual(['AUTHORISATION', 'CAPTURE', 'CAPTURE'])
  })

  test('is refused whole when one item is not signed', async () => {
    const { events, deliver } = await serving(adyenWebhook({ secret: secrets.adyen }))
    const forged = (item: typeof adyenItem) => (item === second ? adyenSignature(adyenItem) : adyenSignature(item))
    expect(await told(await deliver(fromAdyen([adyenItem, second], forged)))).toEqual([400, 'mismatch'])
    const changed = { ...adyenItem, amount: { value: 1131, currency: 'EUR' } }
    expect(await told(await deliver(fromAdyen([changed], () => adyenSignature(adyenItem))))).toEqual([400, 'mismatch'])
    const bodies = ['{}', 'no JSON', '{"notificationItems":[]}']
    for (const body of bodies)
      expect(await told(await deliver({ headers: { 'content-type': 'text/plain' }, body }))).toEqual([400, 'malformed'])
    const bare = JSON.stringify({ notificationItems: [{ NotificationRequestItem: adyenItem }] })
    expect(await told(await deliver({ headers: {}, body: bare }))).toEqual([400, 'missing'])
    expect(await told(await deliver(fromAdyen([{ ...adyenItem, pspReference: '' }])))).toEqual([400, 'no-event'])
    expect(events).toEqual([])
  })
})

describe('a webhook', () => {
  test('whose body a parser took first is told where to stand', async () => {
    const app = express()
    const operation = operationOf(instance())
    app.use(express.json())
    app.post(
      '/hook',
      onExpress.handle(operation, stripeWebhook({ secret: secrets.stripe }), () => onExpress.reply(200)),
    )
    const caught = new Promise<unknown>((resolve) => {
      app.use((error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
        resolve(error)
        response.status(500).end()
      })
    })
    const { port, close } = await listening(createServer(app))
    onTestFinished(close)
    expect((await deliverTo(port)(fromStripe(event))).status).toBe(500)
    expect(await caught).toMatchObject({
      code: 'ONCELY_BODY_NOT_CAPTURED',
      message: expect.stringContaining("capture({ requests: 'all' })"),
    })
  })

  test('types its operation, which then takes nothing but events', async () => {
    const operation = operationOf(instance())
    const call = { principal: 'a', key: 'k', input: { id: 'evt_1' } as never }
    await expect(operation.run(call, () => 1)).rejects.toMatchObject({ code: 'ONCELY_INVALID_INPUT' })
  })

  test('reads no body over the limit, and none but what was signed', async () => {
    const { deliver } = await serving(githubWebhook({ secret: secrets.github }), undefined, 'node')
    expect((await deliver(fromGithub('id', { text: 'x'.repeat(1_100_000) }))).status).toBe(413)
    const { headers } = fromGithub('id', {})
    expect(await told(await deliver({ headers, body: '' }))).toEqual([400, 'mismatch'])
  })

  test('is refused without a secret, and with options that cannot work', () => {
    const configuration = expect.objectContaining({ code: 'ONCELY_CONFIGURATION' })
    for (const make of [adyenWebhook, githubWebhook, shopifyWebhook, stripeWebhook])
      for (const secret of ['', [], ['', 'a'], undefined]) expect(() => make({ secret: secret as never })).toThrow(configuration)
    expect(() => adyenWebhook({ secret: 'not hexadecimal' })).toThrow(configuration)
    expect(() => githubWebhook({ secret: 'a', endpoint: 'a/b' })).toThrow(configuration)
    for (const toleranceMs of [0, 999, Number.NaN, 86_400_001])
      expect(() => stripeWebhook({ secret: 'a', toleranceMs })).toThrow(/toleranceMs is/)
    const route = { ...githubWebhook({ secret: 'a' }), methods: ['POST'] }
    expect(() => onFetch.handle(operationOf(instance()), route, () => onFetch.reply(200))).toThrow(configuration)
  })
})
