import { Validator } from '@seriousme/openapi-schema-validator'
import { createOncely } from 'oncely'
import { HttpRoute, openApi, problemKinds, specification } from 'oncely/http'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'

const policy = ['standard', { survives: 'nothing' }] as const

function running() {
  const oncely = createOncely({ namespace: 'open-api', store: memoryStore() })
  const pay = oncely.operation('pay', { policy, bind: 'lease' })
  oncely.operation('ping', { policy: 'telemetry', bind: 'lease', phase: 'optional' })
  oncely.operation('watched', { policy, bind: 'lease', phase: 'observe' })
  new HttpRoute(pay, { problemBase: 'https://a.example/p/', fingerprintHeaders: ['API-Version'] })
  return oncely
}

const document = {
  openapi: '3.1.0',
  info: { title: 'Payments', version: '1' },
  paths: {
    '/payments': {
      summary: 'Payments',
      get: { operationId: 'listPayments', responses: { 200: { description: 'All.' } } },
      post: {
        operationId: 'createPayment',
        parameters: [
          { name: 'idempotency-key', in: 'header', schema: { type: 'string' } },
          { name: 'dry', in: 'query', schema: { type: 'boolean' } },
        ],
        responses: {
          201: { description: 'Created.', headers: { Location: { schema: { type: 'string' } } } },
          400: { description: 'Wrong.', content: { 'application/json': { schema: { type: 'object' } } } },
          409: { $ref: '#/components/responses/Conflict' },
        },
      },
    },
    '/pings': { post: { operationId: 'ping', responses: { 204: { $ref: '#/components/responses/Done' } } } },
    '/watched': { put: { operationId: 'watch', responses: { 200: { description: 'Done.' } } } },
  },
  components: {
    schemas: { Payment: { type: 'object' } },
    responses: { Conflict: { description: 'Conflict.' }, Done: { description: 'Done.' } },
  },
} as const

const names = { createPayment: 'pay', ping: 'ping', watch: 'watched' }

interface Described {
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[]
  readonly responses: Readonly<
    Record<
      string,
      { description?: string; $ref?: string; headers?: Record<string, unknown>; content?: Record<string, { schema: unknown }> }
    >
  >
  readonly 'x-idempotency': unknown
}

describe('an OpenAPI document', () => {
  const oncely = running()
  const described = openApi(document, oncely, names)
  const operation = (path: string, method: string) =>
    (described.paths as unknown as Record<string, Record<string, Described>>)[path]?.[method] as Described
  const pay = operation('/payments', 'post')
  const ping = operation('/pings', 'post')

  test('is valid OpenAPI 3.1 before and after', async () => {
    for (const each of [document, described]) {
      const { valid, errors } = await new Validator().validate(structuredClone(each) as never)
      expect(errors).toBeUndefined()
      expect(valid).toBe(true)
    }
    const broken = { ...structuredClone(described), info: undefined } as never
    expect((await new Validator().validate(JSON.parse(JSON.stringify(broken)) as never)).valid).toBe(false)
  })

  test('equals the running configuration', () => {
    const published = specification(oncely).operations
    const watched = operation('/watched', 'put')
    expect([pay, ping, watched].map((each) => each['x-idempotency'])).toEqual(published)
    expect(published[0]?.routes[0]).toMatchObject({ problem_base: 'https://a.example/p/', fingerprint_headers: ['api-version'] })
    const key = (each: Described) => each.parameters.filter(({ name }) => name.toLowerCase() === 'idempotency-key')
    expect([pay, ping, watched].map((each) => key(each).map(({ required }) => required))).toEqual([[true], [false], [false]])
    expect(published.map((each) => each.key)).toEqual(['required', 'optional', 'observed'])
  })

  test('names every problem that the operation can answer, under its status', () => {
    const typesOf = (each: Described): string[] =>
      Object.entries(each.responses).flatMap(([status, { content }]) => {
        const schema = content?.['application/problem+json']?.schema as
          | { allOf: [unknown, { properties: { type: { enum: string[] } } }] }
          | undefined
        return (schema?.allOf[1].properties.type.enum ?? []).map((type) => `${status} ${type}`)
      })
    const expected = (base: string, without: readonly string[], statuses: readonly number[] = []): string[] =>
      Object.entries(problemKinds)
        .filter(([name, { status }]) => !without.includes(name) && !statuses.includes(status))
        .map(([name, { status }]) => `${status} ${base}${name}`)
    // The document's own 409 is a reference, and is left alone.
    expect(typesOf(pay).sort()).toEqual(expected('https://a.example/p/', ['input-invalid', 'signature-invalid'], [409]).sort())
    expect(typesOf(ping).sort()).toEqual(
      expected('https://oncely.dev/problems/', ['key-missing', 'input-invalid', 'signature-invalid']).sort(),
    )
    expect(typesOf(operation('/watched', 'put'))).toEqual([])
    expect(pay.responses['409']).toEqual({ $ref: '#/components/responses/Conflict' })
    expect(ping.responses['409']?.headers).toHaveProperty('Retry-After')
    expect(ping.responses['422']?.headers).toBeUndefined()
  })

  test('keeps what it said already, and is not changed itself', () => {
    expect(pay.responses['201']?.headers).toEqual({ Location: expect.anything(), 'Idempotent-Replayed': expect.anything() })
    expect(pay.responses['400']).toMatchObject({ description: 'Wrong.', content: { 'application/json': { schema: { type: 'object' } } } })
    expect(ping.responses['204']).toEqual({ $ref: '#/components/responses/Done' })
    expect(pay.parameters.map(({ name }) => name)).toEqual(['dry', 'Idempotency-Key'])
    expect(operation('/payments', 'get')).toBe(document.paths['/payments'].get)
    expect(described.components.schemas).toMatchObject({ Payment: { type: 'object' }, IdempotencyProblem: { type: 'object' } })
    expect(JSON.stringify(document)).not.toContain('IdempotencyProblem')
  })

  test('is refused where it would not say what runs', () => {
    const wrong = [
      [{ ...document, openapi: '3.0.3' }, names, /must be of 3\.1/],
      [document, { createPayment: 'refund' }, /"refund", which is not declared/],
      [document, { refund: 'pay' }, /operationId "refund"/],
      [document, { listPayments: 'pay' }, /GET \/payments, which is safe/],
      [{ openapi: '3.1.0' }, names, /operationId "createPayment"/],
    ] as const
    for (const [each, operations, message] of wrong)
      expect(() => openApi(each, oncely, operations)).toThrow(
        expect.objectContaining({ code: 'ONCELY_CONFIGURATION', message: expect.stringMatching(message) }),
      )
  })
})
