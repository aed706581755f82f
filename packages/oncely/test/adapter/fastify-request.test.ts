import { Readable } from 'node:stream'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteHandlerMethod } from 'fastify'
import { attemptOf, capture, guard, handle, reply, wellKnown } from 'oncely/adapter/fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import { exchange, openExchange } from '../../src/testing/http/exchange.ts'
import { deferred } from '../../src/testing/store/deferred.ts'
import { breakingStore, instance, policy } from './adapter-instance.ts'

const principal = () => 'account-1'
const json = { 'content-type': 'application/json', 'idempotency-key': 'k' }

async function serve(app: FastifyInstance) {
  await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  const port = (app.server.address() as { port: number }).port
  const post = (headers: Record<string, string> = {}, body = '{"a":1}', path = '/echo') =>
    exchange(port, { path, headers: { ...json, ...headers }, body })
  return { port, post }
}

function guarded(app: FastifyInstance, handler: RouteHandlerMethod, oncely = instance()): void {
  app.post('/echo', { preHandler: guard(oncely.operation('legacy', { policy, bind: 'lease' }), { principal }) }, handler)
}

function capturing(): FastifyInstance {
  const app = fastify()
  app.addHook('onRequest', capture())
  return app
}

describe('a Fastify route', () => {
  test('knows its pattern, prefix included, and what its parameters matched', async () => {
    const app = capturing()
    const route = handle(instance().operation('pay', { policy, bind: 'lease' }), { principal }, (_context, { params }) =>
      reply(200, params),
    )
    await app.register(async (part) => part.post('/files/:id', route), { prefix: '/v1' })
    const { post } = await serve(app)
    expect((await post({}, '{}', '/v1/files/1')).json()).toEqual({ id: '1' })
    expect((await post({}, '{}', '/v1/files/2')).status).toBe(422)
    expect((await post({}, '{}', '/v1/files/1?')).header('idempotent-replayed')).toBe('true')
  })

  test('that was parsed without capture() is a typed error that tells the hook', async () => {
    const app = fastify()
    app.post(
      '/echo',
      handle(instance().operation('pay', { policy, bind: 'lease' }), { principal }, () => reply(200)),
    )
    const { post } = await serve(app)
    expect((await post()).json()).toMatchObject({
      code: 'ONCELY_BODY_NOT_CAPTURED',
      message: expect.stringContaining("app.addHook('onRequest', capture())"),
    })
  })

  test('answers through the reply: hooks see first answers and replays, and set headers on both', async () => {
    const app = capturing()
    const statuses: number[] = []
    app.addHook('onRequest', async (_request, reply) => void reply.header('x-front', '1').header('set-cookie', 'front=1'))
    app.addHook('onSend', async (_request, reply, payload) => {
      statuses.push(reply.statusCode)
      return payload
    })
    const answer = reply(201, 'ok', { 'set-cookie': ['a=1', 'b=2'], link: ['</a>', '</b>'] })
    app.post(
      '/echo',
      handle(instance().operation('pay', { policy, bind: 'lease' }), { principal }, () => answer),
    )
    const { post } = await serve(app)
    const [first, again] = [await post(), await post()]
    expect([first.headers['set-cookie'], again.headers['set-cookie']]).toEqual([['front=1', 'a=1', 'b=2'], ['front=1']])
    expect([first.headers['link'], again.headers['link']]).toEqual([
      ['</a>', '</b>'],
      ['</a>', '</b>'],
    ])
    expect([first.header('x-front'), again.header('x-front'), statuses]).toEqual(['1', '1', [201, 201]])
  })
})

/** Every way in which a Fastify handler answers. */
const ways: Record<string, RouteHandlerMethod> = {
  'an object that is sent': (_request, reply) => void reply.code(201).header('location', '/x').send({ a: 1 }),
  'a text that is returned': async () => 'text',
  'bytes of no type': (_request, reply) => void reply.send(Buffer.from([0xff, 0])),
  'a stream': (_request, reply) => void reply.type('text/plain').send(Readable.from([Buffer.from('one '), Buffer.from('two')])),
  'a Fetch response': async () => new Response('fetched', { status: 202, headers: { etag: '"v1"' } }),
  nothing: (_request, reply) => void reply.code(204).send(),
  'the raw response': (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(201, { etag: '"v1"' }).end('raw')
  },
}

describe('a Fastify guard', () => {
  test.each(Object.keys(ways))('replays %s', async (way) => {
    const app = capturing()
    guarded(app, ways[way] as RouteHandlerMethod)
    const { post } = await serve(app)
    const [first, again] = [await post(), await post()]
    expect(again.header('idempotent-replayed')).toBe('true')
    expect([again.status, again.body]).toEqual([first.status, first.body])
    for (const name of ['content-type', 'location', 'etag']) expect(again.headers[name]).toEqual(first.headers[name])
  })

  test('stores what is sent to a client that is gone', async () => {
    const app = capturing()
    const [entered, finish, stored] = [deferred<void>(), deferred<void>(), deferred<void>()]
    app.addHook('onSend', async (_request, _reply, payload) => {
      stored.resolve()
      return payload
    })
    guarded(app, async () => {
      entered.resolve()
      await finish.promise
      return { finished: true }
    })
    const { port, post } = await serve(app)
    const left = openExchange(port, { path: '/echo', headers: json, body: '{"a":1}' })
    await entered.promise
    left.abort()
    await left.head.catch(() => {})
    finish.resolve()
    await stored.promise
    let answer = await post()
    while (answer.status === 409 && answer.json()['operation_state'] === 'running') answer = await post()
    expect([answer.json(), answer.header('idempotent-replayed')]).toEqual([{ finished: true }, 'true'])
  })

  test('lets the error handler answer what a handler throws, and keeps the attempt at hand', async () => {
    const app = capturing()
    const attempts: (number | undefined)[] = []
    guarded(app, async (request) => {
      attempts.push(attemptOf(request)?.attempt)
      throw new Error('a bug')
    })
    const { post } = await serve(app)
    const answer = await post()
    expect([answer.status, answer.json()['message'], attempts]).toEqual([500, 'a bug', [1]])
    expect((await post()).json()).toMatchObject({ operation_state: 'uncertain' })
  })

  test.each(['sent', 'hijacked'])('shows nothing of an answer (%s) that could not be recorded', async (how) => {
    const app = capturing()
    app.addHook('onRequest', async (_request, reply) => void reply.header('x-front', '1').header('set-cookie', ['front=1']))
    const answer = (_request: FastifyRequest, reply: FastifyReply): void => {
      reply.header('x-own', '1').header('set-cookie', 'own=1')
      if (how === 'sent') return void reply.send('own words')
      reply.hijack()
      reply.raw.setHeader('x-own', '1').end('own words')
    }
    guarded(app, answer, instance(breakingStore()))
    const { post } = await serve(app)
    const withheld = await post()
    expect([withheld.status, withheld.header('x-own'), withheld.body.includes('own words')]).toEqual([500, undefined, false])
    if (how === 'sent') expect([withheld.header('x-front'), withheld.headers['set-cookie']]).toEqual(['1', ['front=1']])
  })
})

test('the document is published at its place and nowhere else', async () => {
  const app = fastify()
  app.addHook('onRequest', wellKnown(instance()))
  const { port } = await serve(app)
  const path = '/.well-known/idempotency'
  expect((await exchange(port, { method: 'GET', path })).json()).toMatchObject({ operations: [] })
  expect((await exchange(port, { path })).status).toBe(404)
  expect((await exchange(port, { method: 'GET', path: '/other' })).status).toBe(404)
})
