import assert from 'node:assert/strict'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { fromHex } from '../../core/index.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

const boundaryHeaders = (boundary: string) => ({ headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } })
const multipart = (boundary: string, content: string): string =>
  `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n${content}\r\n--${boundary}--\r\n`

/** What makes two requests the same request. */
export const fingerprintCases: HttpCases = {
  'R19: one key on another path, method or query is a mismatch': async (world) => {
    const app = await world.start({ method: 'ALL', path: '/payments/:id', otherPath: '/refunds/:id' })
    const key = freshKey()
    const send = (path: string, method = 'POST') => app.send({ path, method, headers: { 'idempotency-key': key } })
    const first = await send('/payments/1')
    assertProblem(await send('/payments/2'), 422, 'mismatch')
    assertProblem(await send('/payments/1?dry=1'), 422, 'mismatch')
    assertProblem(await send('/payments/1', 'PUT'), 422, 'mismatch')
    assertProblem(await send('/refunds/1'), 422, 'mismatch')
    assertReplay(first, await send('/payments/1'))
    assert.equal(app.runs, 1)
  },

  'R19: where each operation has keys of its own, one key on both is two requests': async (world) => {
    const app = await world.start({ operation: { keyspace: 'operation' }, otherPath: '/refunds' })
    const key = freshKey()
    const first = await app.post(key)
    const other = await app.post(key, undefined, { path: '/refunds' })
    assert.equal(other.header('idempotent-replayed'), undefined)
    assertReplay(first, await app.post(key))
    assertReplay(other, await app.post(key, undefined, { path: '/refunds' }))
    assert.equal(app.runs, 2)
  },

  'R20: the order of members and white space do not count': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const first = await app.post(key, '{"a":1,"b":[1,2],"c":null}')
    assertReplay(first, await app.post(key, '{ "c" : null,\n "b": [1, 2], "a": 1.0 }'))
    for (const other of ['{"a":1,"b":[2,1],"c":null}', '{"a":1,"b":[1,2]}', '{"a":2,"b":[1,2],"c":null}'])
      assertProblem(await app.post(key, other), 422, 'mismatch')
    assert.equal(app.runs, 1)
  },

  'R21: integers beyond 2^53 that differ are different, and a repeated member is refused': async (world) => {
    const app = await world.start()
    const key = freshKey()
    assert.equal((await app.post(key, '{"amount":9007199254740992}')).status, 201)
    assertProblem(await app.post(key, '{"amount":9007199254740993}'), 422, 'mismatch')
    const body = assertProblem(await app.post(freshKey(), '{"amount":1,"amount":2}'), 400, 'body-malformed')
    assert.equal(body['reason'], 'duplicate-member')
    assert.equal(app.runs, 1)
  },

  'R22: the boundary of a multipart body does not count, a byte of its file does': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const first = await app.post(key, multipart('one', 'content'), boundaryHeaders('one'))
    assertReplay(first, await app.post(key, multipart('two', 'content'), boundaryHeaders('"two"')))
    assertProblem(await app.post(key, multipart('one', 'c0ntent'), boundaryHeaders('one')), 422, 'mismatch')
    assertProblem(await app.post(freshKey(), 'no parts', { headers: { 'content-type': 'multipart/form-data' } }), 400, 'body-malformed')
    assert.equal(app.runs, 1)
  },

  'R23: declared fields do not count, declared headers do': async (world) => {
    const app = await world.start({ operation: { exclude: ['/sentAt', '/items/*/trace'] }, http: { fingerprintHeaders: ['API-Version'] } })
    const key = freshKey()
    const post = (sentAt: number, version: string, more: object = {}) =>
      app.post(
        key,
        { sentAt, amount: 1, items: [{ id: 1, trace: sentAt }], ...more },
        { headers: { 'api-version': version, 'user-agent': `agent ${sentAt}` } },
      )
    const first = await post(1, '2024-01-01')
    assertReplay(first, await post(2, '2024-01-01'))
    assertProblem(await post(1, '2025-01-01'), 422, 'mismatch')
    assertProblem(await post(1, '2024-01-01', { amount: 2 }), 422, 'mismatch')
    assert.equal(app.runs, 1)
  },

  'R24: the fingerprint is keyed with the newest secret, and older ones stay readable': async (world) => {
    const [older, newer] = [
      { id: 1, key: 'the first secret of this suite' },
      { id: 2, key: 'the second secret of this suite' },
    ] as const
    const key = freshKey()
    const before = await world.start({ secrets: [older] })
    const first = await before.post(key)
    const { record } = await before.until('completed')
    const stored = await world.harness.store.read(fromHex(record))
    assert.equal(stored?.fingerprint.keyId, 1)
    assert.equal(stored?.fingerprint.digest.length, 32)
    const after = await world.start({ secrets: [newer, older] })
    assertReplay(first, await after.post(key))
    assertProblem(await after.post(key, { amount: 2 }), 422, 'mismatch')
    assert.equal(after.runs, 0)
  },

  'R25: a body over the limit is refused before anything runs': async (world) => {
    const app = await world.start({ limits: { bodyBytesMax: 100 } })
    const key = freshKey()
    assertProblem(await app.post(key, { text: 'x'.repeat(100) }), 413, 'body-too-large')
    assert.equal((await world.harness.store.stats()).records, 0)
    assert.equal((await app.post(key, { text: 'x'.repeat(80) })).status, 201)
    assert.equal(app.runs, 1)
  },

  'R26: a compressed and a plain retry are the same request': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const plain = JSON.stringify({ amount: 1, text: 'x'.repeat(50) })
    const first = await app.post(key, plain)
    for (const [coding, bytes] of [
      ['gzip', gzipSync(plain)],
      ['deflate', deflateSync(plain)],
      ['br', brotliCompressSync(plain)],
    ] as const) {
      assertReplay(first, await app.post(key, bytes, { headers: { 'content-encoding': coding } }))
    }
    assert.equal(app.runs, 1)
  },

  'R26: decompression is bounded, and what cannot be undone is refused': async (world) => {
    const app = await world.start({ limits: { bodyBytesMax: 1_000 } })
    const text = { 'content-type': 'text/plain' }
    const post = (coding: string, bytes: Uint8Array) => app.post(freshKey(), bytes, { headers: { ...text, 'content-encoding': coding } })
    assertProblem(await post('gzip', gzipSync('x'.repeat(100_000))), 413, 'body-too-large')
    assertProblem(await post('gzip', Buffer.from('not gzip')), 400, 'body-malformed')
    const unknown = await post('x-unknown', Buffer.from('bytes'))
    assertProblem(unknown, 415, 'coding-unsupported')
    assert.match(unknown.header('accept-encoding') ?? '', /gzip/)
    assert.equal(app.runs, 0)
  },
}
