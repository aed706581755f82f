import { createServer, type IncomingMessage } from 'node:http'
import { attemptOf, capture, guard, handle, type NodeMiddleware, reply, wellKnown } from 'oncely/adapter/node'
import { describe, expect, test } from 'vitest'
import { breakingStore, instance, policy, started } from './adapter-instance.ts'

const principal = () => 'account-1'

/** A server of one middleware; `end` is what comes after it. */
function serve(middleware: NodeMiddleware, end: NodeMiddleware = (_request, response) => void response.writeHead(404).end()) {
  const server = createServer((request, response) => {
    middleware(request, response, (error) => {
      if (error === undefined) return end(request, response, () => {})
      response.writeHead(500).end((error as Error).message)
    })
  })
  return started(server)
}

describe('a route of Node’s own server', () => {
  test('takes the path for the route, also where Connect has mounted it', async () => {
    const echo = handle(instance().operation('echo', { policy, bind: 'lease' }), { principal }, ({ input }) => reply(200, { input }))
    const mounted: NodeMiddleware = (request, response, next) => {
      Object.assign(request, { originalUrl: request.url, url: '/', body: { parsed: true } })
      echo(request, response, next)
    }
    const post = await serve((request, response, next) => capture()(request, response, () => mounted(request, response, next)))
    expect((await post({ path: '/a?x=1' })).json()).toEqual({ input: { parsed: true } })
    expect((await post({ path: '/b?x=1' })).status).toBe(422)
    expect((await post({ path: '/a?x=2' })).status).toBe(422)
    expect((await post({ path: '/a?x=1' })).header('idempotent-replayed')).toBe('true')
  })

  test('hands errors on, those of a wrong set-up too', async () => {
    const operation = instance().operation('echo', { policy, bind: 'lease' })
    const failing = await serve(handle(operation, { principal }, () => Promise.reject(new Error('a bug'))))
    expect((await failing()).body.toString()).toBe('a bug')
    const nobody = await serve(handle(operation, { principal: () => undefined }, () => reply(200)))
    expect((await nobody({ headers: { 'idempotency-key': 'other' } })).status).toBe(500)
  })
})

describe('a guard on Node’s own server', () => {
  test('lets the handler know its attempt', async () => {
    const guarded = guard(instance().operation('legacy', { policy, bind: 'lease', phase: 'optional' }), { principal })
    const seen: (number | undefined)[] = []
    const post = await serve(guarded, (request: IncomingMessage, response) => {
      seen.push(attemptOf(request)?.attempt)
      response.end('ok')
    })
    await post()
    await post({ method: 'GET' })
    expect(seen).toEqual([1, undefined])
  })

  test('hands on what breaks after the handler has ended, and nothing of its answer is seen', async () => {
    const guarded = guard(instance(breakingStore()).operation('legacy', { policy, bind: 'lease' }), { principal })
    const post = await serve(guarded, (_request, response) => void response.setHeader('x-own', '1').end('own words'))
    const answer = await post()
    expect([answer.status, answer.body.toString(), answer.header('x-own')]).toEqual([500, 'a bug of the store', undefined])
  })
})

test('the document is published at its place and nowhere else', async () => {
  const send = await serve(wellKnown(instance()))
  const path = '/.well-known/idempotency'
  expect((await send({ method: 'GET', path: `${path}?x` })).json()).toMatchObject({ operations: [] })
  expect((await send({ path })).status).toBe(404)
  expect((await send({ method: 'GET' })).status).toBe(404)
})
