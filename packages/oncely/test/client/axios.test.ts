import axios, { type AxiosAdapter, AxiosError, type AxiosRequestConfig } from 'axios'
import { describe, expect, test } from 'vitest'
import { type AxiosCall, type IdempotentAxiosOptions, idempotentAxios } from '../../src/client/axios/index.ts'
import { type Idempotency, memoryKeys, NoAnswer } from '../../src/client/index.ts'
import { ClientBench, running } from './client-bench.ts'
import { problem, type Reply } from './scripted-server.ts'

const bench = new ClientBench()

const created: Reply = { status: 201, headers: { 'content-type': 'application/json' }, body: '{"id":1}' }

type Call = AxiosRequestConfig & AxiosCall

function client(options: IdempotentAxiosOptions = {}, inner = 'http') {
  // The pause of a test ends at once, and so would an attempt's own time: the fetch of the test's platform tells the two apart.
  const sent: AxiosAdapter = axios.getAdapter(inner)
  const adapter: AxiosAdapter = (config) => {
    bench.time.sending()
    return sent(config)
  }
  const wrapped: AxiosAdapter = idempotentAxios(adapter, { platform: bench.time.platform, ...options })
  const instance = axios.create({ adapter: wrapped, proxy: false })
  return (config: Call) => instance.request<{ id: number }>({ method: 'post', url: bench.server.url, data: { amount: 1 }, ...config })
}
const idempotencyOf = (carrier: unknown): Idempotency => (carrier as { idempotency: Idempotency }).idempotency

describe.each(['http', 'fetch'])('axios on its %s adapter', (inner) => {
  test('sends one key and one body on every attempt (R57)', async () => {
    bench.server.plan({ status: 503 }, 'reset', running, created)
    const response = await client({}, inner)({})
    expect(response).toMatchObject({ status: 201, data: { id: 1 } })
    expect(bench.keysSeen()).toEqual(Array(4).fill('key-1'))
    expect(bench.server.seen.map(({ body }) => body)).toEqual(Array(4).fill('{"amount":1}'))
    expect(idempotencyOf(response)).toEqual({ key: 'key-1', attempts: 4, replayed: false, uncertain: false, settled: true })
  })

  test('rejects a refusal as axios does, with what is known on it (R60)', async () => {
    bench.server.plan(problem(422, { detail: 'other body' }))
    const error = await client({}, inner)({}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(AxiosError)
    expect(error).toMatchObject({ response: { status: 422 } })
    expect(idempotencyOf(error)).toMatchObject({ attempts: 1, uncertain: false })
    expect(idempotencyOf((error as AxiosError).response)).toBe(idempotencyOf(error))
  })

  test('says NoAnswer with its own error as the cause when none came (R60)', async () => {
    bench.server.plan('reset')
    const error = await client({ retry: { attemptsMax: 2 } }, inner)({}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(NoAnswer)
    expect((error as NoAnswer).cause).toBeInstanceOf(AxiosError)
    expect((error as NoAnswer).idempotency).toMatchObject({ key: 'key-1', attempts: 2, uncertain: true })
    expect(bench.server.seen.length).toBe(2)
  })

  test('ends with its own cancellation when the caller aborts', async () => {
    bench.server.plan('hang')
    const controller = new AbortController()
    const call = client({}, inner)({ signal: controller.signal })
    await bench.server.arrived(1)
    controller.abort()
    expect(axios.isCancel(await call.catch((reason: unknown) => reason))).toBe(true)
    expect(bench.server.seen.length).toBe(1)
  })
})

describe('axios', () => {
  test('keeps the key of an intent until its outcome is known, and gives calls no key of another (R57, R60)', async () => {
    const keys = memoryKeys()
    const send = client({ keys, retry: { attemptsMax: 1 } })
    bench.server.plan({ status: 503 }, created)
    expect(idempotencyOf(await send({ intent: 'cart 1' }).catch((reason: unknown) => reason)).uncertain).toBe(true)
    await send({ intent: 'cart 1' })
    expect(new Set(bench.keysSeen()).size).toBe(1)
    await send({ intent: 'cart 1' })
    await send({ idempotencyKey: 'mine' })
    await send({ headers: { 'Idempotency-Key': 'in-header' } })
    await send({})
    expect(new Set(bench.keysSeen()).size).toBe(5)
    expect(bench.keysSeen().slice(3, 5)).toEqual(['mine', 'in-header'])
  })

  test('sends a failed configuration again under the same key (R59)', async () => {
    bench.server.plan({ status: 402 }, created)
    const send = client()
    const error = await send({ intent: 'cart 1' }).catch((reason: unknown) => reason)
    await send((error as AxiosError).config as Call)
    expect(bench.keysSeen()).toEqual(['key-1', 'key-1'])
  })

  test.each(['arraybuffer', 'text'] as const)('reads a problem that comes as %s (R58)', async (responseType) => {
    bench.server.plan(running, created)
    expect(idempotencyOf(await client()({ responseType }))).toMatchObject({ attempts: 2 })
  })

  test('reads a problem that comes as a blob (R58)', async () => {
    bench.server.plan(running, created)
    expect(idempotencyOf(await client({}, 'fetch')({ responseType: 'blob' }))).toMatchObject({ attempts: 2 })
  })

  test('lets go of a stream that it does not hand out', async () => {
    bench.server.plan({ status: 503, body: 'x'.repeat(100_000) }, created)
    const response = await client()({ responseType: 'stream' })
    expect(idempotencyOf(response)).toMatchObject({ attempts: 2 })
    expect(response.status).toBe(201)
  })

  test('takes an answer that validateStatus accepts for one (R60)', async () => {
    bench.server.plan(problem(409, { operation_state: 'uncertain' }))
    const response = await client()({ validateStatus: () => true })
    expect(response.status).toBe(409)
    expect(idempotencyOf(response).uncertain).toBe(true)
  })

  test('refuses a body that it cannot send twice (R59)', async () => {
    bench.server.plan(created)
    const call = client()({ data: new Blob(['x']).stream() })
    await expect(call).rejects.toMatchObject({ code: 'ONCELY_BODY_NOT_REPLAYABLE' })
    expect(bench.server.seen).toEqual([])
  })

  test('sends a form whole on every attempt (R59)', async () => {
    bench.server.plan('reset', created)
    const data = new FormData()
    data.set('amount', '12')
    await client()({ data })
    expect(bench.server.seen.map(({ body }) => /name="amount"\r\n\r\n12\r\n/.test(body))).toEqual([true, true])
  })

  test('ends when its old cancel token is cancelled', async () => {
    bench.server.plan('hang')
    const source = axios.CancelToken.source()
    const call = client()({ cancelToken: source.token })
    await bench.server.arrived(1)
    source.cancel('closed')
    expect(axios.isCancel(await call.catch((reason: unknown) => reason))).toBe(true)
    expect(bench.server.seen.length).toBe(1)
  })
})
