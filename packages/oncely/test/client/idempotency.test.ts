import { describe, expect, test } from 'vitest'
import { ClientBench, post, running } from './client-bench.ts'
import { problem, type Step } from './scripted-server.ts'

const bench = new ClientBench()

describe('the result says (R60)', () => {
  test('that the answer is a replay', async () => {
    bench.server.plan('reset', { status: 201, headers: { 'idempotent-replayed': 'true' } })
    expect((await bench.client()(bench.server.url, post)).idempotency).toMatchObject({ replayed: true, attempts: 2, uncertain: false })
  })

  test('that another region may still win', async () => {
    bench.server.plan({ status: 201, headers: { 'idempotency-settled': '?0' } })
    expect((await bench.client()(bench.server.url, post)).idempotency).toMatchObject({ settled: false, uncertain: false })
  })

  const uncertain: readonly (readonly [string, readonly Step[]])[] = [
    ['the server says uncertain', [problem(409, { retryable: false, operation_state: 'uncertain' })]],
    ['the server failed', [{ status: 500 }]],
    ['the server gave up', [problem(409, { retryable: false, operation_state: 'quarantined' })]],
    ['the request still runs', [running]],
    ['a refusal follows a lost answer', ['reset', { status: 401 }]],
    ['a refusal follows a server error', [{ status: 502 }, problem(422, {})]],
  ]
  test.each(uncertain)('that the effect is uncertain when %s', async (_, steps) => {
    bench.server.plan(...steps)
    expect((await bench.client({ retry: { attemptsMax: 2 } })(bench.server.url, post)).idempotency.uncertain).toBe(true)
  })

  const certain: readonly (readonly [string, readonly Step[]])[] = [
    ['an outcome follows a lost answer', ['reset', { status: 402 }]],
    ['a replayed refusal follows a lost answer', ['reset', { status: 422, headers: { 'idempotent-replayed': 'true' } }]],
    ['the server refused at once', [{ status: 401 }]],
    ['every attempt was turned away untouched', [problem(503, { safe_new_key: true })]],
    ['the refusal is an outcome', [{ status: 404 }]],
  ]
  test.each(certain)('that the effect is certain when %s', async (_, steps) => {
    bench.server.plan(...steps)
    expect((await bench.client({ retry: { attemptsMax: 2 } })(bench.server.url, post)).idempotency.uncertain).toBe(false)
  })
})
