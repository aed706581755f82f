import { createOncely, type OncelyEvent, type OperationOptions, Rejection, type ResolverVerdict } from 'oncely'
import {
  answerRequest,
  executeRequest,
  type HttpOptions,
  type HttpOutcome,
  type HttpResponse,
  HttpRoute,
  type HttpWork,
  type RequestFacts,
  type ReturningHandler,
  reject,
  reply,
  storedResponse,
} from 'oncely/http'
import { memoryStore } from 'oncely/store/memory'
import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { fromHex, recordId } from '../../src/core/index.ts'
import { answerOf } from '../../src/http/answer.ts'
import { nodeHasher } from '../../src/platform/index.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const bytesOf = (text: string) => ({ kind: 'bytes', bytes: new TextEncoder().encode(text) }) as const
const bodyOf = ({ body }: HttpResponse) => JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>
const headerOf = ({ headers }: HttpResponse, name: string) => headers.find(([candidate]) => candidate === name)?.[1]

function request(key: string | undefined, facts: Partial<RequestFacts> = {}): RequestFacts {
  return {
    method: 'POST',
    route: '/payments',
    headers: [...(key === undefined ? [] : ['Idempotency-Key', key]), 'Content-Type', 'application/json'],
    body: () => bytesOf('{"a":1}'),
    principal: () => 'account-1',
    ...facts,
  }
}

function setUp(operation: Partial<OperationOptions<unknown, unknown>> = {}, options: HttpOptions = {}) {
  const clock = new ManualClock()
  const store = memoryStore({ clock })
  const events: OncelyEvent[] = []
  const oncely = createOncely({ namespace: 'contract', store, events: (event) => void events.push(event) })
  const declared = oncely.operation('pay', { policy, bind: 'lease', ...operation } as OperationOptions<unknown, unknown, 'lease'>)
  const route = new HttpRoute(declared, options)
  const call = async (
    facts: RequestFacts,
    handler: ReturningHandler<never> = () => reply(201, 'ran'),
    onError?: (error: unknown) => HttpResponse | undefined,
  ) => answerRequest(route, facts, handler, onError)
  return { clock, store, events, oncely, declared, route, call }
}

describe('a request', () => {
  test('may resolve its caller and its body later', async () => {
    const { call } = setUp()
    const later = { principal: async () => 'account-1', body: async () => bytesOf('{"a":1}') }
    expect(headerOf(await call(request('k', later)), 'idempotency-status')).toBe('created')
    expect(headerOf(await call(request('k')), 'idempotency-status')).toBe('replayed')
  })

  test('is traced in the audit trail by its traceparent, or as the adapter says', async () => {
    const { call, events, oncely } = setUp()
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const traced = (key: string, line: string) => request(key, { headers: ['Idempotency-Key', key, 'traceparent', line] })
    await call(traced('a', `00-${traceId}-00f067aa0ba902b7-01`))
    await call(traced('b', 'not one'))
    await call(request('c', { traceId: 'own' }))
    const claimed = events.filter(({ type }) => type === 'claimed')
    const trails = await Promise.all(claimed.map(({ record }) => oncely.trail(fromHex(record))))
    expect(trails.map(([first]) => first?.traceId)).toEqual([traceId, '', 'own'])
  })

  test('of a caller that is unknown throws, after its key was looked at and before its body is', async () => {
    const { call } = setUp()
    const body = () => {
      throw new Error('read too early')
    }
    await expect(call(request('k', { principal: () => undefined, body }))).rejects.toMatchObject({ code: 'ONCELY_PRINCIPAL_MISSING' })
    expect((await call(request('"', { principal: () => undefined, body }))).status).toBe(400)
  })

  test('whose body is cut off, too large or not captured runs nothing', async () => {
    const { call, store } = setUp()
    expect(bodyOf(await call(request('k', { body: () => ({ kind: 'incomplete' }) })))).toMatchObject({ status: 400, reason: 'incomplete' })
    expect((await call(request('k', { body: () => ({ kind: 'too-large', bytesMax: 7 }) }))).status).toBe(413)
    await expect(call(request('k', { body: () => ({ kind: 'not-captured', fix: 'Do this.' }) }))).rejects.toMatchObject({
      code: 'ONCELY_BODY_NOT_CAPTURED',
      message: expect.stringContaining('Do this.'),
    })
    expect((await store.stats()).records).toBe(0)
  })

  test('is parsed for its handler only when the handler runs', async () => {
    const { call } = setUp()
    const inputs: unknown[] = []
    const keep: ReturningHandler<never> = (_context, _tx, input) => {
      inputs.push(input)
      return reply(200)
    }
    await call(request('k'), keep)
    await call(request('parsed', { parsed: { by: 'somebody' } }), keep)
    await call(request('text', { headers: ['idempotency-key', 'text'] }), keep)
    expect(inputs).toEqual([{ a: 1 }, { by: 'somebody' }, undefined])
  })

  test('that breaks off in its schema with something else than an issue throws that', async () => {
    const input = {
      '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new RangeError('a bug of the schema')) },
    } as const
    await expect(setUp({ input }).call(request('k'))).rejects.toThrow('a bug of the schema')
  })
})

describe('a request without a key', () => {
  const optional = { phase: 'optional' } as const

  test('is parsed, validated and bounded like any other', async () => {
    const input = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: unknown) => (value === undefined ? { issues: [{ message: 'is missing' }] } : { value }),
      },
    } as const
    const { call } = setUp({ ...optional, input })
    const echo: ReturningHandler<never> = (_context, _tx, value) => reply(200, value)
    expect(bodyOf(await call(request(undefined), echo))).toEqual({ a: 1 })
    expect(bodyOf(await call(request(undefined, { parsed: 7 }), echo))).toBe(7)
    expect(bodyOf(await call(request(undefined, { body: () => bytesOf('') }), echo))).toMatchObject({
      status: 400,
      issues: ['/: is missing'],
    })
    expect(bodyOf(await call(request(undefined, { body: () => bytesOf('{') }), echo))).toMatchObject({ status: 400, reason: 'syntax' })
    expect(bodyOf(await call(request(undefined, { body: () => ({ kind: 'incomplete' }) }), echo))).toMatchObject({
      status: 400,
      reason: 'incomplete',
    })
    expect((await call(request(undefined, { body: () => ({ kind: 'too-large', bytesMax: 1 }) }), echo)).status).toBe(413)
    const coded = request(undefined, { headers: ['content-encoding', 'x-unknown'] })
    expect((await call(coded, echo)).status).toBe(415)
  })

  test('whose body somebody else consumed is the handler’s to find', async () => {
    const { call } = setUp(optional)
    const answer = await call(request(undefined, { body: () => ({ kind: 'not-captured', fix: '' }) }), (_context, _tx, input) =>
      reply(200, input ?? 'nothing'),
    )
    expect(new TextDecoder().decode(answer.body)).toBe('nothing')
  })

  test('gets its refusals and its errors as they are', async () => {
    const { call } = setUp(optional)
    expect(await call(request(undefined), () => Promise.reject(reject(402, 'no')))).toEqual(reply(402, 'no'))
    await expect(call(request(undefined), () => Promise.reject(new Error('a bug')))).rejects.toThrow('a bug')
  })
})

describe('observing', () => {
  const observe = { phase: 'observe' } as const
  const observed = (events: readonly OncelyEvent[]) => events.flatMap(({ type, reason }) => (type === 'observed' ? [reason] : []))

  test('runs what it would have refused, and tells', async () => {
    const { call, events } = setUp(observe)
    const wouldBeRefused: Partial<RequestFacts>[] = [
      { principal: () => undefined },
      { body: () => ({ kind: 'not-captured', fix: '' }) },
      { parsed: {}, body: () => bytesOf('{"a":1,"a":2}') },
    ]
    for (const facts of wouldBeRefused) expect((await call(request('k', facts))).status).toBe(201)
    expect(observed(events)).toEqual(['ONCELY_PRINCIPAL_MISSING', 'ONCELY_BODY_NOT_CAPTURED', 'status 400'])
  })

  test('hands on what the handler and the caller’s own code throw', async () => {
    const { call } = setUp(observe)
    await expect(call(request('k'), () => Promise.reject(new Error('a bug')))).rejects.toThrow('a bug')
    const principal = () => {
      throw new TypeError('no user')
    }
    await expect(call(request('k', { principal }))).rejects.toThrow('no user')
  })
})

describe('what a handler throws', () => {
  test('goes on to the caller when it has been entered, even where it looks like the request’s fault', async () => {
    const { call, oncely } = setUp()
    const inner = oncely.operation('inner', { policy, bind: 'lease' })
    await expect(
      call(request('k'), () => inner.run({ principal: 'a', key: 'k', input: Number.NaN }, () => 1) as never),
    ).rejects.toMatchObject({ code: 'ONCELY_INVALID_INPUT' })
  })

  test('is recorded as a refusal, with an answer of its own or a bare value', async () => {
    const { call } = setUp()
    const refuse = () => Promise.reject(new Rejection({ code: 'bare' }))
    const first = await call(request('k'), refuse)
    expect([first.status, bodyOf(first)]).toEqual([400, { code: 'bare' }])
    expect(bodyOf(await call(request('k'), refuse))).toEqual({ code: 'bare' })
  })

  test('is no outcome where its status is none', async () => {
    const { call } = setUp({ begin: 'explicit' })
    const refuse = () => Promise.reject(reject(429, 'later'))
    for (let nth = 0; nth < 2; nth++) expect(headerOf(await call(request('k'), refuse), 'idempotent-replayed')).toBeUndefined()
  })

  test('may be turned into an answer, which counts by its status', async () => {
    const { call } = setUp({ begin: 'explicit' })
    let runs = 0
    const fail = () => {
      runs++
      return Promise.reject(new RangeError('too much'))
    }
    const as = (status: number) => (error: unknown) => (error instanceof RangeError ? reply(status) : undefined)
    for (let nth = 0; nth < 2; nth++) expect((await call(request('k'), fail, as(503))).status).toBe(503)
    for (let nth = 0; nth < 2; nth++) expect((await call(request('k'), fail, as(402))).status).toBe(402)
    expect(runs).toBe(3)
  })
})

describe('what a request is known to have done', () => {
  test('counts before its status, and the status where nothing is known', async () => {
    const { route, store } = setUp()
    const work = (status: number, outcome: HttpOutcome | undefined): HttpWork<number, never> => ({
      run: async () => status,
      statusOf: (value) => value,
      outcomeOf: () => outcome,
      encode: () => storedResponse(route, reply(status)),
    })
    const states = []
    for (const [status, outcome] of [
      [500, 'not-applied'],
      [201, 'failed'],
      [201, undefined],
      [500, undefined],
    ] as const) {
      const key = `${status} ${outcome}`
      await executeRequest(route, request(`"${key}"`), work(status, outcome))
      states.push((await store.read(recordId({ namespace: 'contract', principal: 'account-1', key }, nodeHasher)))?.state)
    }
    expect(states).toEqual(['released', 'uncertain', 'completed', 'uncertain'])
  })
})

describe('the answer to a record', () => {
  test('that was completed through another entry point or by hand is its value', async () => {
    const { call, oncely, events } = setUp()
    await expect(call(request('k'), () => Promise.reject(new Error('half')))).rejects.toThrow()
    const record = await oncely.read(fromHex(events.find(({ type }) => type === 'sealed')?.record ?? ''))
    if (record === undefined) throw new TypeError('the record is there')
    await oncely.resolve(record, { applied: true, value: { id: 1 }, by: 'ann', reason: 'found it' })
    const answer = await call(request('k'))
    expect([answer.status, bodyOf(answer), headerOf(answer, 'idempotent-replayed')]).toEqual([200, { id: 1 }, 'true'])
  })

  test('that a resolver settles is the response, or the value, that it found', async () => {
    for (const [value, status] of [
      [reply(201, { id: 1 }), 201],
      [{ id: 1 }, 200],
    ] as const) {
      const seen: unknown[] = []
      const resolver = async ({ input }: { input: unknown }): Promise<ResolverVerdict<unknown>> => {
        seen.push(input)
        return { verdict: 'applied', value }
      }
      const { call } = setUp({ resolver })
      await expect(call(request('k'), () => Promise.reject(new Error('half')))).rejects.toThrow()
      const answer = await call(request('k'))
      expect([answer.status, bodyOf(answer), headerOf(answer, 'idempotent-replayed'), seen]).toEqual([
        status,
        { id: 1 },
        'true',
        [{ a: 1 }],
      ])
    }
  })

  test('that failed too often is quarantined', async () => {
    const { call } = setUp({ policy: ['standard', { survives: 'nothing', attemptsMax: 1 }], begin: 'explicit' })
    await expect(call(request('k'), () => Promise.reject(new Error('again')))).rejects.toThrow()
    const answer = await call(request('k'))
    expect(bodyOf(answer)).toMatchObject({ status: 409, operation_state: 'quarantined', retryable: false })
  })

  test('is one for each word of an execution', () => {
    const { route } = setUp({}, { resolution: 'https://api.example.com/r/{record}' })
    const record = 'ab'.repeat(32)
    const status = (execution: Parameters<typeof answerOf>[1]) => {
      const answer = answerOf(route, execution)
      return answer.kind === 'response' ? answer.response : answer
    }
    expect(status({ status: 'unrecorded', answer: true, value: 7, retryAfterMs: 1, record })).toEqual({
      kind: 'ran',
      value: 7,
      marks: [['idempotency-status', 'unrecorded']],
    })
    expect(status({ status: 'unrecorded', answer: true, value: undefined, retryAfterMs: 1, record })).toMatchObject({ status: 503 })
    expect(status({ status: 'failed', value: 7, disposition: 'released', record })).toEqual({ kind: 'ran', value: 7, marks: [] })
    expect(status({ status: 'rejected', value: reply(402), record: '', attempt: 0 })).toEqual(reply(402))
    const uncertain = status({ status: 'uncertain', summary: undefined, record }) as HttpResponse
    expect(bodyOf(uncertain)).toMatchObject({
      record: expect.stringMatching(/^[0-9a-f]{12}$/),
      resolution: expect.stringMatching(/^https:\/\/api\.example\.com\/r\/[0-9a-f]{12}$/),
    })
    const running = status({ status: 'in-progress', retryAfterMs: 29_000, record }) as HttpResponse
    expect(headerOf(running, 'retry-after')).toBe('5')
    const down = status({ status: 'unavailable', reason: 'draining', retryAfterMs: 0, cause: undefined, record: '' }) as HttpResponse
    expect([bodyOf(down)['reason'], headerOf(down, 'retry-after')]).toEqual(['draining', '1'])
  })
})
