import assert from 'node:assert/strict'
import { reply } from '../../http/index.ts'
import { rawExchange } from './exchange.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

/** Which keys count, and what is said to the others before anything is looked up. */
export const keyCases: HttpCases = {
  'R1: a required key that is missing is a problem of its own, and no handler runs': async (world) => {
    const app = await world.start()
    const body = assertProblem(await app.post(undefined), 400, 'key-missing')
    assert.match(String(body['type']), /^https:\/\//)
    assert.equal(app.runs, 0)
  },

  'R2: a key that is no structured string is malformed': async (world) => {
    const app = await world.start()
    for (const key of ['"unbalanced', '"bad \\escape"', '"tab\tinside"', '"caf\xe9"', '"a" trailing', ':cGF5:', '(a)']) {
      const status = await rawExchange(
        app.port,
        `POST /payments HTTP/1.1\r\nhost: a\r\nidempotency-key: ${key}\r\ncontent-length: 0\r\n\r\n`,
      )
      assert.equal(status, 400, key)
    }
    assert.equal(app.runs, 0)
    assert.equal((await world.harness.store.stats()).records, 0)
  },

  'R3: two lines, a list and parameters are malformed, and nothing is recorded': async (world) => {
    const app = await world.start()
    assertProblem(await app.post(['one', 'two']), 400, 'key-malformed')
    assertProblem(await app.post(['same', 'same']), 400, 'key-malformed')
    assertProblem(await app.post('"one", "two"'), 400, 'key-malformed')
    assertProblem(await app.post('"one";version=2'), 400, 'key-malformed')
    assert.equal(app.runs, 0)
    assert.equal((await world.harness.store.stats()).records, 0)
  },

  'R4: quoted and bare are one key in lenient syntax': async (world) => {
    const app = await world.start()
    const key = freshKey()
    assertReplay(await app.post(key), await app.post(`"${key}"`))
    assert.equal(app.runs, 1)
  },

  'R4: strict syntax refuses a bare key': async (world) => {
    const app = await world.start({ http: { keySyntax: 'strict' } })
    assertProblem(await app.post('bare'), 400, 'key-malformed')
    assert.equal((await app.post('"quoted"')).status, 201)
  },

  'R5: an empty key and one over the limit are refused before the store is asked': async (world) => {
    const app = await world.start({ limits: { keyBytesMin: 4, keyBytesMax: 16 } })
    for (const key of ['', '""', 'abc', 'a'.repeat(17)]) assertProblem(await app.post(key), 400, 'key-malformed')
    assert.equal((await app.post('a'.repeat(16))).status, 201)
    assert.equal((await world.harness.store.stats()).records, 1)
  },

  'R5: keys that differ in case are different keys': async (world) => {
    const app = await world.start()
    assert.equal((await app.post('Key-A')).status, 201)
    assert.equal((await app.post('key-a')).header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 2)
  },

  'R45: a key on a safe method has no effect and is reported as ignored': async (world) => {
    const app = await world.start({ method: 'ALL' })
    const key = freshKey()
    for (const method of ['GET', 'GET', 'OPTIONS']) {
      const answer = await app.send({ method, headers: { 'idempotency-key': key } })
      assert.equal(answer.status, 201)
      assert.equal(answer.header('idempotency-status'), 'ignored')
    }
    assert.equal((await app.send({ method: 'HEAD', headers: { 'idempotency-key': key } })).status, 201)
    assert.equal(app.runs, 4)
    assert.equal((await world.harness.store.stats()).records, 0)
    assert.equal((await app.send({ method: 'GET' })).header('idempotency-status'), undefined)
  },

  'R45: PUT, PATCH and DELETE are protected on a route that is': async (world) => {
    const app = await world.start({ method: 'ALL' })
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const key = freshKey()
      const send = () => app.send({ method, headers: { 'idempotency-key': key } })
      assertReplay(await send(), await send())
    }
    assert.equal(app.runs, 3)
  },

  'R45: a route may leave methods out': async (world) => {
    const app = await world.start({ method: 'ALL', http: { methods: ['POST'] } })
    const key = freshKey()
    assert.equal((await app.send({ method: 'PUT', headers: { 'idempotency-key': key } })).header('idempotency-status'), 'ignored')
    assert.equal((await app.post(key)).header('idempotency-status'), 'created')
    assert.equal(app.runs, 2)
  },

  'R64: observe changes no answer and tells what it would have done': async (world) => {
    const app = await world.start({ operation: { phase: 'observe' }, handler: () => reply(200, 'ran') })
    const key = freshKey()
    const answers = [
      await app.post(key),
      await app.post(key),
      await app.post(key, { amount: 999 }),
      await app.post(undefined),
      await app.post('"broken'),
      await app.post(['a', 'b']),
    ]
    for (const answer of answers) {
      assert.equal(answer.status, 200)
      assert.equal(answer.body.toString('utf8'), 'ran')
      assert.equal(answer.header('idempotent-replayed'), undefined)
      assert.equal(answer.header('idempotency-status'), undefined)
    }
    assert.equal(app.runs, 6)
    await app.oncely.drain()
    const observed = app.events.flatMap(({ type, reason }) => (type === 'observed' ? [reason] : []))
    assert.equal(observed.filter((reason) => reason === 'key-missing').length, 1)
    assert.equal(observed.filter((reason) => reason.startsWith('key-malformed')).length, 2)
    assert.equal(observed.filter((reason) => reason === 'first').length, 1)
    assert.ok(observed.includes('mismatch'), observed.join(', '))
    const clients = new Set(app.events.flatMap(({ type, client }) => (type === 'observed' ? [client] : [])))
    assert.equal(clients.size, 1, 'one caller has one name')
    assert.match([...clients].join(), /^[0-9a-f]{12}$/)
  },

  'R64: optional protects where a key is sent, and runs without one': async (world) => {
    const app = await world.start({ operation: { phase: 'optional' } })
    assert.equal((await app.post(undefined)).status, 201)
    assert.equal((await app.post(undefined)).status, 201)
    const key = freshKey()
    assertReplay(await app.post(key), await app.post(key))
    assert.equal(app.runs, 3)
    assertProblem(await app.post('"broken'), 400, 'key-malformed')
  },
}
