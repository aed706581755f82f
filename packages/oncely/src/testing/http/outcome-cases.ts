import assert from 'node:assert/strict'
import { reject, reply } from '../../http/index.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'
import { refusing } from './scope-cases.ts'

/** Which answers are outcomes, and what is published about all of it. */
export const outcomeCases: HttpCases = {
  'R41: what is refused before the claim is not stored and uses no key up': async (world) => {
    let turnAway: number | undefined
    const app = await world.start({
      operation: { input: refusing('wrong') },
      caller: {
        before: (_request, response, next) => {
          if (turnAway === undefined) return next()
          response.statusCode = turnAway
          response.end()
        },
      },
    })
    const key = freshKey()
    for (const status of [401, 403, 408, 425, 429]) {
      turnAway = status
      assert.equal((await app.post(key)).status, status)
    }
    turnAway = undefined
    const invalid = assertProblem(await app.post(key, { wrong: 1 }), 400, 'input-invalid')
    assert.deepEqual(invalid['issues'], ['/wrong: is not allowed'])
    assertProblem(await app.post(key, '{"broken'), 400, 'body-malformed')
    assert.equal((await world.harness.store.stats()).records, 0)
    assert.equal((await app.post(key, { right: 1 })).status, 201)
    assert.equal(app.runs, 1)
  },

  'R42: a failure before any effect leaves the key free': async (world) => {
    const answers = [
      () => reply(503, 'try later'),
      () => reply(429),
      () => {
        throw reject(425, 'too early')
      },
      () => {
        throw new Error('a bug')
      },
      () => reply(201, 'at last'),
    ]
    const begin = world.bind === 'lease' ? ({ begin: 'explicit' } as const) : {}
    const app = await world.start({ operation: begin, handler: ({ attempt }) => (answers[app.runs - 1] ?? (() => reply(599, attempt)))() })
    const key = freshKey()
    for (const status of [503, 429, 425, 500, 201]) {
      const answer = await app.post(key)
      assert.equal(answer.status, status)
      assert.equal(answer.header('idempotent-replayed'), undefined)
    }
    assert.equal((await app.post(key)).header('idempotent-replayed'), 'true')
    assert.equal(app.runs, answers.length)
  },

  'R42: a route says what its statuses mean': async (world) => {
    const app = await world.start({
      http: { outcomes: { 409: 'not-applied', 503: 'complete' } },
      handler: ({ input }) => reply(Number(input)),
    })
    const [stored, freed] = [freshKey(), freshKey()]
    assertReplay(await app.post(stored, 503), await app.post(stored, 503))
    assert.equal((await app.post(freed, 409)).status, 409)
    assert.equal((await app.post(freed, 409)).header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 3)
    await assert.rejects(world.start({ http: { outcomes: { 99: 'complete' } } }), { code: 'ONCELY_CONFIGURATION' })
    await assert.rejects(world.start({ http: { outcomes: { 500: 'maybe' as never } } }), { code: 'ONCELY_CONFIGURATION' })
  },

  'R44: every problem tells whether a repeat can help, and under which key': async (world) => {
    const app = await world.start()
    const missing = assertProblem(await app.post(undefined), 400, 'key-missing')
    assert.deepEqual([missing['retryable'], missing['same_key'], missing['safe_new_key']], [false, false, true])
    const key = freshKey()
    await app.post(key)
    const mismatch = assertProblem(await app.post(key, {}), 422, 'mismatch')
    assert.deepEqual([mismatch['retryable'], mismatch['same_key'], mismatch['safe_new_key']], [false, false, false])
    assert.match(String(mismatch['record']), /^[0-9a-f]{12}$/)
    await assert.rejects(world.start({ http: { problemBase: 'problems' } }), { code: 'ONCELY_CONFIGURATION' })
  },

  'R44: the problems of a route live under its own base': async (world) => {
    const app = await world.start({ http: { problemBase: 'https://api.example.com/problems/' } })
    const { type } = assertProblem(await app.post(undefined), 400, 'key-missing')
    assert.equal(type, 'https://api.example.com/problems/key-missing')
  },

  'R55: the published document says what runs': async (world) => {
    const app = await world.start({
      policy: { onConcurrent: 'wait', wait: '3s', retention: '30h' },
      limits: { keyBytesMax: 64, bodyBytesMax: 5_000 },
      operation: { exclude: ['/sentAt'] },
      http: { keySyntax: 'strict', fingerprintHeaders: ['API-Version'], replayHeaders: ['X-State'], outcomes: { 409: 'failed' } },
    })
    const answer = await app.send({ method: 'GET', path: '/.well-known/idempotency' })
    assert.equal(answer.status, 200)
    assert.match(answer.header('content-type') ?? '', /^application\/json/)
    const { key, fingerprint, operations } = answer.json() as Record<string, Record<string, unknown> & Record<string, unknown>[]>
    assert.deepEqual([key?.['header'], key?.['bytes_min'], key?.['bytes_max']], ['Idempotency-Key', 1, 64])
    assert.equal(fingerprint?.['body_bytes_max'], 5_000)
    const operation = operations?.[0] as Record<string, unknown>
    assert.deepEqual(
      [
        operation['name'],
        operation['bind'],
        operation['key'],
        operation['retention_seconds'],
        operation['fingerprint_excludes'],
        operation['in_flight'],
      ],
      ['create-payment', world.bind, 'required', 108_000, ['/sentAt'], { answer: 'wait', wait_seconds: 3, otherwise: 409 }],
    )
    const [route = {}] = operation['routes'] as Record<string, unknown>[]
    assert.deepEqual([route['key_syntax'], route['fingerprint_headers']], ['strict', ['api-version']])
    assert.ok((route['replay_headers'] as string[]).includes('x-state'))
    assert.equal((route['outcomes'] as Record<string, string>)['409'], 'failed')
    // Each promise of the document, kept.
    const post = (value: string) => app.post(value, {}, { headers: { 'api-version': '1' } })
    assertProblem(await post('bare'), 400, 'key-malformed')
    assertProblem(await post(`"${'k'.repeat(65)}"`), 400, 'key-malformed')
    assert.equal((await post(`"${'k'.repeat(64)}"`)).status, 201)
    const types = (answer.json()['problems'] as { type: string }[]).map(({ type }) => type)
    assert.ok(types.includes(String(assertProblem(await app.post(undefined), 400, 'key-missing')['type'])))
  },
}
