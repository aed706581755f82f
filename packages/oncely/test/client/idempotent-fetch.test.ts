import { describe, expect, test } from 'vitest'
import { ClientError, idempotentFetch, NoAnswer, type RetryOptions } from '../../src/client/index.ts'
import { ClientBench, created, post, running } from './client-bench.ts'
import { problem, type Reply, type Step } from './scripted-server.ts'
import { startMs, testPlatform } from './test-platform.ts'

const bench = new ClientBench()

describe('the key (R57)', () => {
  test('is made before the first attempt and the same on every attempt', async () => {
    bench.server.plan({ status: 503 }, 'reset', running, { status: 502 }, created)
    const response = await bench.client()(bench.server.url, post)
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({ id: 1 })
    expect(bench.keysSeen()).toEqual(Array(5).fill('key-1'))
    expect(bench.server.seen.map(({ body }) => body)).toEqual(Array(5).fill('{"amount":1}'))
    expect(response.idempotency).toEqual({ key: 'key-1', attempts: 5, replayed: false, uncertain: false, settled: true })
  })

  test('is sent even where nothing is repeated', async () => {
    bench.server.plan({ status: 503 })
    const response = await bench.client({ retry: { attemptsMax: 1 } })(bench.server.url, post)
    expect(response.status).toBe(503)
    expect(bench.keysSeen()).toEqual(['key-1'])
  })

  test('is random and a UUID by default', async () => {
    bench.server.plan(created)
    const { idempotency } = await idempotentFetch()(bench.server.url, post)
    expect(idempotency.key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(bench.keysSeen()).toEqual([idempotency.key])
  })

  test('comes from the maker that is given', async () => {
    bench.server.plan(created)
    await bench.client({ makeKey: () => 'made' })(bench.server.url, post)
    await bench
      .client({ makeKey: () => 'made too' })(bench.server.url, { ...post, intent: 'cart 1' })
      .catch(() => {})
    expect(bench.keysSeen()).toEqual(['made'])
  })

  test('of one call is not seen in the next (R60)', async () => {
    bench.server.plan(created)
    const fetch = bench.client()
    const init = { ...post, headers: { 'X-Mine': '1' } }
    await fetch(bench.server.url, { ...init, idempotencyKey: 'mine' })
    await fetch(bench.server.url, init)
    await fetch(bench.server.url, init)
    expect(bench.keysSeen()).toEqual(['mine', 'key-1', 'key-2'])
    expect(init).toEqual({ ...post, headers: { 'X-Mine': '1' } })
  })

  test('of two calls at once is one each', async () => {
    bench.server.plan({ status: 503 }, { status: 503 }, created)
    const fetch = bench.client()
    await Promise.all([fetch(bench.server.url, post), fetch(bench.server.url, post)])
    expect(bench.keysSeen().sort()).toEqual(['key-1', 'key-1', 'key-2', 'key-2'])
  })

  test('may be a promise, and may come in the header', async () => {
    bench.server.plan(created)
    await bench.client()(bench.server.url, { ...post, idempotencyKey: Promise.resolve('later') })
    const { idempotency } = await bench.client()(bench.server.url, { ...post, headers: { 'idempotency-key': 'in-header' } })
    expect(bench.keysSeen()).toEqual(['later', 'in-header'])
    expect(idempotency.key).toBe('in-header')
  })

  test('goes out under another name, and quoted, where that is asked', async () => {
    bench.server.plan(created)
    await bench.client({ header: 'X-Request-Key', quote: true })(bench.server.url, { ...post, idempotencyKey: 'a "b" \\ c' })
    expect(bench.server.seen[0]?.headers['x-request-key']).toBe('"a \\"b\\" \\\\ c"')
    expect(bench.keysSeen()).toEqual([undefined])
  })

  test.each(['GET', 'HEAD', 'OPTIONS'])('is not made for %s, which is repeated without one', async (method) => {
    bench.server.plan({ status: 503 }, created)
    const { idempotency } = await bench.client()(bench.server.url, { method })
    expect(bench.keysSeen()).toEqual([undefined, undefined])
    expect(idempotency).toMatchObject({ key: undefined, attempts: 2 })
  })

  test.each(['', 'a b', 'a,b', 'a;b', '"a"', 'é', 'a\n', '?1', 'x'.repeat(256)])('%j is refused before anything is sent', async (key) => {
    bench.server.plan(created)
    await expect(bench.client()(bench.server.url, { ...post, idempotencyKey: key })).rejects.toMatchObject({ code: 'ONCELY_KEY_INVALID' })
    expect(bench.server.seen).toEqual([])
  })

  test('comes from one place', async () => {
    bench.server.plan(created)
    const twice = bench.client()(bench.server.url, { ...post, idempotencyKey: 'a', headers: { 'Idempotency-Key': 'b' } })
    await expect(twice).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION', retryable: false, sameKey: true })
    await expect(bench.client()(bench.server.url, { ...post, idempotencyKey: 'a', intent: 'b' })).rejects.toBeInstanceOf(ClientError)
    expect(bench.server.seen).toEqual([])
  })
})

describe('an attempt is repeated (R58)', () => {
  const cases: readonly (readonly [string, Step])[] = [
    ['when the connection breaks', 'reset'],
    ['when a problem breaks off', { ...running, cut: true }],
    ['after 502', { status: 502 }],
    ['after 503', { status: 503 }],
    ['after 504', { status: 504 }],
    ['after 409 that says retryable', running],
    ['after 500 that says retryable', problem(500, { retryable: true })],
    ['after 429 that says retryable', problem(429, { retryable: true })],
    ['after 429 with Retry-After', { status: 429, headers: { 'retry-after': '1' } }],
    ['after 425 that says retryable', problem(425, { retryable: true })],
  ]
  test.each(cases)('%s', async (_, step) => {
    bench.server.plan(step, created)
    const { status, idempotency } = await bench.client()(bench.server.url, post)
    expect(status).toBe(201)
    expect(idempotency).toMatchObject({ attempts: 2, uncertain: false })
    expect(bench.keysSeen()).toEqual(['key-1', 'key-1'])
  })

  test('when no answer comes in time', async () => {
    bench.server.plan('hang', created)
    const call = bench.client({ retry: { attemptTimeoutMs: 2_000 } })(bench.server.url, post)
    await bench.server.arrived(1)
    bench.time.timeOut()
    expect((await call).idempotency).toMatchObject({ attempts: 2, key: 'key-1' })
    expect(bench.keysSeen()).toEqual(['key-1', 'key-1'])
  })

  test('when no answer comes in time, also where the caller may abort', async () => {
    bench.server.plan('hang', created)
    const call = bench.client()(bench.server.url, { ...post, signal: new AbortController().signal })
    await bench.server.arrived(1)
    bench.time.timeOut()
    expect((await call).idempotency.attempts).toBe(2)
  })
})

describe('an answer is final (R58)', () => {
  const cases: readonly (readonly [string, Reply])[] = [
    ['400, whatever it says', problem(400, { retryable: true })],
    ['422, whatever it says', problem(422, { retryable: true })],
    ['402', { status: 402 }],
    ['404', { status: 404 }],
    ['409 that says nothing', { status: 409, headers: { 'retry-after': '1' } }],
    ['409 that says not retryable', problem(409, { retryable: false })],
    ['409 with a problem that is no JSON', { status: 409, headers: { 'content-type': 'application/problem+json' }, body: 'oops' }],
    ['429 that says nothing', { status: 429 }],
    ['429 that says not retryable', problem(429, { retryable: false }, { 'retry-after': '1' })],
    ['500 that says nothing', { status: 500 }],
    ['501', { status: 501 }],
    ['503 that says not retryable', problem(503, { retryable: false })],
    ['503 that is a replay', { status: 503, headers: { 'idempotent-replayed': 'true' } }],
    ['508', problem(508, { retryable: true })],
  ]
  test.each(cases)('%s', async (_, reply) => {
    bench.server.plan(reply, created)
    const { status, idempotency } = await bench.client()(bench.server.url, post)
    expect(status).toBe(reply.status)
    expect(idempotency.attempts).toBe(1)
    expect(bench.server.seen.length).toBe(1)
  })

  test('with its body unread', async () => {
    bench.server.plan(problem(409, { retryable: false, detail: 'uncertain' }))
    expect(await (await bench.client()(bench.server.url, post)).json()).toMatchObject({ detail: 'uncertain' })
  })
})

describe('the pause (R58)', () => {
  const retry = { backoffMs: 100, backoffMsMax: 350, attemptsMax: 5, deadlineMs: 100_000 }

  test('is drawn from nothing up to a bound that doubles and is capped', async () => {
    bench.server.plan({ status: 503 })
    bench.time.draw(0.5)
    await bench.client({ retry })(bench.server.url, post)
    expect(bench.time.pausesMs).toEqual([50, 100, 175, 175])
    bench.time = testPlatform()
    bench.time.draw(0)
    await bench.client({ retry })(bench.server.url, post)
    expect(bench.time.pausesMs).toEqual([0, 0, 0, 0])
  })

  test('is at least Retry-After in seconds, and jittered above it', async () => {
    bench.server.plan({ status: 503, headers: { 'retry-after': '3' } }, created)
    await bench.client({ retry })(bench.server.url, post)
    expect(bench.time.pausesMs).toEqual([3_050])
  })

  test('is at least Retry-After as a date, by the clock of the server', async () => {
    const headers = { date: 'Fri, 01 Jan 2027 00:00:00 GMT', 'retry-after': 'Fri, 01 Jan 2027 00:00:04 GMT' }
    bench.server.plan({ status: 503, headers }, created)
    await bench.client({ retry })(bench.server.url, post)
    expect(bench.time.pausesMs).toEqual([4_050])
  })

  test('is at least Retry-After as a date, by the own clock where the server shows none', async () => {
    const headers = { 'retry-after': new Date(startMs + 6_000).toUTCString() }
    bench.server.plan({ status: 503, headers, undated: true }, created)
    await bench.client({ retry })(bench.server.url, post)
    expect(bench.time.pausesMs).toEqual([6_050])
  })

  test('takes a longer Retry-After as its own bound, and one in the past as none', async () => {
    const past = { date: 'Fri, 01 Jan 2027 00:00:00 GMT', 'retry-after': 'Thu, 31 Dec 2026 00:00:00 GMT' }
    bench.server.plan({ status: 503, headers: { 'retry-after': '86400' } }, { status: 503, headers: past }, created)
    await bench.client({ retry: { ...retry, retryAfterMsMax: 7_000 } })(bench.server.url, post)
    expect(bench.time.pausesMs).toEqual([7_050, 100])
  })

  test('ends at once when the caller aborts', async () => {
    bench.server.plan({ status: 503 })
    const controller = new AbortController()
    const pausing = bench.time.holdPauses()
    const call = bench.client()(bench.server.url, { ...post, signal: controller.signal })
    await pausing
    controller.abort(new Error('closed the page'))
    await expect(call).rejects.toThrow('closed the page')
    expect(bench.server.seen.length).toBe(1)
  })
})

describe('a call ends (R58)', () => {
  test('with the last answer when its attempts are used up', async () => {
    bench.server.plan({ status: 503 })
    const { status, idempotency } = await bench.client({ retry: { attemptsMax: 3 } })(bench.server.url, post)
    expect(status).toBe(503)
    expect(idempotency).toEqual({ key: 'key-1', attempts: 3, replayed: false, uncertain: true, settled: true })
    expect(bench.keysSeen()).toEqual(['key-1', 'key-1', 'key-1'])
  })

  test('with NoAnswer when the last attempt got none', async () => {
    bench.server.plan('reset')
    const error = await bench
      .client({ retry: { attemptsMax: 2 } })(bench.server.url, post)
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(NoAnswer)
    expect(error).toMatchObject({ code: 'ONCELY_NO_ANSWER', retryable: true, sameKey: true, cause: expect.any(TypeError) })
    expect((error as NoAnswer).idempotency).toEqual({ key: 'key-1', attempts: 2, replayed: false, uncertain: true, settled: true })
  })

  test('at its deadline, without a pause that would pass it', async () => {
    bench.server.plan({ status: 503, headers: { 'retry-after': '9' } })
    const { status, idempotency } = await bench.client({ retry: { deadlineMs: 20_000, attemptsMax: 50 } })(bench.server.url, post)
    expect(status).toBe(503)
    expect(idempotency.attempts).toBe(3)
    expect(bench.time.pausesMs.every((ms) => ms >= 9_000)).toBe(true)
  })

  test('at its deadline, in the middle of an attempt', async () => {
    bench.server.plan('hang')
    const call = bench.client({ retry: { deadlineMs: 1_000, attemptTimeoutMs: 5_000 } })(bench.server.url, post)
    await bench.server.arrived(1)
    bench.time.timeOut()
    await expect(call).rejects.toMatchObject({ code: 'ONCELY_NO_ANSWER', cause: { message: 'No answer within 1000 ms.' } })
  })

  test('early when the calls before it used up the budget, until successes fill it again', async () => {
    const fetch = bench.client({ retry: { budgetMax: 2, attemptsMax: 5 } })
    bench.server.plan({ status: 503 })
    expect((await fetch(bench.server.url, post)).idempotency.attempts).toBe(3)
    expect((await fetch(bench.server.url, post)).idempotency.attempts).toBe(1)
    bench.server.plan(created)
    await fetch(bench.server.url, post)
    bench.server.plan({ status: 503 })
    expect((await fetch(bench.server.url, post)).idempotency.attempts).toBe(2)
  })

  test('with the reason of the caller who aborts it, before or while it is sent', async () => {
    bench.server.plan('hang')
    await expect(bench.client()(bench.server.url, { ...post, signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow(
      'too late',
    )
    expect(bench.server.seen).toEqual([])
    const controller = new AbortController()
    const call = bench.client({ retry: { attemptsMax: 1 } })(bench.server.url, { ...post, signal: controller.signal })
    await bench.server.arrived(1)
    controller.abort(new Error('changed my mind'))
    await expect(call).rejects.toThrow('changed my mind')
    expect(bench.server.seen.length).toBe(1)
  })
})

describe('an option', () => {
  test.each([
    [{ attemptsMax: 0 }, 'retry.attemptsMax is 0; it must be a whole number from 1'],
    [{ deadlineMs: Number.NaN }, 'retry.deadlineMs is NaN'],
    [{ backoffMs: -1 }, 'retry.backoffMs is -1; it must be a whole number from 0'],
    [{ tries: 3 }, 'retry.tries is not an option; the options are attemptsMax'],
  ])('%j is refused when it is given', (retry, message) => {
    expect(() => idempotentFetch({ retry: retry as RetryOptions })).toThrow(message)
  })

  test('may be undefined, which is its preset', async () => {
    bench.server.plan({ status: 503 }, created)
    const fetch = bench.client({ retry: { attemptsMax: undefined } as unknown as { attemptsMax: number } })
    expect((await fetch(bench.server.url, post)).status).toBe(201)
    expect(() => idempotentFetch({ keyAgeMsMax: 0 })).toThrow('keyAgeMsMax is 0')
  })
})
