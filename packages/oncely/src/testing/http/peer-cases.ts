import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { fromHex } from '../../core/index.ts'
import { type HttpResponse, reply } from '../../http/index.ts'
import { openExchange } from './exchange.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases, type HttpWorld } from './http-world.ts'

/** The answer comes back byte for byte, and nothing runs again. */
async function replaysExactly(world: HttpWorld, answer: () => HttpResponse, status: number, body: Uint8Array): Promise<void> {
  const app = await world.start({ handler: answer })
  const key = freshKey()
  const first = await app.post(key)
  assert.equal(first.status, status, first.body.toString('utf8'))
  assert.deepEqual(new Uint8Array(first.body), new Uint8Array(body))
  const second = await app.post(key)
  assertReplay(first, second)
  for (const name of ['content-type', 'location']) assert.deepEqual(second.headers[name], first.headers[name])
  assert.equal(app.runs, 1)
}

/** Every run of bytes that hangs from a value. */
function bytesWithin(value: unknown): Uint8Array[] {
  if (value instanceof Uint8Array) return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(bytesWithin) : []
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const binary = Uint8Array.from({ length: 256 }, (_, at) => at)

/** Faults seen in other libraries, each a case of its own; and settings whose confusion caused some of them. */
export const peerCases: HttpCases = {
  'R34: a 204 is replayed and does not run again': (world) => replaysExactly(world, () => reply(204), 204, new Uint8Array()),
  'R34: a body of JSON null is replayed and does not run again': (world) =>
    replaysExactly(world, () => reply(200, null), 200, utf8('null')),
  'R34: a JSON string is replayed in its quotes': async (world) => {
    const json = { 'content-type': 'application/json' }
    await replaysExactly(world, () => reply(200, JSON.stringify('done'), json), 200, utf8('"done"'))
  },
  'R34: a Buffer is replayed as its bytes': (world) => replaysExactly(world, () => reply(200, Buffer.from(binary)), 200, binary),
  'R34: bytes are replayed as bytes': (world) => replaysExactly(world, () => reply(200, binary), 200, binary),
  'R43: a 402 is replayed in its own words': (world) =>
    replaysExactly(world, () => reply(402, { code: 'card_declined' }), 402, utf8('{"code":"card_declined"}')),
  'R43: a redirect is replayed with its location': (world) =>
    replaysExactly(world, () => reply(303, undefined, { location: '/payments/1' }), 303, new Uint8Array()),

  'R5: a key of 5,000 characters is refused before anything is stored': async (world) => {
    const app = await world.start()
    assert.equal((await app.post('k'.repeat(5_000))).status, 400)
    assert.equal((await world.harness.store.stats()).records, 0)
    assert.equal(app.runs, 0)
  },

  'R6: headers that claim a replay are not believed': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const headers = { 'idempotent-replayed': 'true', 'idempotency-status': 'replayed', 'x-hit': 'true' }
    const first = await app.post(key, undefined, { headers })
    assert.equal(first.status, 201)
    assert.equal(app.runs, 1)
    assertReplay(first, await app.post(key))
    assert.equal(app.runs, 1)
  },

  'R20: a handler that changes its input does not change the fingerprint': async (world) => {
    const app = await world.start({
      handler: ({ input }) => {
        if (typeof input === 'object' && input !== null) Object.assign(input, { amount: 0, added: true })
        return reply(201)
      },
    })
    const key = freshKey()
    const first = await app.post(key)
    assertReplay(first, await app.post(key))
    assert.equal(app.runs, 1)
  },

  'R42: a handler that throws leaves no key in flight': async (world) => {
    const app = await world.start({
      handler: () => {
        throw new Error('a bug')
      },
    })
    const key = freshKey()
    assert.ok((await app.post(key)).status >= 500)
    const again = await app.post(key)
    if (world.bind === 'lease') assertProblem(again, 409, 'uncertain')
    else assert.ok(again.status >= 500)
    assert.equal(app.runs, world.bind === 'lease' ? 1 : 2)
  },

  'R32: clients that go away during replays cause no second run': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const first = await app.send({ headers: { 'idempotency-key': key } })
    assert.equal(first.status, 201)
    for (let nth = 0; nth < 20; nth++) {
      const replay = openExchange(app.port, { headers: { 'idempotency-key': key } })
      if (nth % 2 === 0) (await replay.head).on('error', () => {})
      replay.abort()
    }
    assertReplay(first, await app.send({ headers: { 'idempotency-key': key } }))
    assert.equal(app.runs, 1)
  },

  'R29: the end of a lease is not the end of its answer, and no lease outlasts an answer': async (world) => {
    const app = await world.start({ policy: { lease: '5s' } })
    const key = freshKey()
    const first = await app.post(key)
    await world.harness.advance(60_000)
    assertReplay(first, await app.post(key))
    assert.equal(app.runs, 1)
    await assert.rejects(world.start({ policy: { lease: '24h' } }), /policy\.lease/)
  },

  'R52: an answer given once leaves no bytes behind, and a retry is told where to recover': async (world) => {
    const app = await world.start({
      operation: { store: 'nothing' },
      http: { resolution: 'https://api.example.com/outcomes/{record}' },
      handler: () => reply(201, 'one-time secret'),
    })
    const key = freshKey()
    assert.equal((await app.post(key)).body.toString('utf8'), 'one-time secret')
    const body = assertProblem(await app.post(key), 409, 'result-not-stored')
    assert.equal(body['reason'], 'no-store')
    assert.equal(body['resolution'], `https://api.example.com/outcomes/${String(body['record'])}`)
    const { record } = await app.until('completed')
    const stored = await world.harness.store.read(fromHex(record))
    assert.ok(stored)
    assert.ok(!inspect(stored, { depth: null, maxArrayLength: null, maxStringLength: null }).includes('one-time secret'))
    assert.ok(!bytesWithin(stored).some((bytes) => new TextDecoder().decode(bytes).includes('one-time secret')))
    assert.equal(app.runs, 1)
  },
}
