import assert from 'node:assert/strict'
import { reject, reply } from '../../http/index.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

/** The answer of a completed request, given again. */
export const replayCases: HttpCases = {
  'R6: a retry after completion gets the exact status and bytes, and nothing runs': async (world) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, at) => at)
    const bodies: unknown[] = [{ a: [1, null], b: 'ü' }, 'text', bytes, undefined, null, 0, '']
    const app = await world.start({ handler: ({ input }) => reply(200 + Number(input), bodies[Number(input)]) })
    for (let nth = 0; nth < bodies.length; nth++) {
      const key = freshKey()
      const first = await app.post(key, nth)
      assert.equal(first.status, 200 + nth)
      assertReplay(first, await app.post(key, nth))
      assertReplay(first, await app.post(key, nth))
    }
    assert.equal(app.runs, bodies.length)
  },

  'R7: only replays carry the mark, and it is not stored': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const first = await app.post(key)
    assert.equal(first.header('idempotent-replayed'), undefined)
    assert.equal(first.header('idempotency-status'), 'created')
    for (let nth = 0; nth < 2; nth++) {
      const again = await app.post(key)
      assert.deepEqual(again.headers['idempotent-replayed'], ['true'])
      assert.deepEqual(again.headers['idempotency-status'], ['replayed'])
    }
  },

  'R34: bodiless, redirecting and binary answers come back as they were': async (world) => {
    const answers = [
      reply(204),
      reply(303, undefined, { location: '/payments/1' }),
      reply(200, new Uint8Array([0xff, 0xd8, 0xff, 0x00])),
      reply(200),
    ]
    const app = await world.start({ handler: ({ input }) => answers[Number(input)] ?? reply(500) })
    for (let nth = 0; nth < answers.length; nth++) {
      const key = freshKey()
      const first = await app.post(key, nth)
      assert.deepEqual(first.body, Buffer.from(answers[nth]?.body ?? []))
      const again = await app.post(key, nth)
      assertReplay(first, again)
      assert.equal(again.header('location'), first.header('location'))
    }
    assert.equal(app.runs, answers.length)
  },

  'R37: credentials are sent once and never stored': async (world) => {
    const secret = {
      'set-cookie': ['a=1', 'b=2'],
      'www-authenticate': 'Basic',
      'x-api-token': 'abc',
      'x-client-secret': 'def',
      'proxy-status': 'x',
    }
    const app = await world.start({ handler: () => reply(200, 'ok', secret) })
    const key = freshKey()
    const first = await app.post(key)
    assert.deepEqual(first.headers['set-cookie'], ['a=1', 'b=2'])
    assert.equal(first.header('x-api-token'), 'abc')
    const again = await app.post(key)
    assertReplay(first, again)
    for (const name of Object.keys(secret)) assert.equal(again.header(name), undefined, name)
    for (const name of ['Set-Cookie', 'authorization', 'X-Api-Token', 'my-secret', 'proxy-authenticate']) {
      await assert.rejects(world.start({ http: { replayHeaders: [name] } }), { code: 'ONCELY_CONFIGURATION' }, name)
    }
  },

  'R38: what belongs to one message is made anew': async (world) => {
    const own = {
      date: 'Thu, 01 Jan 1970 00:00:00 GMT',
      'x-request-id': 'first',
      'ratelimit-remaining': '7',
      'x-ratelimit-limit': '9',
      'retry-after': '7',
    }
    const app = await world.start({ handler: () => reply(200, 'four', own) })
    const key = freshKey()
    const first = await app.post(key)
    assert.equal(first.header('x-request-id'), 'first')
    const again = await app.post(key)
    assertReplay(first, again)
    assert.equal(again.header('content-length'), '4')
    assert.notEqual(again.header('date'), own.date)
    for (const name of ['x-request-id', 'ratelimit-remaining', 'x-ratelimit-limit', 'retry-after'])
      assert.equal(again.header(name), undefined, name)
    for (const name of ['Content-Length', 'transfer-encoding', 'x-request-id', 'RateLimit-Policy']) {
      await assert.rejects(world.start({ http: { replayHeaders: [name] } }), { code: 'ONCELY_CONFIGURATION' }, name)
    }
  },

  'R39: what describes the answer survives, in unsplit lines': async (world) => {
    const kept = {
      location: '/payments/1',
      'content-type': 'application/vnd.payment+json',
      etag: '"v1"',
      link: ['</a,b>; rel="x"', '</c>; rel="y"'],
      'content-disposition': 'attachment; filename="a, b.txt"',
      'content-language': 'en',
      'last-modified': 'Thu, 01 Jan 2015 00:00:00 GMT',
      'cache-control': 'no-store',
      vary: 'accept',
    }
    const app = await world.start({
      http: { replayHeaders: ['X-Payment-State'] },
      handler: () => reply(201, {}, { ...kept, 'x-payment-state': 'open', 'x-other': 'gone' }),
    })
    const key = freshKey()
    const first = await app.post(key)
    const again = await app.post(key)
    assertReplay(first, again)
    for (const [name, value] of Object.entries(kept))
      assert.deepEqual(again.headers[name], typeof value === 'string' ? [value] : value, name)
    assert.equal(again.header('x-payment-state'), 'open')
    assert.equal(again.header('x-other'), undefined)
  },

  'R43: a refusal for good is replayed; a corrected request needs a new key': async (world) => {
    const app = await world.start({
      handler: ({ input }) => {
        const { amount } = input as { amount: number }
        if (amount > 10) throw reject(402, { code: 'declined' }, { 'x-once': '1' })
        return reply(201, { amount })
      },
    })
    const key = freshKey()
    const first = await app.post(key, { amount: 11 })
    assert.equal(first.status, 402)
    assert.equal(first.header('x-once'), '1')
    assert.equal(first.header('idempotency-status'), 'created')
    assertReplay(first, await app.post(key, { amount: 11 }))
    assertProblem(await app.post(key, { amount: 10 }), 422, 'mismatch')
    assert.equal((await app.post(freshKey(), { amount: 10 })).status, 201)
    assert.equal(app.runs, 2)
  },

  'R43: a business error that is returned is an outcome like any other': async (world) => {
    const app = await world.start({ handler: () => reply(409, { code: 'out-of-stock' }) })
    const key = freshKey()
    assertReplay(await app.post(key), await app.post(key))
    assert.equal(app.runs, 1)
  },

  'R47: a retry after retention learns that the answer is gone; after the tombstone the key is new': async (world) => {
    const policy = { retention: '26h', tombstone: '48h' } as const
    const key = freshKey()
    const app = await world.start({ policy, limits: { recentOutcomesMax: 0 } })
    const first = await app.post(key)
    await world.harness.advance(25 * 3_600_000)
    assertReplay(first, await app.post(key))
    await world.harness.advance(2 * 3_600_000)
    const body = assertProblem(await app.post(key), 410, 'expired')
    assert.equal(body['operation_state'], 'completed')
    assert.equal(body['safe_new_key'], false)
    assertProblem(await app.post(key, { amount: 1 }), 422, 'mismatch')
    assert.equal(app.runs, 1)
    await world.harness.advance(22 * 3_600_000)
    assert.equal((await app.post(key)).status, 201)
    assert.equal(app.runs, 2)
  },
}
