import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { capture, handle, reply, wellKnown } from 'oncely/adapter/hono'
import { describe, expect, test } from 'vitest'
import { instance, policy, started } from './adapter-instance.ts'

const principal = () => 'account-1'
const serve = (app: Hono) => started(createAdaptorServer({ fetch: app.fetch }) as Server)
const echo = (answer: (input: unknown, c: Context) => Promise<ReturnType<typeof reply>> | ReturnType<typeof reply>) =>
  handle(instance().operation('echo', { policy, bind: 'lease' }), { principal }, ({ input }, c) => answer(input, c))

describe('a Hono route', () => {
  test('keeps the headers that middleware set, on first answers and replays', async () => {
    const app = new Hono()
    app.use(async (c, next) => {
      c.header('x-front', '1')
      await next()
      c.header('x-after', '2')
    })
    app.post(
      '/echo',
      echo(() => reply(200, 'ok', { link: ['</a>', '</b>'] })),
    )
    const post = await serve(app)
    for (const replayed of [undefined, 'true']) {
      const answer = await post()
      expect(['x-front', 'x-after', 'link', 'idempotent-replayed'].map((name) => answer.header(name))).toEqual([
        '1',
        '2',
        '</a>, </b>',
        replayed,
      ])
    }
  })

  test('fingerprints what was sent where middleware reads the body as JSON', async () => {
    const app = new Hono()
    app.use(capture())
    app.use(async (c, next) => {
      await c.req.json()
      await next()
    })
    app.post(
      '/echo',
      echo(async (input, c) => reply(200, { input, read: await c.req.json() })),
    )
    const post = await serve(app)
    expect((await post()).json()).toEqual({ input: { a: 1 }, read: { a: 1 } })
    expect((await post({ body: '{"a":1,"a":1}' })).status).toBe(400)
    expect((await post({ body: '{"a":1.0}' })).header('idempotent-replayed')).toBe('true')
  })

  test('tells where to put capture() when the body was read without it', async () => {
    const app = new Hono()
    app.use(async (c, next) => {
      await c.req.text()
      await next()
    })
    app.post(
      '/echo',
      echo(() => reply(200)),
    )
    const errors: unknown[] = []
    app.onError((error, c) => {
      errors.push(error)
      return c.text('suite', 500)
    })
    const post = await serve(app)
    expect((await post()).status).toBe(500)
    expect(errors).toMatchObject([{ code: 'ONCELY_BODY_NOT_CAPTURED', message: expect.stringContaining('app.use(capture())') }])
  })

  test('hands errors to the application', async () => {
    const app = new Hono()
    app.post(
      '/echo',
      echo(() => Promise.reject(new Error('a bug'))),
    )
    app.onError((error, c) => c.text(error.message, 500))
    expect((await (await serve(app))()).body.toString()).toBe('a bug')
  })
})

test('the document is published at its place and nowhere else', async () => {
  const app = new Hono()
  app.use(wellKnown(instance()))
  const send = await serve(app)
  const path = '/.well-known/idempotency'
  expect((await send({ method: 'GET', path })).json()).toMatchObject({ operations: [] })
  expect((await send({ path })).status).toBe(404)
  expect((await send({ method: 'GET' })).status).toBe(404)
})
