import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { StoreUnavailable } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { claimsDocument } from '../../src/claims/claims-document.ts'
import { RateLimit } from '../../src/claims/rate-limit.ts'
import { oncely } from '../command/command-line.ts'
import { audience, issuer, KeyServer } from '../identity/key-server.ts'
import { claimOf, claimsApi } from './claims-client.ts'

describe('the life of a claim', () => {
  test('claim, begin, renew, complete; a retry gets the outcome, and the state can be read', async () => {
    const { send } = await claimsApi()
    const claim = claimOf({ begin: 'explicit', leaseMs: 10_000 })
    expect((await send('read', { key: 'key-1' })).body).toMatchObject({ status: 404, word: 'absent' })
    const first = await send('claim', claim)
    expect([first.status, first.body]).toMatchObject([
      201,
      { word: 'acquired', attempt: 1, begun: false, takeover: false, leaseMs: 10_000 },
    ])
    const owned = { key: 'key-1', token: first.body.token, attemptId: claim.attemptId }
    expect((await send('claim', claim)).body).toEqual(first.body)
    const running = await send('claim', claimOf())
    expect([running.status, running.body.word, running.body.same_key]).toEqual([409, 'in-progress', true])
    expect(Number(running.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect((await send('claim', claimOf({ payload: { amount: 2 } }))).body).toMatchObject({ status: 422, word: 'mismatch' })
    expect((await send('claim', claimOf({ operation: 'refund' }))).body).toMatchObject({ status: 422, word: 'mismatch' })
    expect(await send('begin', owned)).toMatchObject({ status: 200, body: { word: 'done', leaseMs: 30_000 } })
    expect(await send('renew', { ...owned, leaseMs: 20_000 })).toMatchObject({ status: 200, body: { word: 'done', leaseMs: 20_000 } })
    expect((await send('read', { key: 'key-1' })).body).toMatchObject({
      word: 'found',
      state: 'running',
      begun: true,
      token: first.body.token,
    })
    const outcome = { json: { id: 'pay_1', amount: 1.5, note: null } }
    expect(await send('complete', { ...owned, outcome })).toMatchObject({ status: 200, body: { word: 'done' } })
    expect(await send('complete', { ...owned, outcome })).toMatchObject({ status: 200 })
    expect((await send('complete', { ...owned, outcome: { json: 2 } })).body).toMatchObject({
      status: 409,
      word: 'outcome-conflict',
      code: 'ONCELY_OUTCOME_CONFLICT',
    })
    const replay = await send('claim', claimOf())
    expect([replay.status, replay.body]).toEqual([200, { word: 'replay', attempt: 1, outcome }])
    const read = await send('read', { key: 'key-1' })
    expect(read.body).toMatchObject({ state: 'completed', operation: 'create-payment', policy: 'standard*' })
    expect(JSON.stringify(read.body)).not.toContain('pay_1')
  })

  test('an outcome is JSON, bytes or nothing, and comes back as that', async () => {
    const { send } = await claimsApi()
    for (const outcome of [{ json: null }, { json: 'ü' }, { json: [0, false, ''] }, { base64: 'AP+A' }, { base64: '' }, {}]) {
      const key = JSON.stringify(outcome)
      const claim = claimOf({ key })
      const { token } = (await send('claim', claim)).body
      expect((await send('complete', { key, token, attemptId: claim.attemptId, outcome })).status, key).toBe(200)
      expect((await send('claim', claimOf({ key }))).body.outcome, key).toEqual(outcome)
    }
  })

  test('release frees a key that nothing began under; what began is sealed, and decided later', async () => {
    const { send } = await claimsApi({ policy: ['standard', { survives: 'nothing', effectTimeout: 0 }] })
    const claim = claimOf({ begin: 'explicit' })
    const first = (await send('claim', claim)).body
    const owned = { key: 'key-1', token: first.token, attemptId: claim.attemptId }
    expect((await send('release', { ...owned, reason: 'no stock' })).status).toBe(200)
    expect((await send('renew', owned)).body).toMatchObject({ status: 409, word: 'lease-lost', code: 'ONCELY_LEASE_LOST' })
    const next = claimOf()
    const second = (await send('claim', next)).body
    expect(second).toMatchObject({ word: 'acquired', begun: true, derivedKey: first.derivedKey })
    const held = { key: 'key-1', token: second.token, attemptId: next.attemptId }
    expect((await send('release', { ...held, reason: 'unsure' })).body).toMatchObject({ status: 409, word: 'begun' })
    expect((await send('seal', { ...held, reason: 'timed out' })).status).toBe(200)
    const doubt = (await send('claim', claimOf())).body
    expect(doubt).toMatchObject({ status: 409, word: 'uncertain', operation_state: 'uncertain', retryable: false, token: second.token })
    const verdict = { applied: true, outcome: { json: 'found' } }
    const decision = { key: 'key-1', expected: { state: 'uncertain', token: first.token }, verdict, by: 'ann', reason: 'ledger' }
    expect((await send('resolve', decision)).body).toMatchObject({ status: 409, word: 'changed' })
    expect((await send('resolve', { ...decision, expected: { state: 'uncertain', token: second.token } })).status).toBe(200)
    expect((await send('claim', claimOf())).body).toMatchObject({ word: 'replay', outcome: { json: 'found' } })
  })

  test('"not applied" is early while an effect can still arrive', async () => {
    const { send } = await claimsApi()
    const claim = claimOf()
    const { token } = (await send('claim', claim)).body
    await send('seal', { key: 'key-1', token, attemptId: claim.attemptId, reason: 'timed out' })
    const decision = { key: 'key-1', expected: { state: 'uncertain', token }, verdict: { applied: false }, by: 'ann', reason: 'ledger' }
    const answer = await send('resolve', decision)
    expect(answer.body).toMatchObject({ status: 409, word: 'early', retryable: true })
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(1)
  })

  test('100 racers: one acquires', async () => {
    const { send } = await claimsApi()
    const answers = await Promise.all(Array.from({ length: 100 }, () => send('claim', claimOf())))
    expect(answers.filter(({ status }) => status === 201).length).toBe(1)
    expect(new Set(answers.map(({ body }) => body.word))).toEqual(new Set(['acquired', 'in-progress']))
  })
})

describe('who may do what', () => {
  test('a token of another attempt, or an attempt of another token, writes nothing', async () => {
    const { send } = await claimsApi()
    const claim = claimOf()
    const { token } = (await send('claim', claim)).body
    const [epoch, seq] = String(token).split(':')
    for (const forged of [
      { token, attemptId: randomUUID() },
      { token: `${epoch}:${Number(seq) + 1}`, attemptId: claim.attemptId },
      { token: `${Number(epoch) + 1}:${seq}`, attemptId: claim.attemptId },
    ]) {
      for (const [step, more] of [
        ['renew', {}],
        ['begin', {}],
        ['complete', { outcome: { json: 'forged' } }],
        ['release', { reason: 'r', declared: true }],
        ['seal', { reason: 'r' }],
      ] as const) {
        expect((await send(step, { key: 'key-1', ...forged, ...more })).body).toMatchObject({ status: 409, word: 'lease-lost' })
      }
    }
    expect((await send('complete', { key: 'key-1', token, attemptId: claim.attemptId, outcome: {} })).status).toBe(200)
  })

  test('another service, or another principal of the same, has its own keys and reads none of the first', async () => {
    const { send } = await claimsApi()
    const claim = claimOf({ principal: 'acme' })
    const { token } = (await send('claim', claim)).body
    const owned = { key: 'key-1', token, attemptId: claim.attemptId, outcome: { json: 'secret' } }
    const strangers = [
      [{}, {}],
      [{ principal: 'other' }, {}],
      [{ principal: 'acme' }, { 'x-service': 'billing' }],
      [{}, { 'x-service': '["orders","acme"]' }],
      [{}, { 'x-service': 'orders","acme' }],
    ] as const
    for (const [more, headers] of strangers) {
      expect((await send('read', { key: 'key-1', ...more }, headers)).status).toBe(404)
      expect((await send('complete', { ...owned, ...more }, headers)).body.word).toBe('lease-lost')
    }
    for (const [more, headers] of strangers) expect((await send('claim', claimOf(more), headers)).status).toBe(201)
    expect((await send('complete', { ...owned, principal: 'acme' })).status).toBe(200)
  })

  test('an API key or a token names the service; without one nothing is answered, and guesses are slowed down', async () => {
    const sha256 = createHash('sha256').update('key-of-orders').digest('hex')
    const api = await claimsApi({ principal: 'api-key', apiKeys: [{ principal: 'orders', sha256 }] })
    expect((await api.send('claim', claimOf(), { authorization: 'Bearer key-of-orders' })).status).toBe(201)
    const refused = await api.send('claim', claimOf(), { authorization: 'Bearer guess' })
    expect(refused.body).toMatchObject({ status: 401, code: 'ONCELY_PRINCIPAL_MISSING' })
    expect(refused.headers.get('www-authenticate')).toBe('Bearer')
    const guesses = await Promise.all(Array.from({ length: 40 }, () => api.send('read', { key: 'k' }, { authorization: 'Bearer guess' })))
    expect(guesses.filter(({ status }) => status === 429).length).toBeGreaterThan(10)
    expect((await api.send('read', { key: 'key-1' }, { authorization: 'Bearer key-of-orders' })).status).toBe(200)

    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const tokens = await claimsApi({ principal: 'jwt', jwt: { jwks: keys.url, issuer, audience } })
    const bearer = async (claims: object) => ({ authorization: `Bearer ${await sign(claims)}` })
    expect((await tokens.send('claim', claimOf(), await bearer({}))).status).toBe(201)
    expect((await tokens.send('claim', claimOf(), await bearer({ exp: 1 }))).status).toBe(401)
    expect((await tokens.send('claim', claimOf(), await bearer({ sub: 'other' }))).status).toBe(201)
  })

  test('each caller has its own limit of requests: 429 and Retry-After beyond it', async () => {
    const { send } = await claimsApi({ rate: 1, burst: 5 })
    const answers = await Promise.all(Array.from({ length: 10 }, (_, nth) => send('claim', claimOf({ key: `key-${nth}` }))))
    const limited = answers.filter(({ status }) => status === 429)
    expect(limited.length).toBe(5)
    expect(limited[0]?.body).toMatchObject({ type: 'https://oncely.dev/problems/rate-limited', retryable: true, same_key: true })
    expect(limited[0]?.headers.get('retry-after')).toMatch(/^[1-9]/)
    expect((await send('claim', claimOf(), { 'x-service': 'billing' })).status).toBe(201)
  })

  test('a limit fills again, up to its burst, and forgets who was silent for longest', () => {
    let nowMs = 0
    const limit = new RateLimit({ perSecond: 2, burst: 3, nowMs: () => nowMs })
    expect([1, 2, 3, 4].map(() => limit.take('a'))).toEqual([0, 0, 0, 500])
    nowMs = 250
    expect(limit.take('a')).toBe(250)
    nowMs = 500
    expect(limit.take('a')).toBe(0)
    nowMs = 1_000_000
    expect([1, 2, 3, 4].map(() => limit.take('a'))).toEqual([0, 0, 0, 500])
    for (let nth = 0; nth < 10_000; nth++) limit.take(`caller-${nth}`)
    expect(limit.take('a')).toBe(0)
  })
})

describe('what does not fit is refused, by its place and never by its value', () => {
  test.each([
    ['no JSON', '{"key"', 'ONCELY_INVALID_INPUT'],
    [
      'a number that would not be kept',
      JSON.stringify(claimOf()).replace('"amount":1', '"amount":9007199254740993'),
      'ONCELY_INVALID_INPUT',
    ],
    ['a member twice', `{"key":"a",${JSON.stringify(claimOf()).slice(1)}`, 'ONCELY_INVALID_INPUT'],
    ['a member that is unknown', claimOf({ colour: 'red' }), 'ONCELY_INVALID_INPUT'],
    ['no attempt', claimOf({ attemptId: undefined }), 'ONCELY_INVALID_INPUT'],
    ['a lease beyond its bound', claimOf({ leaseMs: 999 }), 'ONCELY_INVALID_INPUT'],
    ['a lease that outlasts the answer', claimOf({ leaseMs: 86_400_000 }), 'ONCELY_INVALID_INPUT'],
    ['a key with a control character', claimOf({ key: 'a\u0000b' }), 'ONCELY_KEY_INVALID'],
    ['a key that is too long in bytes', claimOf({ key: 'ü'.repeat(200) }), 'ONCELY_KEY_INVALID'],
  ])('%s', async (_, body, code) => {
    const { send } = await claimsApi()
    const answer = await send('claim', body)
    expect(answer.body).toMatchObject({ status: 400, code, retryable: false })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(JSON.stringify(answer.body)).not.toContain('red')
    expect((await send('read', { key: 'key-1' })).status).toBe(404)
  })

  test('other paths, methods, media types, codings and sizes', async () => {
    const { url, send } = await claimsApi({}, { limits: { bodyBytesMax: 1_000 } })
    const status = async (path: string, init: RequestInit) => (await fetch(url + path, init)).status
    expect(await status('/v1/claims/steal', { method: 'POST' })).toBe(404)
    expect(await status('/v1/claims/__proto__', { method: 'POST' })).toBe(404)
    expect(await status('/v1/claims/constructor', { method: 'POST' })).toBe(404)
    expect(await status('/v1/claims', { method: 'GET' })).toBe(405)
    expect((await send('claim', claimOf(), { 'content-type': 'text/plain' })).status).toBe(415)
    expect((await send('claim', claimOf(), { 'content-encoding': 'gzip' })).status).toBe(415)
    expect((await send('claim', claimOf(), { 'content-type': 'application/json; charset=latin1' })).status).toBe(415)
    expect((await send('claim', claimOf(), { 'content-type': 'application/json;charset=UTF-8' })).status).toBe(201)
    expect((await send('claim', claimOf({ payload: 'x'.repeat(2_000) }))).status).toBe(413)
    expect((await send('read', { key: 'key-1' })).status).toBe(200)
  })

  test('a value that would not come back equal is not stored, and the claim stays', async () => {
    const { send } = await claimsApi()
    const claim = claimOf()
    const { token } = (await send('claim', claim)).body
    const text = JSON.stringify({ key: 'key-1', token, attemptId: claim.attemptId, outcome: { json: 1 } })
    const answer = await send('complete', text.replace('{"json":1}', '{"json":{"__proto__":1}}'))
    expect(answer.body).toMatchObject({ status: 400, code: 'ONCELY_VALUE_NOT_STORABLE' })
    expect((await send('complete', text)).status).toBe(200)
  })

  test('what is no HTTP ends that connection, and nothing else', async () => {
    const { url, send } = await claimsApi()
    const { port } = new URL(url)
    const said = await new Promise<string>((resolve) => {
      let text = ''
      const socket = connect(Number(port), '127.0.0.1', () => socket.write('\u0000\u0001 nonsense\r\n\r\n'))
      socket.on('data', (chunk) => (text += String(chunk)))
      socket.on('close', () => resolve(text))
    })
    expect(said).toMatch(/^HTTP\/1\.1 400 /)
    expect((await send('claim', claimOf())).status).toBe(201)
  })
})

describe('the server', () => {
  test('answers 503 while the store is away, and the same attempt may be repeated', async () => {
    const store = memoryStore()
    const { claim } = store
    let away = true
    store.claim = async (request) => {
      if (away) throw new StoreUnavailable('away', { applied: 'no' })
      return claim.call(store, request)
    }
    const { send } = await claimsApi({}, { store })
    const body = claimOf()
    const answer = await send('claim', body)
    expect(answer.body).toMatchObject({ status: 503, code: 'ONCELY_STORE_UNAVAILABLE', retryable: true, same_key: true })
    expect(answer.headers.get('retry-after')).toBe('1')
    away = false
    expect((await send('claim', body)).status).toBe(201)
  })

  test('refuses to start without a caller, or with a policy that lets run while the store is down', async () => {
    await expect(claimsApi({ principal: undefined as never })).rejects.toThrow(/--principal/)
    await expect(claimsApi({ policy: 'telemetry' })).rejects.toThrow(/onStoreDown/)
    expect(oncely('claims')).toMatchObject({ code: 2, err: expect.stringContaining('ONCELY_CONFIGURATION') })
  })

  test('publishes an OpenAPI 3.1 document: valid, committed, printed and served alike', async () => {
    const { url } = await claimsApi()
    const document = claimsDocument()
    const served = await (await fetch(`${url}/v1/openapi.json`)).json()
    expect(served).toEqual(document)
    expect(JSON.parse(readFileSync(join(import.meta.dirname, '../../claims.openapi.json'), 'utf8'))).toEqual(document)
    expect(JSON.parse(oncely('schema', '--claims').out)).toEqual(document)
    const validator = new Validator()
    expect(await validator.validate(structuredClone(document) as never)).toMatchObject({ valid: true })
    expect(validator.version).toBe('3.1')
  })
})
