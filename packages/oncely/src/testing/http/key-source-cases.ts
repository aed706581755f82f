import assert from 'node:assert/strict'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

/** A retry way that fits a window of ten minutes. */
const tenMinutes = { retryHorizon: '5m', backoffCeiling: '1m', partitionRecovery: '2m', brokerRedelivery: '2m' } as const

/** Keys that do not come in the header. */
export const keySourceCases: HttpCases = {
  'R63: a key in a declared field of the body counts as one in the header does': async (world) => {
    const app = await world.start({ http: { keyField: '/meta/request_id' }, limits: { keyBytesMax: 64 } })
    const key = freshKey()
    const body = { amount: 100, meta: { request_id: key } }
    const first = await app.post(undefined, body)
    assert.equal(first.status, 201, first.body.toString('utf8'))
    assertReplay(first, await app.post(undefined, body))
    assertReplay(first, await app.post(key, body))
    assertProblem(await app.post(undefined, { ...body, amount: 7 }), 422, 'mismatch')
    assert.equal((await app.oncely.read(app.oncely.recordId({ principal: 'account-1', key })))?.state, 'completed')
    assert.equal(app.runs, 1)
  },

  'R63: a field that holds no key is refused as a header would be, and a key in both places must be one': async (world) => {
    const app = await world.start({ http: { keyField: '/request_id' }, limits: { keyBytesMax: 64 } })
    assert.match(String(assertProblem(await app.post(undefined), 400, 'key-missing')['detail']), /\/request_id/)
    assertProblem(await app.post(undefined, '[1]'), 400, 'key-missing')
    for (const request_id of ['', 5, null, 'a'.repeat(65), 'a\nb'])
      assertProblem(await app.post(undefined, { request_id }), 400, 'key-malformed')
    assertProblem(await app.post('one', { request_id: 'another' }), 400, 'key-malformed')
    assertProblem(await app.post(['one', 'one'], { request_id: 'one' }), 400, 'key-malformed')
    assert.equal(app.runs, 0)
    assert.equal((await world.harness.store.stats()).records, 0)
    assert.equal((await app.post(freshKey())).status, 201)
  },

  'R63: where the payload stands in for a key, an identical one within the window is a duplicate': async (world) => {
    const app = await world.start({
      operation: { payloadKey: { window: '10m' } },
      policy: tenMinutes,
      limits: { recentOutcomesMax: 0 },
    })
    const first = await app.post(undefined, { order: 1 })
    assert.equal(first.status, 201, first.body.toString('utf8'))
    assertReplay(first, await app.post(undefined, '{ "order": 1 }'))
    assert.equal((await app.post(undefined, { order: 2 })).header('idempotent-replayed'), undefined)
    assert.equal(
      (await app.post(undefined, { order: 1 }, { headers: { 'x-account': 'account-2' } })).header('idempotent-replayed'),
      undefined,
    )
    // A key that is sent is an intent of its own.
    assert.equal((await app.post(freshKey(), { order: 1 })).header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 4)
    await world.harness.advance(10 * 60_000 + 1)
    const later = await app.post(undefined, { order: 1 })
    assert.equal(later.status, 201, later.body.toString('utf8'))
    assert.equal(later.header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 5)
  },

  'R63: two equal payments are two, so a financial operation takes no payload for a key': async (world) => {
    await assert.rejects(world.start({ preset: 'financial', operation: { payloadKey: { window: '90d' } } }), {
      code: 'ONCELY_CONFIGURATION',
      message: /financial/,
    })
  },
}
