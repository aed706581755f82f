import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import express, { type Express, type Request, type RequestHandler } from 'express'
import { createOncely } from 'oncely'
import { attemptOf, capture, guard, handle, reply, wellKnown } from 'oncely/adapter/express'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { exchange } from '../../src/testing/http/exchange.ts'
import { listen } from './express-application.ts'

const principal = () => 'account-1'
const policy = ['standard', { survives: 'nothing' }] as const

function instance() {
  const oncely = createOncely({ namespace: 'express-test', store: memoryStore() })
  onTestFinished(() => oncely.drain())
  return oncely
}

async function started(app: Express): Promise<number> {
  const server = await listen(app)
  onTestFinished(() => server.close())
  return server.port
}

/** An application with one protected route that answers with its input, and these layers in front of it. */
function echo(...layers: RequestHandler[]): Promise<number> {
  const app = express()
  for (const layer of layers) app.use(layer)
  const operation = instance().operation('echo', { policy, bind: 'lease' })
  app.post(
    '/echo',
    handle(operation, { principal }, ({ input }) => reply(200, { input: input ?? null })),
  )
  return started(app)
}

const json = { 'content-type': 'application/json', 'idempotency-key': 'k' }
const post = (port: number, body: string | Uint8Array, headers: Record<string, string> = {}, path = '/echo') =>
  exchange(port, { path, headers: { ...json, ...headers }, body })

describe('the body', () => {
  test('is read by the route where nobody parsed it, and by nobody else where a parser did', async () => {
    const big = { text: 'x'.repeat(300_000) }
    for (const layers of [[], [capture()], [capture(), express.json({ limit: '1mb' })]]) {
      const port = await echo(...layers)
      expect((await post(port, JSON.stringify(big))).json()).toEqual({ input: big })
      expect((await post(port, JSON.stringify(big))).header('idempotent-replayed')).toBe('true')
    }
  })

  test('that was parsed without capture() is a typed error, and never a fingerprint of the parsed value', async () => {
    const port = await failing(echoWith(express.json()))
    expect(await port).toMatchObject({ code: 'ONCELY_BODY_NOT_CAPTURED', message: expect.stringContaining('app.use(capture())') })
  })

  test('that arrived before capture() and was parsed is a typed error that says so', async () => {
    const wait: RequestHandler = async (request, _response, next) => {
      while (request.readableLength === 0) await nextTurn()
      next()
    }
    const error = await failing(echoWith(wait, capture(), express.json()))
    expect(error).toMatchObject({
      code: 'ONCELY_BODY_NOT_CAPTURED',
      message: expect.stringContaining('before every middleware that waits'),
    })
  })

  test('that arrived before capture() and that nobody read is read by the route', async () => {
    const wait: RequestHandler = async (request, _response, next) => {
      while (!request.complete) await nextTurn()
      next()
    }
    const port = await echo(wait, capture())
    expect((await post(port, '{"a":1}')).json()).toEqual({ input: { a: 1 } })
  })

  test('that somebody else is reading is waited for', async () => {
    const reader: RequestHandler = (request, _response, next) => {
      request.on('data', () => {})
      next()
    }
    const port = await echo(capture(), reader)
    expect((await post(port, '{"a":1}')).json()).toEqual({ input: { a: 1 } })
  })

  test('over the limit of capture() is refused, though the parser read it', async () => {
    const port = await echo(capture({ bodyBytesMax: 10 }), express.json())
    const answer = await post(port, '{"text":"more than ten"}')
    expect([answer.status, answer.json()['detail']]).toEqual([413, expect.stringContaining('more than 10 bytes')])
  })

  test('that is empty, declared or not, is no body', async () => {
    const port = await echo()
    expect((await post(port, '')).json()).toEqual({ input: null })
    expect((await post(port, '', { 'transfer-encoding': 'chunked' })).header('idempotent-replayed')).toBe('true')
    const late: RequestHandler = async (request, _response, next) => {
      while (!request.complete) await nextTurn()
      next()
    }
    const waiting = await echo(late)
    expect((await post(waiting, '', { 'transfer-encoding': 'chunked' })).json()).toEqual({ input: null })
  })

  test('that is cut off runs nothing and stores nothing', async () => {
    for (const layers of [[], [capture()]]) {
      let runs = 0
      const oncely = instance()
      const app = express()
      for (const layer of layers) app.use(layer)
      const entered = new Promise<Request>((resolve) => {
        app.use((request, _response, next) => {
          resolve(request)
          next()
        })
      })
      app.post(
        '/echo',
        handle(oncely.operation('echo', { policy, bind: 'lease' }), { principal }, () => {
          runs++
          return reply(200)
        }),
      )
      const port = await started(app)
      const socket = connect(port, '127.0.0.1')
      socket.write('POST /echo HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\ncontent-length: 100\r\n\r\nonly a part')
      const request = await entered
      socket.destroy()
      await new Promise((resolve) => request.once('close', resolve))
      await nextTurn()
      expect([runs, (await oncely.stats()).records]).toEqual([0, 0])
    }
  })

  test('too large and unread does not block the connection for the next request', async () => {
    const port = await echo()
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    const body = 'x'.repeat(2_000_000)
    socket.write(`POST /echo HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    socket.write('POST /echo HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200'])
  })

  test('goes on to whoever reads after a guard: a parser, or a handler that takes the stream', async () => {
    const big = JSON.stringify({ text: 'x'.repeat(300_000) })
    const oncely = instance()
    const app = express()
    const [one, two] = [oncely.operation('parsed', { policy, bind: 'lease' }), oncely.operation('streamed', { policy, bind: 'lease' })]
    app.post('/parsed', guard(one, { principal }), express.json({ limit: '1mb' }), (request, response) => void response.json(request.body))
    app.post('/streamed', guard(two, { principal }), (request, response) => void request.pipe(response))
    const port = await started(app)
    for (const path of ['/parsed', '/streamed']) {
      const headers = { 'idempotency-key': path }
      expect((await post(port, big, headers, path)).body.toString()).toBe(big)
      expect((await post(port, big, headers, path)).header('idempotent-replayed')).toBe('true')
    }
  })

  test('left unread behind a guard does not block the connection', async () => {
    const app = express()
    app.post(
      '/echo',
      guard(instance().operation('echo', { policy, bind: 'lease' }), { principal }),
      (_request, response) => void response.end('ok'),
    )
    const port = await started(app)
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    const body = 'x'.repeat(200_000)
    socket.write(`POST /echo HTTP/1.1\r\nhost: a\r\nidempotency-key: one\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    socket.write('POST /echo HTTP/1.1\r\nhost: a\r\nidempotency-key: two\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200'])
  })

  test('of a request without a key is not kept', async () => {
    const app = express()
    let own = false
    app.use(capture(), (request, _response, next) => {
      own = Object.hasOwn(request, 'push')
      next()
    })
    app.post('/echo', (_request, response) => void response.end())
    const port = await started(app)
    await exchange(port, { path: '/echo', body: 'text' })
    expect(own).toBe(false)
    await post(port, '{}')
    expect(own).toBe(true)
  })
})

describe('a handler behind a guard', () => {
  test('answers in every way that Express has, and the replay is the same', async () => {
    const oncely = instance()
    const app = express()
    const ways: Record<string, RequestHandler> = {
      json: (_request, response) => void response.status(201).json({ a: 1 }),
      send: (_request, response) => void response.send('<p>text</p>'),
      bytes: (_request, response) => void response.send(Buffer.from([0, 255, 1])),
      nothing: (_request, response) => void response.sendStatus(204),
      null: (_request, response) => void response.json(null),
      redirect: (_request, response) => void response.redirect(303, '/elsewhere'),
      file: (_request, response) => void response.sendFile(import.meta.filename),
      links: (_request, response) => void response.links({ next: '/2', last: '/9' }).append('link', '</own>').end(),
      type: (_request, response) => void response.type('xml').send('<a/>'),
    }
    for (const [name, handler] of Object.entries(ways))
      app.post(`/${name}`, guard(oncely.operation(name, { policy, bind: 'lease' }), { principal }), handler)
    const port = await started(app)
    for (const name of Object.keys(ways)) {
      const first = await post(port, '{}', { 'idempotency-key': name }, `/${name}`)
      const again = await post(port, '{}', { 'idempotency-key': name }, `/${name}`)
      expect([first.header('idempotent-replayed'), again.header('idempotent-replayed')], name).toEqual([undefined, 'true'])
      expect([again.status, again.body], name).toEqual([first.status, first.body])
      for (const header of ['content-type', 'etag', 'location', 'link', 'last-modified'])
        expect(again.headers[header], `${name} ${header}`).toEqual(first.headers[header])
    }
  })

  test('that passes an error on is answered by the application, and its record is uncertain', async () => {
    const app = express()
    app.post('/echo', guard(instance().operation('echo', { policy, bind: 'lease' }), { principal }), (_request, _response, next) =>
      next(new Error('a bug')),
    )
    const port = await started(app)
    const answer = await post(port, '{}')
    expect([answer.status, answer.json()]).toEqual([500, { error: 'suite' }])
    expect((await post(port, '{}')).json()).toMatchObject({ status: 409, operation_state: 'uncertain' })
  })

  test('that fails after it began to write leaves doubt, and no half answer', async () => {
    const app = express()
    const operation = instance().operation('echo', { policy, bind: 'lease' })
    app.post('/echo', guard(operation, { principal, abandonAfterMs: 20 }), (_request, response, next) => {
      response.write('half')
      next(new Error('a bug'))
    })
    const port = await started(app)
    await expect(post(port, '{}')).rejects.toThrow()
    await expect.poll(async () => (await post(port, '{}')).json()['operation_state']).toBe('uncertain')
  })

  test('finds its attempt on the request', async () => {
    const app = express()
    const operation = instance().operation('echo', { policy, bind: 'lease', phase: 'optional' })
    app.post('/echo', guard(operation, { principal }), (request, response) => {
      const attempt = attemptOf(request)
      response.json(attempt === undefined ? {} : { derived: attempt.deriveKey('psp'), attempt: attempt.attempt })
    })
    const port = await started(app)
    expect((await post(port, '{}')).json()).toEqual({ derived: expect.stringMatching(/^[0-9a-f]{40}$/), attempt: 1 })
    expect((await exchange(port, { path: '/echo' })).json()).toEqual({})
  })
})

describe('a guard', () => {
  test('is refused for a transaction, for explicit begin and for limits out of range', () => {
    const oncely = instance()
    const transaction = {
      definition: { name: 'pay', bind: 'transaction', begin: 'at-claim' },
      engine: oncely.operation('x', { policy, bind: 'lease' }).engine,
    }
    expect(() => guard(transaction as never, { principal })).toThrow(
      expect.objectContaining({ code: 'ONCELY_CONFIGURATION', message: expect.stringContaining('handle()') }),
    )
    const explicit = oncely.operation('explicit', { policy, bind: 'lease', begin: 'explicit' })
    expect(() => guard(explicit, { principal })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    const lease = oncely.operation('lease', { policy, bind: 'lease' })
    for (const abandonAfterMs of [0, 1.5, 3_600_001]) expect(() => guard(lease, { principal, abandonAfterMs })).toThrow(/abandonAfterMs is/)
    expect(() => capture({ bodyBytesMax: -1 })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
  })

  test('answers a request that arrives when its client is already gone as any other', async () => {
    const oncely = instance()
    const app = express()
    let runs = 0
    app.post(
      '/echo',
      (request, response, next) => {
        if (request.headers['x-leave'] === undefined) return next()
        response.once('close', () => setImmediate(next))
        request.socket.destroy()
      },
      guard(oncely.operation('echo', { policy, bind: 'lease' }), { principal }),
      (_request, response) => {
        runs++
        response.end('done')
      },
    )
    const port = await started(app)
    await expect(exchange(port, { path: '/echo', headers: { 'idempotency-key': 'k', 'x-leave': '1' } })).rejects.toThrow()
    await expect.poll(() => runs).toBe(1)
    expect((await exchange(port, { path: '/echo', headers: { 'idempotency-key': 'k' } })).header('idempotent-replayed')).toBe('true')
  })
})

describe('a route', () => {
  test('is known by its pattern, mounted or not, and wildcards do not alias', async () => {
    const oncely = instance()
    const app = express()
    const router = express.Router()
    const operation = oncely.operation('files', { policy, bind: 'lease' })
    router.post(
      '/files/*path',
      handle(operation, { principal }, (_context, request) => reply(200, request.params)),
    )
    app.use('/v1', router)
    const port = await started(app)
    const first = await post(port, '{}', {}, '/v1/files/a/b')
    expect(first.json()).toEqual({ path: ['a', 'b'] })
    expect((await post(port, '{}', {}, '/v1/files/a/b?')).header('idempotent-replayed')).toBe('true')
    expect((await post(port, '{}', {}, '/v1/files/a%2Fb')).status).toBe(422)
    expect((await post(port, '{}', {}, '/v1/files/a')).status).toBe(422)
  })

  test('may be a layer without one', async () => {
    const app = express()
    app.use(
      '/mounted',
      handle(instance().operation('any', { policy, bind: 'lease' }), { principal }, () => reply(200, 'ok')),
    )
    const port = await started(app)
    expect((await post(port, '{}', {}, '/mounted/a')).status).toBe(200)
    expect((await post(port, '{}', {}, '/mounted/b')).status).toBe(422)
  })

  test('turns errors it knows into answers and leaves the others to the application', async () => {
    class Declined extends Error {}
    const app = express()
    const operation = instance().operation('pay', { policy, bind: 'lease', begin: 'explicit' })
    const onError = (error: unknown) => (error instanceof Declined ? reply(402, 'declined') : undefined)
    app.post(
      '/echo',
      handle(operation, { principal, onError }, ({ input }) => Promise.reject(input === 1 ? new Declined() : new Error('a bug'))),
    )
    const port = await started(app)
    expect((await post(port, '1', { 'idempotency-key': 'a' })).status).toBe(402)
    expect((await post(port, '1', { 'idempotency-key': 'a' })).header('idempotent-replayed')).toBe('true')
    expect((await post(port, '2', { 'idempotency-key': 'b' })).json()).toEqual({ error: 'suite' })
  })

  test('whose handler returns something else than a response is told what to return', async () => {
    const error = await failing((app) =>
      app.post('/echo', handle(instance().operation('wrong', { policy, bind: 'lease' }), { principal }, (() => ({ id: 1 })) as never)),
    )
    expect(error).toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE', message: expect.stringContaining('return reply(') })
  })

  test('whose answer cannot be sent ends in the error handler and not in the void', async () => {
    const broken = { status: 200, headers: [['x-broken', 'line\r\nbreak']] as const, body: new Uint8Array(0) }
    const error = await failing((app) =>
      app.post(
        '/echo',
        handle(instance().operation('broken', { policy, bind: 'lease' }), { principal }, () => broken),
      ),
    )
    expect(error).toMatchObject({ code: 'ERR_INVALID_CHAR' })
  })
})

test('the document is published at its place and nowhere else', async () => {
  const app = express()
  app.use(wellKnown(instance(), { problemBase: 'https://api.example.com/p/' }))
  const port = await started(app)
  const answer = await exchange(port, { method: 'GET', path: '/.well-known/idempotency' })
  expect(answer.json()).toMatchObject({ operations: [], key: { header: 'Idempotency-Key' } })
  expect(String((answer.json()['problems'] as { type: string }[])[0]?.type)).toMatch(/^https:\/\/api\.example\.com\/p\//)
  expect((await exchange(port, { method: 'POST', path: '/.well-known/idempotency' })).status).toBe(404)
  expect((await exchange(port, { method: 'GET', path: '/other' })).status).toBe(404)
})

function echoWith(...layers: RequestHandler[]) {
  return (app: Express): void => {
    for (const layer of layers) app.use(layer)
    app.post(
      '/echo',
      handle(instance().operation('echo', { policy, bind: 'lease' }), { principal }, () => reply(200)),
    )
  }
}

/** The error that reaches the application's own handler when this route is called. */
async function failing(route: (app: Express) => void): Promise<unknown> {
  const app = express()
  route(app)
  const caught = new Promise<unknown>((resolve) => {
    app.use((error: unknown, _request: Request, response: express.Response, _next: express.NextFunction) => {
      resolve(error)
      response.status(500).end()
    })
  })
  const port = await started(app)
  const [error, { status }] = await Promise.all([caught, post(port, '{"a":1}')])
  expect(status).toBe(500)
  return error
}
