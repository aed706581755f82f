import { type HttpApiEvent, handle, type RestApiEvent, reject, reply, wellKnown } from 'oncely/adapter/lambda'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { instance, policy } from './adapter-instance.ts'
import { lambdaContext as context } from './lambda-application.ts'

const headers = { 'content-type': 'application/json', 'idempotency-key': 'k' }
const principal = () => 'account-1'

function httpApi(facts: Partial<HttpApiEvent> = {}): HttpApiEvent {
  return {
    version: '2.0',
    routeKey: 'POST /accounts/{id}/payments',
    rawPath: '/accounts/7/payments',
    rawQueryString: '',
    headers,
    pathParameters: { id: '7' },
    requestContext: { http: { method: 'POST' } },
    body: '{"a":1}',
    isBase64Encoded: false,
    ...facts,
  }
}

function restApi(facts: Partial<RestApiEvent> = {}): RestApiEvent {
  return {
    httpMethod: 'POST',
    resource: '/accounts/{id}/payments',
    path: '/accounts/7/payments',
    headers,
    multiValueHeaders: { 'Content-Type': ['application/json'], 'Idempotency-Key': ['k'] },
    pathParameters: { id: '7' },
    queryStringParameters: null,
    multiValueQueryStringParameters: null,
    body: '{"a":1}',
    isBase64Encoded: false,
    ...facts,
  }
}

function echo(limits = {}) {
  const operation = instance(memoryStore(), limits).operation('echo', { policy, bind: 'lease' })
  return handle(operation, { principal }, ({ input }) => reply(201, { input }))
}

describe('an event', () => {
  test('of either format is the same request in plain text and in base64', async () => {
    const invoke = echo()
    const encoded = { body: Buffer.from('{ "a": 1 }').toString('base64'), isBase64Encoded: true }
    const first = await invoke(httpApi(), context)
    expect(first).toMatchObject({ statusCode: 201, body: '{"input":{"a":1}}', isBase64Encoded: false, cookies: [] })
    expect(await invoke(httpApi(encoded), context)).toMatchObject({ body: first.body, headers: { 'idempotent-replayed': 'true' } })
    expect(await invoke(restApi(encoded), context)).toMatchObject({
      body: first.body,
      multiValueHeaders: { 'idempotent-replayed': ['true'] },
    })
  })

  test('without a body has none', async () => {
    const invoke = echo()
    const bodiless = httpApi({ headers: { 'idempotency-key': 'k' } })
    delete (bodiless as { body?: string }).body
    expect(await invoke(bodiless, context)).toMatchObject({ statusCode: 201, body: '{}' })
    const again = restApi({ body: null, multiValueHeaders: null, headers: { 'idempotency-key': 'k' } })
    expect(await invoke(again, context)).toMatchObject({ multiValueHeaders: { 'idempotent-replayed': ['true'] } })
  })

  test('names its place by the pattern, its parameters and its query', async () => {
    const invoke = echo()
    expect((await invoke(httpApi(), context)).statusCode).toBe(201)
    for (const facts of [{ pathParameters: { id: '8' } }, { rawQueryString: 'dry=1' }, { routeKey: '$default' }])
      expect((await invoke(httpApi(facts), context)).statusCode).toBe(422)
    for (const facts of [
      { pathParameters: null },
      { multiValueQueryStringParameters: { dry: ['1'] } },
      { queryStringParameters: { dry: '1' } },
      { resource: '/refunds' },
    ])
      expect((await invoke(restApi(facts), context)).statusCode).toBe(422)
  })

  test('has the same query in both formats', async () => {
    const invoke = echo()
    expect((await invoke(httpApi({ rawQueryString: 'a=1&a=2&b=x+y' }), context)).statusCode).toBe(201)
    const query = { multiValueQueryStringParameters: { a: ['1', '2'], b: ['x y'] } }
    expect(await invoke(restApi(query), context)).toMatchObject({ multiValueHeaders: { 'idempotent-replayed': ['true'] } })
  })

  test('with two keys is refused, joined or not', async () => {
    const invoke = echo()
    expect((await invoke(httpApi({ headers: { ...headers, 'idempotency-key': 'k,k' } }), context)).statusCode).toBe(400)
    expect((await invoke(restApi({ multiValueHeaders: { 'Idempotency-Key': ['k', 'k'] } }), context)).statusCode).toBe(400)
  })

  test('with a body over the limit is refused', async () => {
    const invoke = echo({ bodyBytesMax: 6 })
    expect((await invoke(httpApi(), context)).statusCode).toBe(413)
  })
})

describe('a result', () => {
  test('carries bytes in base64, again and again, and each cookie by itself', async () => {
    const bytes = new Uint8Array([0xef, 0xbb, 0xbf, 0xff, 0])
    const operation = instance().operation('echo', { policy, bind: 'lease' })
    const invoke = handle(operation, { principal }, () => reply(200, bytes, { 'set-cookie': ['a=1', 'b=2'], link: ['<a>', '<b>'] }))
    const expected = { body: Buffer.from(bytes).toString('base64'), isBase64Encoded: true }
    expect(await invoke(httpApi(), context)).toMatchObject({ ...expected, cookies: ['a=1', 'b=2'], headers: { link: '<a>, <b>' } })
    expect(await invoke(restApi(), context)).toMatchObject({ ...expected, multiValueHeaders: { link: ['<a>', '<b>'] } })
  })

  test('that is a refusal is recorded, and one that throws rejects', async () => {
    const oncely = instance()
    const refuse = handle(oncely.operation('refuse', { policy, bind: 'lease' }), { principal }, () => {
      throw reject(402, { code: 'declined' })
    })
    expect((await refuse(restApi(), context)).statusCode).toBe(402)
    expect(await refuse(restApi(), context)).toMatchObject({ statusCode: 402, multiValueHeaders: { 'idempotent-replayed': ['true'] } })
    const fail = handle(oncely.operation('fail', { policy, bind: 'lease' }), { principal }, () => Promise.reject(new Error('a bug')))
    await expect(fail(restApi({ multiValueHeaders: { 'idempotency-key': ['other'] } }), context)).rejects.toThrow('a bug')
  })
})

describe('an invocation', () => {
  test('with less time left than the lease runs nothing, and says what to change', async () => {
    const operation = instance().operation('echo', { policy: ['standard', { survives: 'nothing', lease: '10s' }], bind: 'lease' })
    let runs = 0
    const invoke = handle(operation, { principal }, (_context, _event, lambda) =>
      reply(200, { run: ++runs, left: lambda.getRemainingTimeInMillis() }),
    )
    await expect(invoke(httpApi(), { getRemainingTimeInMillis: () => 9_999 })).rejects.toMatchObject({
      code: 'ONCELY_CONFIGURATION',
      message: expect.stringMatching(/policy\.lease is 10s.* 9999 ms left/),
    })
    expect(runs).toBe(0)
    expect((await invoke(httpApi(), { getRemainingTimeInMillis: () => 10_000 })).body).toBe('{"run":1,"left":10000}')
  })

  test('ends after the counts of duplicates are written', async () => {
    const store = memoryStore()
    const counted: number[] = []
    const audited = Object.assign(store, {
      audit: async (counts: readonly { readonly count: number }[]) => void counted.push(...counts.map(({ count }) => count)),
    })
    const operation = instance(audited).operation('echo', { policy, bind: 'lease' })
    const invoke = handle(operation, { principal }, () => reply(200))
    await invoke(httpApi(), context)
    expect(counted).toEqual([])
    await invoke(httpApi(), context)
    expect(counted).toEqual([1])
  })
})

test('the document is a result of either format', async () => {
  const published = wellKnown(instance())
  expect(JSON.parse((await published(httpApi())).body)).toMatchObject({ key: { header: 'Idempotency-Key' } })
  expect((await published(restApi())).multiValueHeaders['content-type']).toEqual(['application/json; charset=utf-8'])
})
