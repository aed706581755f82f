import { createOncely } from 'oncely'
import { HttpRoute, problemKinds, specification, specificationPath } from 'oncely/http'
import { memoryStore } from 'oncely/store/memory'
import { expect, test } from 'vitest'

test('the published document equals the running configuration', () => {
  const limits = { keyBytesMin: 8, keyBytesMax: 64, bodyBytesMax: 5_000, responseBytesMax: 7_000, jsonDepthMax: 9 }
  const oncely = createOncely({ namespace: 'spec', store: memoryStore(), limits })
  const pay = oncely.operation('pay', {
    policy: ['standard', { survives: 'nothing', retention: '30h', tombstone: '80h', onConcurrent: 'wait', wait: '3s' }],
    bind: 'lease',
    exclude: ['/sentAt'],
    keyspace: 'operation',
  })
  oncely.operation('ping', { policy: 'telemetry', bind: 'lease', phase: 'observe', store: 'nothing' })
  oncely.operation('maybe', { policy: 'financial', bind: 'lease', phase: 'optional' })
  const route = new HttpRoute(pay, {
    keySyntax: 'strict',
    keyField: '/meta/key',
    methods: ['post'],
    fingerprintHeaders: ['API-Version'],
    replayHeaders: ['X-State'],
    outcomes: { 409: 'not-applied', 429: 'complete' },
    problemBase: 'https://a.example/p/',
  })
  const other = new HttpRoute(pay, {})
  const document = specification(oncely, { problemBase: 'https://a.example/p/' })
  const { key, fingerprint, replay, operations, problems } = document
  expect([key.bytes_min, key.bytes_max, fingerprint.body_bytes_max, fingerprint.json_depth_max, replay.response_bytes_max]).toEqual([
    8, 64, 5_000, 9, 7_000,
  ])
  expect(operations.map(({ name }) => name)).toEqual(oncely.operations.map(({ name }) => name))
  for (const [nth, { policy, keyspace, store, exclude, bind }] of oncely.operations.entries()) {
    expect(operations[nth]).toMatchObject({
      bind,
      keyspace,
      policy: policy.name,
      retention_seconds: policy.retentionMs / 1_000,
      tombstone_seconds: policy.tombstoneMs / 1_000,
      fingerprint_excludes: exclude,
      replay_to: policy.replayTo,
      stores: store,
      lost_lease: policy.onLostLease,
      store_down: policy.onStoreDown,
      unrecorded: policy.onUnrecorded,
    })
  }
  expect(operations.map((operation) => [operation.key, operation.in_flight])).toEqual([
    ['required', { answer: 'wait', wait_seconds: 3, otherwise: 409 }],
    ['observed', { answer: 409 }],
    ['optional', { answer: 409 }],
  ])
  expect(operations[0]?.routes).toEqual([
    {
      methods: ['POST'],
      key_syntax: 'strict',
      key_field: '/meta/key',
      fingerprint_headers: ['api-version'],
      replay_headers: [...route.storedHeaderNames],
      outcomes: { 401: 'failed', 403: 'failed', 408: 'failed', 409: 'not-applied', 425: 'failed', 429: 'complete' },
      problem_base: 'https://a.example/p/',
    },
    expect.objectContaining({ methods: 'all but safe', key_syntax: 'lenient', problem_base: 'https://oncely.dev/problems/' }),
  ])
  for (const [status, outcome] of Object.entries(operations[0]?.routes[0]?.outcomes ?? {}))
    expect(route.judge(Number(status))).toBe(outcome)
  for (const [status, outcome] of Object.entries(operations[0]?.routes[1]?.outcomes ?? {}))
    expect(other.judge(Number(status))).toBe(outcome)
  expect(problems.map(({ type, status }) => [type, status])).toEqual(
    Object.entries(problemKinds).map(([name, { status }]) => [`https://a.example/p/${name}`, status]),
  )
  expect(operations[1]?.routes).toEqual([])
  expect(JSON.parse(JSON.stringify(document))).toEqual(document)
  expect(specification(oncely).problems[0]?.type).toBe('https://oncely.dev/problems/key-missing')
  expect(specificationPath).toBe('/.well-known/idempotency')
})

test('a route that would not do what it says is refused', () => {
  const operation = createOncely({ namespace: 'spec', store: memoryStore() }).operation('pay', { policy: 'telemetry', bind: 'lease' })
  const wrong = [
    [{ methods: ['GET'] }, /methods names GET/],
    [{ problemBase: 'https://a.example/p' }, /ends with a slash/],
    [{ problemBase: '/p/' }, /absolute URL/],
    [{ keyField: 'key' }, /keyField is "key"/],
    [{ keyField: '/' }, /keyField is "\/"/],
    [{ outcomes: { 600: 'complete' } }, /outcomes has 600/],
    [{ outcomes: { 200: 'perhaps' } }, /outcomes has 200: "perhaps"/],
    [{ replayHeaders: ['Set-Cookie'] }, /never stored/],
  ] as const
  for (const [options, message] of wrong)
    expect(() => new HttpRoute(operation, options as never)).toThrow(
      expect.objectContaining({ code: 'ONCELY_CONFIGURATION', message: expect.stringMatching(message) }),
    )
})
