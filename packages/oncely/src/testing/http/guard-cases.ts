import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { createGzip, gunzipSync } from 'node:zlib'
import type { SuiteMiddleware } from '../http-harness.ts'
import { deferred } from '../store/deferred.ts'
import { openExchange, readWhole } from './exchange.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

const binary = Uint8Array.from({ length: 256 }, (_, at) => at)

/** Every way in which a handler writes a response, with the body that must arrive. */
const ways: readonly (readonly [name: string, status: number, body: Uint8Array, handler: Handler])[] = [
  ['end with a string', 201, Buffer.from('ü'), (_request, response) => void response.writeHead(201).end('ü')],
  ['end with an encoding', 200, Buffer.from([0xfc]), (_request, response) => void response.end('ü', 'latin1')],
  ['end with bytes', 200, binary, (_request, response) => void response.end(binary)],
  ['end with nothing', 202, Buffer.alloc(0), (_request, response) => void response.writeHead(202, { 'content-type': 'text/plain' }).end()],
  [
    'end with a callback',
    200,
    Buffer.from('called'),
    (_request, response) => void response.end('called', () => response.emit('suite-finished')),
  ],
  [
    'write, write, end',
    200,
    Buffer.from('one two three'),
    (_request, response) => {
      response.write('one ', () => {
        response.write(Buffer.from('two '), 'utf8', () => response.end('three'))
      })
    },
  ],
  [
    'a buffer that is used again',
    200,
    Buffer.from('ab'),
    (_request, response) => {
      const buffer = Buffer.from('a')
      response.write(buffer, () => {
        buffer.write('b')
        response.end(buffer)
      })
    },
  ],
  [
    'pipe',
    200,
    Buffer.from('piped chunks'),
    (_request, response) => void Readable.from([Buffer.from('piped '), Buffer.from('chunks')]).pipe(response),
  ],
  [
    'pipeline',
    200,
    Buffer.from('pipeline'),
    (_request, response) => pipeline(Readable.from([Buffer.from('pipe'), Buffer.from('line')]), response, () => {}),
  ],
  ['204', 204, Buffer.alloc(0), (_request, response) => void response.writeHead(204).end()],
  [
    '304 with a body that is none',
    304,
    Buffer.alloc(0),
    (_request, response) => void response.writeHead(304, { etag: '"v1"' }).end('ignored'),
  ],
  [
    'a head said twice',
    201,
    Buffer.from('x'),
    (_request, response) => void response.writeHead(201, undefined, { etag: '"v1"' }).writeHead(201).end('x'),
  ],
  [
    'a chunk in another encoding',
    200,
    Buffer.from([0xfc, 0xfc]),
    (_request, response) => void (response.write('ü', 'latin1') && response.end('fc', 'hex')),
  ],
  [
    'a head of nested pairs',
    200,
    Buffer.from('x'),
    (_request, response) =>
      void response
        .writeHead(200, [
          ['link', '</a>'],
          ['link', '</b>'],
        ] as never)
        .end('x'),
  ],
  [
    'a head of pairs',
    200,
    Buffer.from('x'),
    (_request, response) => void response.writeHead(200, 'Fine', ['link', '</a>', 'link', '</b>', 'content-type', 'text/plain']).end('x'),
  ],
  [
    'appended lines',
    200,
    Buffer.from('x'),
    (_request, response) => void response.appendHeader('link', '</a>').appendHeader('link', ['</b>', '</c>']).end('x'),
  ],
  [
    'an early hint before the answer',
    200,
    Buffer.from('x'),
    (_request, response) => response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.end('x')),
  ],
]

/** Compression as middleware does it: it replaces the methods of the response and sets the headers when the head is due. */
const gzip: SuiteMiddleware = (request, response, next) => {
  const { write, end, writeHead } = response
  const accepts = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
  let stream: ReturnType<typeof createGzip> | undefined
  let decided = false
  const decide = (): void => {
    if (decided) return
    decided = true
    response.appendHeader('vary', 'accept-encoding')
    if (!accepts) return
    stream = createGzip()
    response.setHeader('content-encoding', 'gzip')
    response.removeHeader('content-length')
    stream.on('data', (chunk: Buffer) => (write as (chunk: Buffer) => boolean).call(response, chunk))
    stream.on('end', () => (end as () => void).call(response))
  }
  response.writeHead = ((status: number, headers: Record<string, string | string[]> = {}) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    decide()
    return (writeHead as (status: number) => ServerResponse).call(response, status)
  }) as ServerResponse['writeHead']
  response.write = ((chunk: string | Buffer) => {
    if (!response.headersSent) response.writeHead(response.statusCode)
    return stream === undefined ? (write as (chunk: unknown) => boolean).call(response, chunk) : stream.write(chunk)
  }) as ServerResponse['write']
  response.end = ((chunk?: string | Buffer) => {
    if (!response.headersSent) response.writeHead(response.statusCode)
    if (stream === undefined) return (end as (chunk?: unknown) => ServerResponse).call(response, chunk)
    stream.end(chunk)
    return response
  }) as ServerResponse['end']
  next()
}

/** Protection around handlers that write their response themselves. */
export const guardCases: HttpCases = {
  'R34: whatever a handler does to answer, the replay is the same': async (world) => {
    const nth = (request: IncomingMessage): number => Number(request.headers['x-way'])
    const app = await world.start({ guarded: (request, response) => ways[nth(request)]?.[3](request, response) })
    for (const [at, [name, status, body]] of ways.entries()) {
      const key = freshKey()
      const post = () => app.post(key, {}, { headers: { 'x-way': String(at) } })
      const first = await post()
      assert.equal(first.status, status, name)
      assert.deepEqual(first.body, Buffer.from(body), name)
      const again = await post()
      assertReplay(first, again)
      for (const header of ['content-type', 'link', 'etag']) assert.deepEqual(again.headers[header], first.headers[header], name)
    }
    assert.equal(app.runs, ways.length)
  },

  'R34: for the handler its response behaves as if nothing were held back': async (world) => {
    const seen: Record<string, unknown> = {}
    const finished = deferred<void>()
    const app = await world.start({
      guarded: (_request, response) => {
        seen['before'] = [response.headersSent, response.writableEnded]
        response.setHeader('x-set', '1')
        response.write('a')
        seen['written'] = [response.headersSent, response.writableEnded]
        assert.throws(() => response.setHeader('x-late', '1'), { code: 'ERR_HTTP_HEADERS_SENT' })
        assert.throws(() => response.writeHead(500, { 'x-late': '1' }), { code: 'ERR_HTTP_HEADERS_SENT' })
        assert.throws(() => response.write(null), TypeError)
        response.on('finish', () => {
          seen['finish'] = [response.headersSent, response.writableFinished]
          finished.resolve()
        })
        response.end('b', () => {
          seen['callback'] = true
        })
        seen['ended'] = [response.headersSent, response.writableEnded, response.writableFinished]
        seen['again'] = response.end('c') === response
        seen['late write'] = response.write('d')
        const code = (name: string) => (error?: Error | null) => {
          seen[name] = (error as { code?: string } | undefined)?.code
        }
        response.end(code('end twice'))
        response.write('e', code('write after end'))
      },
    })
    const answer = await app.post(freshKey())
    await finished.promise
    assert.equal(answer.body.toString('utf8'), 'ab')
    assert.deepEqual(seen, {
      before: [false, false],
      written: [true, false],
      ended: [true, true, false],
      again: true,
      'late write': false,
      finish: [true, true],
      callback: true,
      'end twice': 'ERR_STREAM_ALREADY_FINISHED',
      'write after end': 'ERR_STREAM_WRITE_AFTER_END',
    })
  },

  'R7: a guarded first answer is marked as created, its replay as one': async (world) => {
    const app = await world.start({ guarded: (_request, response) => void response.end('ok') })
    const key = freshKey()
    const [first, again] = [await app.post(key), await app.post(key)]
    assert.deepEqual([first.header('idempotency-status'), again.header('idempotency-status')], ['created', 'replayed'])
    assert.equal(app.runs, 1)
  },

  'R37: a guarded answer gives its cookies once': async (world) => {
    const app = await world.start({
      guarded: (_request, response) => void response.setHeader('set-cookie', ['a=1', 'b=2']).setHeader('location', '/x').end('ok'),
    })
    const key = freshKey()
    const [first, again] = [await app.post(key), await app.post(key)]
    assert.deepEqual(first.headers['set-cookie'], ['a=1', 'b=2'])
    assert.equal(again.headers['set-cookie'], undefined)
    assert.equal(again.header('location'), '/x')
  },

  'R35: an event stream goes through at once, and a retry learns that it was given once': async (world) => {
    for (const open of [
      (response: ServerResponse) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n'),
      (response: ServerResponse) => {
        response.flushHeaders()
        response.write('data: 1\n\n')
      },
    ]) {
      const end = deferred<void>()
      const app = await world.start({
        guarded: (_request, response) => {
          open(response)
          void end.promise.then(() => response.end('data: 2\n\n'))
        },
      })
      const key = freshKey()
      const headers = { 'idempotency-key': key }
      const head = await openExchange(app.port, { headers }).head
      assertProblem(await app.send({ headers }), 409, 'in-progress')
      end.resolve()
      assert.equal((await readWhole(head)).body.toString('utf8'), 'data: 1\n\ndata: 2\n\n')
      const body = assertProblem(await app.send({ headers }), 409, 'result-not-stored')
      assert.equal(body['reason'], 'stream')
      assert.equal(app.runs, 1)
    }
  },

  'R35: a declared stream is never held back': async (world) => {
    const end = deferred<void>()
    const app = await world.start({
      http: { stream: true },
      guarded: (_request, response) => {
        response.write('first')
        void end.promise.then(() => response.end())
      },
    })
    const headers = { 'idempotency-key': freshKey() }
    const head = await openExchange(app.port, { headers }).head
    end.resolve()
    assert.equal((await readWhole(head)).body.toString('utf8'), 'first')
    assert.equal(assertProblem(await app.send({ headers }), 409, 'result-not-stored')['reason'], 'stream')
  },

  'R36: a response that grows too large goes through whole, and a retry learns that it was not kept': async (world) => {
    const app = await world.start({
      limits: { responseBytesMax: 1_000 },
      guarded: (_request, response) => {
        response.writeHead(201, { location: '/big' })
        pipeline(Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(300, 'x'))), response, () => {})
      },
    })
    const key = freshKey()
    const first = await app.post(key)
    assert.deepEqual([first.status, first.body.length], [201, 6_000])
    const body = assertProblem(await app.post(key), 409, 'result-not-stored')
    assert.deepEqual([body['reason'], body['original_status'], body['resource']], ['oversize', 201, '/big'])
    assert.equal(app.runs, 1)
  },

  'R36: what is too large to keep is not held back until its end': async (world) => {
    const end = deferred<void>()
    const app = await world.start({
      limits: { responseBytesMax: 1_000 },
      guarded: (_request, response) => {
        response.write('x'.repeat(1_000))
        response.write('y')
        void end.promise.then(() => response.end('z'))
      },
    })
    const headers = { 'idempotency-key': freshKey() }
    const head = await openExchange(app.port, { headers }).head
    assertProblem(await app.send({ headers }), 409, 'in-progress')
    end.resolve()
    assert.equal((await readWhole(head)).body.length, 1_002)
  },

  'R40: compression outside and inside, any retry reads the same bytes': async (world) => {
    const text = 'compress me '.repeat(50)
    for (const place of [{ caller: { before: gzip } }, { inside: gzip }]) {
      for (const [one, other] of [
        ['gzip', 'identity'],
        ['identity', 'gzip'],
        ['gzip', 'gzip'],
      ] as const) {
        const app = await world.start({
          ...place,
          guarded: (_request, response) => void response.setHeader('content-type', 'text/plain').end(text),
        })
        const key = freshKey()
        for (const [nth, accepted] of [one, other].entries()) {
          const answer = await app.post(key, {}, { headers: { 'accept-encoding': accepted } })
          const encoded = answer.header('content-encoding') === 'gzip'
          assert.equal((encoded ? gunzipSync(answer.body) : answer.body).toString('utf8'), text)
          assert.ok(accepted === 'gzip' || !encoded, 'a client that takes no coding gets none')
          assert.match((answer.headers['vary'] ?? []).join(), /accept-encoding/i)
          assert.equal(answer.header('idempotent-replayed'), nth === 0 ? undefined : 'true')
        }
        assert.equal(app.runs, 1)
      }
    }
  },

  'R40: a coding that cannot be undone is kept with its bytes': async (world) => {
    const app = await world.start({ guarded: (_request, response) => void response.setHeader('content-encoding', 'x-own').end('opaque') })
    const key = freshKey()
    const [first, again] = [await app.post(key), await app.post(key)]
    assertReplay(first, again)
    assert.equal(again.header('content-encoding'), 'x-own')
  },

  'R45: requests that need no record pass a guard untouched': async (world) => {
    const app = await world.start({
      method: 'ALL',
      operation: { phase: 'optional' },
      guarded: (_request, response) => void response.end(String(response.headersSent)),
    })
    const answer = await app.send({ method: 'GET', headers: { 'idempotency-key': freshKey() } })
    assert.deepEqual([answer.body.toString('utf8'), answer.header('idempotency-status')], ['false', 'ignored'])
    const unkeyed = await app.post(undefined)
    assert.deepEqual([unkeyed.status, unkeyed.header('idempotency-status')], [200, undefined])
    assert.equal((await world.harness.store.stats()).records, 0)
  },

  'R64: observe leaves a guarded response alone': async (world) => {
    const end = deferred<void>()
    const app = await world.start({
      operation: { phase: 'observe' },
      limits: { bodyBytesMax: 50 },
      guarded: (request, response) => {
        if (request.headers['x-hold'] === undefined) return void request.pipe(response)
        response.write('first')
        void end.promise.then(() => response.end())
      },
    })
    const key = freshKey()
    const head = await openExchange(app.port, { headers: { 'idempotency-key': key, 'x-hold': '1' } }).head
    end.resolve()
    assert.equal((await readWhole(head)).body.toString('utf8'), 'first')
    const text = { headers: { 'content-type': 'text/plain' } }
    for (const body of ['small', 'x'.repeat(200)]) assert.equal((await app.post(key, body, text)).body.toString('utf8'), body)
    await app.oncely.drain()
    const observed = app.events.flatMap(({ type, reason }) => (type === 'observed' ? [reason] : []))
    assert.deepEqual(observed.toSorted(), ['first', 'mismatch', 'status 413'])
  },
}
