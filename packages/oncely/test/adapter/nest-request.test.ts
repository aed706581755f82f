import { type ExecutionContext, HttpException, StreamableFile } from '@nestjs/common'
import { attemptOf, capture, guard, handle, type NestRequest, type NestResponse, reply, wellKnown } from 'oncely/adapter/nest'
import type { memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Exchanged, type ExchangeOptions, exchange } from '../../src/testing/http/exchange.ts'
import { breakingStore, instance, policy } from './adapter-instance.ts'
import { controllerOf, listenNest, nestApplication, type Platform } from './nest-application.ts'

const principal = () => 'account-1'
const platforms: readonly Platform[] = ['express', 'fastify']

interface ApplicationOptions {
  readonly captures?: boolean
  readonly store?: ReturnType<typeof memoryStore>
  readonly path?: string
  readonly prepare?: (app: Awaited<ReturnType<typeof nestApplication>>) => void
}

type Send = (options?: ExchangeOptions) => Promise<Exchanged>

async function served(platform: Platform, controller: new () => object, options: ApplicationOptions = {}): Promise<Send> {
  const app = await nestApplication([controller], platform, true)
  if (options.captures !== false) app.use(capture())
  if (platform === 'express') (app as unknown as { useBodyParser(type: string): void }).useBodyParser('json')
  options.prepare?.(app)
  const { port, close } = await listenNest(app)
  onTestFinished(close)
  return ({ headers, ...rest } = {}) =>
    exchange(port, {
      path: '/echo',
      body: '{"a":1}',
      ...rest,
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k', ...headers },
    })
}

/** A guarded method that returns its answer, as most methods of controllers do. */
function returning(
  platform: Platform,
  answer: (request: NestRequest, response: NestResponse) => unknown,
  options: ApplicationOptions = {},
) {
  const operation = instance(options.store).operation('legacy', { policy, bind: 'lease' })
  return served(platform, controllerOf('POST', '/echo', answer, [guard(operation, { principal })], true), options)
}

function handling(platform: Platform, answer: (context: { input: unknown }) => ReturnType<typeof reply>, options: ApplicationOptions = {}) {
  const operation = instance(options.store).operation('echo', { policy, bind: 'lease' })
  return served(platform, controllerOf('POST', options.path ?? '/echo', handle(operation, { principal }, answer)), options)
}

describe.each(platforms)('a guarded method on %s', (platform) => {
  test('may return a value, and its replay is the same', async () => {
    let runs = 0
    const post = await returning(platform, (request) => ({ run: ++runs, body: request.body, key: attemptOf(request)?.key }))
    const first = await post()
    expect([first.status, first.json()]).toEqual([201, { run: 1, body: { a: 1 }, key: 'k' }])
    const again = await post({ body: '{ "a": 1 }' })
    expect([again.status, again.body.toString(), again.header('idempotent-replayed')]).toEqual([201, first.body.toString(), 'true'])
  })

  test('may return a file', async () => {
    const post = await returning(platform, () => new StreamableFile(Buffer.from([0, 255, 10]), { type: 'image/png' }))
    for (const replayed of [undefined, 'true']) {
      const answer = await post()
      expect([answer.header('content-type'), [...answer.body], answer.header('idempotent-replayed')]).toEqual([
        'image/png',
        [0, 255, 10],
        replayed,
      ])
    }
  })

  test('may throw, and what the exception filter answers is judged by its status', async () => {
    let runs = 0
    const post = await returning(platform, (request) => {
      runs++
      throw new HttpException('suite', (request.body as { a: number }).a)
    })
    expect((await post({ body: '{"a":402}' })).status).toBe(402)
    expect((await post({ body: '{"a":402}' })).header('idempotent-replayed')).toBe('true')
    const fails = { body: '{"a":500}', headers: { 'idempotency-key': 'other' } }
    expect((await post(fails)).status).toBe(500)
    expect((await post(fails)).json()).toMatchObject({ operation_state: 'uncertain' })
    expect(runs).toBe(2)
  })

  test('whose outcome cannot be recorded is answered with 500', async () => {
    const post = await returning(platform, () => ({ done: true }), { store: breakingStore() })
    const answer = await post()
    expect([answer.status, answer.body.toString()]).toEqual([500, ''])
  })

  test('keeps what plugins and middleware have set for every answer', async () => {
    const post = await returning(platform, () => ({ done: true }), { prepare: (app) => app.enableCors({ origin: 'https://shop.example' }) })
    for (const replayed of [undefined, 'true']) {
      const answer = await post({ headers: { origin: 'https://shop.example' } })
      expect([answer.header('access-control-allow-origin'), answer.header('idempotent-replayed')]).toEqual([
        'https://shop.example',
        replayed,
      ])
    }
  })

  test('without capture() goes to the exception filter as a typed error', async () => {
    let runs = 0
    const post = await returning(platform, () => ++runs, { captures: false })
    expect((await post()).status).toBe(500)
    expect(runs).toBe(0)
  })
})

describe.each(platforms)('a handler on %s', (platform) => {
  test('counts the pattern and its parameters as the place of a request', async () => {
    const post = await handling(platform, () => reply(200), { path: '/accounts/:id/payments' })
    expect((await post({ path: '/accounts/7/payments?' })).status).toBe(200)
    expect((await post({ path: '/accounts/7/payments' })).header('idempotent-replayed')).toBe('true')
    expect((await post({ path: '/accounts/8/payments' })).status).toBe(422)
  })

  test('tells the segments of a wildcard apart', async () => {
    const post = await handling(platform, () => reply(200), { path: platform === 'express' ? '/files/*path' : '/files/*' })
    expect((await post({ path: '/files/a/b' })).status).toBe(200)
    expect((await post({ path: '/files/a%2Fb' })).status).toBe(422)
  })

  test('that throws is answered by the exception filter after its record is settled', async () => {
    let runs = 0
    const post = await handling(platform, () => {
      if (++runs === 1) throw new HttpException('suite', 418)
      return reply(200)
    })
    expect((await post()).status).toBe(418)
    expect((await post()).json()).toMatchObject({ operation_state: 'uncertain' })
  })

  test('publishes the document for GET only', async () => {
    const post = await handling(platform, () => reply(200), { prepare: (app) => app.use(wellKnown(instance())) })
    const get = await post({ method: 'GET', path: '/.well-known/idempotency?x', body: '' })
    expect(get.json()).toMatchObject({ key: { header: 'Idempotency-Key' } })
    expect((await post({ path: '/.well-known/idempotency' })).status).toBe(404)
  })
})

test('a guard around something else than a route is a typed error', async () => {
  const interceptor = guard(instance().operation('legacy', { policy, bind: 'lease' }), { principal })
  const execution = { getType: () => 'rpc' } as unknown as ExecutionContext
  expect(() => interceptor.intercept(execution, { handle: () => expect.unreachable() })).toThrow(/around a handler of "rpc"/)
})
