import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { StoreUnavailable } from '../../core/index.ts'
import { deferred } from '../store/deferred.ts'
import { openExchange, readWhole } from './exchange.ts'
import { assertProblem, freshKey, type HttpCases, interposed } from './http-world.ts'

/** What a guard does when something goes wrong. */
export const guardFailureCases: HttpCases = {
  'R32: a guarded handler whose client goes away is let finish, and its answer is stored': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      guarded: (_request, response) => {
        started.resolve()
        void gate.promise.then(() => response.writeHead(201).end('finished'))
      },
    })
    const headers = { 'idempotency-key': freshKey() }
    const request = openExchange(app.port, { headers })
    await started.promise
    request.abort()
    await assert.rejects(request.head)
    gate.resolve()
    await app.until('completed')
    const answer = await app.send({ headers })
    assert.deepEqual([answer.status, answer.body.toString('utf8'), answer.header('idempotent-replayed')], [201, 'finished', 'true'])
    assert.equal(app.runs, 1)
  },

  'R33: no byte of a guarded answer leaves before it is durable': async (world) => {
    const durable = deferred<void>()
    const completing = deferred<void>()
    const app = await world.start({
      store: (store) =>
        interposed(store, (methods) => ({
          complete: async (...args) => {
            completing.resolve()
            await durable.promise
            return methods.complete.apply(store, args)
          },
        })),
      guarded: (_request, response) => {
        response.write('written ')
        response.end('early')
      },
    })
    const request = openExchange(app.port, { headers: { 'idempotency-key': freshKey() } })
    await completing.promise
    let answered = false
    const whole = request.head.then((head) => {
      answered = true
      return readWhole(head)
    })
    assertProblem(await app.post(undefined), 400, 'key-missing')
    assert.equal(answered, false)
    durable.resolve()
    assert.equal((await whole).body.toString('utf8'), 'written early')
  },

  'R42: a guarded failure goes out as the application answers it, and leaves doubt': async (world) => {
    const app = await world.start({
      http: { outcomes: { 503: 'not-applied' } },
      guarded: (request, response) => {
        const status = Number(request.headers['x-status'])
        if (status === 0) throw new Error('a bug')
        response.writeHead(status).end('own words')
      },
    })
    const post = (key: string, status: number) => app.post(key, {}, { headers: { 'x-status': String(status) } })
    const [failed, thrown, freed] = [freshKey(), freshKey(), freshKey()]
    assert.equal((await post(failed, 500)).body.toString('utf8'), 'own words')
    assertProblem(await post(failed, 500), 409, 'uncertain')
    assert.equal((await post(thrown, 0)).status, 500)
    assertProblem(await post(thrown, 0), 409, 'uncertain')
    assert.equal((await post(freed, 503)).status, 503)
    assert.equal((await post(freed, 503)).header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 4)
  },

  'R28: a handler that falls silent when its client is gone is given up, and its record is uncertain': async (world) => {
    const started = deferred<void>()
    const app = await world.start({ http: { abandonAfterMs: 20 }, guarded: () => started.resolve() })
    const headers = { 'idempotency-key': freshKey() }
    const request = openExchange(app.port, { headers })
    await started.promise
    request.abort()
    await app.until('sealed')
    assertProblem(await app.send({ headers }), 409, 'uncertain')
    assert.equal(app.runs, 1)
  },

  'R28: a response that its handler destroys leaves doubt at once': async (world) => {
    const app = await world.start({
      guarded: (_request, response) => {
        const broken = new Readable({ read: () => {} })
        broken.push('half')
        pipeline(broken, response).catch(() => {})
        setImmediate(() => broken.destroy(new Error('the source broke')))
      },
    })
    const headers = { 'idempotency-key': freshKey() }
    await assert.rejects(app.send({ headers }))
    await app.until('sealed')
    assertProblem(await app.send({ headers }), 409, 'uncertain')
  },

  'R30: a guarded owner that was taken over sends what stands instead of its own answer': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const operation = { rerunnable: true } as const
    const paused = await world.start({
      operation,
      guarded: (_request, response) => {
        started.resolve()
        void gate.promise.then(() => response.setHeader('x-stale', '1').writeHead(200).end('stale'))
      },
    })
    const fresh = await world.start({ operation, guarded: (_request, response) => void response.writeHead(201).end('stands') })
    const key = freshKey()
    const first = paused.post(key)
    await started.promise
    await world.harness.advance(31_000)
    assert.equal((await fresh.post(key)).body.toString('utf8'), 'stands')
    gate.resolve()
    const late = await first
    assert.deepEqual(
      [late.status, late.body.toString('utf8'), late.header('x-stale'), late.header('idempotent-replayed')],
      [201, 'stands', undefined, 'true'],
    )
  },

  'R27: where a guarded answer is withheld, nothing of it is seen; a stream still ends': async (world) => {
    const outage = () => Promise.reject(new StoreUnavailable('the suite has cut the store off', { applied: 'no' }))
    const app = await world.start({
      policy: { onUnrecorded: 'withhold' },
      limits: { storeTimeoutMs: 100 },
      store: (store) => interposed(store, () => ({ complete: outage })),
      guarded: (request, response) => {
        response.setHeader('x-own', '1')
        if (request.headers['x-stream'] !== undefined) response.flushHeaders()
        response.end('own words')
      },
    })
    const withheld = await app.post(freshKey())
    assertProblem(withheld, 503, 'unrecorded')
    assert.equal(withheld.header('x-own'), undefined)
    const streamed = await app.post(freshKey(), {}, { headers: { 'x-stream': '1' } })
    assert.deepEqual([streamed.status, streamed.body.toString('utf8')], [200, 'own words'])
  },

  'R33: when the store breaks in an unexpected way, the application’s error handler answers and nothing of the handler’s is seen': async (
    world,
  ) => {
    const app = await world.start({
      store: (store) => interposed(store, () => ({ complete: () => Promise.reject(new TypeError('a bug of the store')) })),
      guarded: (_request, response) => void response.setHeader('x-own', '1').end('own words'),
    })
    const answer = await app.post(freshKey())
    assert.deepEqual([answer.status, answer.header('x-own')], [500, undefined])
    assert.ok(!answer.body.includes('own words'))
  },

  'R35: a stream that its client leaves is let finish, and is over when the handler ends it': async (world) => {
    const gate = deferred<void>()
    const app = await world.start({
      guarded: (_request, response) => {
        response.flushHeaders()
        response.write('data: 1')
        void gate.promise.then(() => {
          response.write('data: 2')
          response.end()
        })
      },
    })
    const headers = { 'idempotency-key': freshKey() }
    const request = openExchange(app.port, { headers })
    const head = await request.head
    head.on('error', () => {})
    request.abort()
    gate.resolve()
    await app.until('completed')
    assert.equal(assertProblem(await app.send({ headers }), 409, 'result-not-stored')['reason'], 'stream')
  },
}
