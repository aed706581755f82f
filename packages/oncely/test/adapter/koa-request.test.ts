import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import Koa, { type Middleware } from 'koa'
import { attemptOf, capture, guard, handle, reply, wellKnown } from 'oncely/adapter/koa'
import { describe, expect, onTestFinished, test } from 'vitest'
import { exchange, openExchange } from '../../src/testing/http/exchange.ts'
import { deferred } from '../../src/testing/store/deferred.ts'
import { breakingStore, instance, policy } from './adapter-instance.ts'
import { listening } from './suite-server.ts'

const principal = () => 'account-1'
const json = { 'content-type': 'application/json', 'idempotency-key': 'k' }

async function serve(...layers: readonly Middleware[]) {
  const app = new Koa()
  app.silent = true
  for (const layer of layers) app.use(layer)
  const answer = app.callback()
  const { port, close } = await listening(createServer((request, response) => void answer(request, response)))
  onTestFinished(close)
  return { port, post: (path = '/echo') => exchange(port, { path, headers: json, body: '{"a":1}' }) }
}

const guarded = (oncely = instance()) => guard(oncely.operation('legacy', { policy, bind: 'lease' }), { principal })

describe('a Koa route', () => {
  test('answers as ctx.body, so that middleware outside sees first answers and replays', async () => {
    const seen: unknown[] = []
    const outside: Middleware = async (ctx, next) => {
      ctx.set('x-front', '1')
      await next()
      seen.push([ctx.status, ctx.body?.toString(), ctx.length])
    }
    const operation = instance().operation('pay', { policy, bind: 'lease' })
    const { post } = await serve(
      outside,
      handle(operation, { principal }, () => reply(201, 'ok', { link: ['</a>', '</b>'] })),
    )
    for (const replayed of [undefined, 'true']) {
      const answer = await post()
      expect([answer.header('x-front'), answer.headers['link'], answer.header('idempotent-replayed')]).toEqual([
        '1',
        ['</a>', '</b>'],
        replayed,
      ])
    }
    expect(seen).toEqual([
      [201, 'ok', 2],
      [201, 'ok', 2],
    ])
  })

  test('takes the path for the route, and hands errors to middleware outside', async () => {
    const operation = instance().operation('pay', { policy, bind: 'lease' })
    const outside: Middleware = async (ctx, next) => {
      await next().catch((error: Error) => {
        ctx.status = 418
        ctx.body = error.message
      })
    }
    const { post } = await serve(
      outside,
      capture(),
      handle(operation, { principal }, (_context, ctx) => {
        if (ctx.path === '/bug') throw new Error('a bug')
        return reply(200)
      }),
    )
    expect((await post('/bug')).body.toString()).toBe('a bug')
    expect((await post('/other')).status).toBe(422)
  })

  test.each([200, 202, 204, 205, 304])('answers %i without a body and without a type', async (status) => {
    const { post } = await serve(handle(instance().operation('pay', { policy, bind: 'lease' }), { principal }, () => reply(status)))
    for (const answer of [await post(), await post()]) {
      expect([answer.status, answer.body.length, answer.header('content-type')]).toEqual([status, 0, undefined])
    }
  })
})

/** Every way in which Koa middleware answers. */
const ways: Record<string, Middleware> = {
  'an object': (ctx) => {
    ctx.status = 201
    ctx.set('location', '/x')
    ctx.body = { a: 1 }
  },
  'a text': (ctx) => {
    ctx.body = 'text'
  },
  bytes: (ctx) => {
    ctx.body = Buffer.from([0xff, 0])
  },
  'a stream': (ctx) => {
    ctx.type = 'text/plain'
    ctx.body = Readable.from([Buffer.from('one '), Buffer.from('two')])
  },
  nothing: (ctx) => {
    ctx.body = null
  },
  'what Koa says itself': (ctx) => {
    ctx.status = 202
  },
}

describe('a Koa guard', () => {
  test.each(Object.keys(ways))('replays %s', async (way) => {
    const { post } = await serve(guarded(), ways[way] as Middleware)
    const [first, again] = [await post(), await post()]
    expect(again.header('idempotent-replayed')).toBe('true')
    expect([again.status, again.body]).toEqual([first.status, first.body])
    for (const name of ['content-type', 'location']) expect(again.headers[name]).toEqual(first.headers[name])
  })

  test('stores what is answered to a client that is gone', async () => {
    const [entered, finish] = [deferred<void>(), deferred<void>()]
    const gone = deferred<void>()
    const slow: Middleware = async (ctx) => {
      ctx.res.once('close', () => gone.resolve())
      entered.resolve()
      await finish.promise
      ctx.body = { finished: true }
    }
    const { port, post } = await serve(guarded(), slow)
    const left = openExchange(port, { path: '/echo', headers: json, body: '{"a":1}' })
    await entered.promise
    left.abort()
    await gone.promise
    finish.resolve()
    let answer = await post()
    while (answer.status === 409 && answer.json()['operation_state'] === 'running') answer = await post()
    expect([answer.json(), answer.header('idempotent-replayed')]).toEqual([{ finished: true }, 'true'])
  })

  test('lets the application answer what middleware throws, and keeps the attempt at hand', async () => {
    const attempts: (number | undefined)[] = []
    const { post } = await serve(guarded(), (ctx) => {
      attempts.push(attemptOf(ctx)?.attempt)
      return ctx.throw(503, 'away')
    })
    const answer = await post()
    expect([answer.status, answer.body.toString(), attempts]).toEqual([503, 'Service Unavailable', [1]])
    expect((await post()).json()).toMatchObject({ operation_state: 'uncertain' })
  })

  test('shows nothing of an answer that could not be recorded', async () => {
    const { post } = await serve(guarded(instance(breakingStore())), (ctx) => {
      ctx.set('x-own', '1')
      ctx.body = 'own words'
    })
    const withheld = await post()
    expect([withheld.status, withheld.header('x-own'), withheld.body.includes('own words')]).toEqual([500, undefined, false])
  })
})

test('the document is published at its place and nowhere else', async () => {
  const { port } = await serve(wellKnown(instance()))
  const path = '/.well-known/idempotency'
  expect((await exchange(port, { method: 'GET', path })).json()).toMatchObject({ operations: [] })
  expect((await exchange(port, { path })).status).toBe(404)
  expect((await exchange(port, { method: 'GET', path: '/other' })).status).toBe(404)
})
