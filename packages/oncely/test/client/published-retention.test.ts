import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { memoryKeys, publishedRetention } from '../../src/client/index.ts'
import { ClientBench, created } from './client-bench.ts'
import { startMs } from './test-platform.ts'

const bench = new ClientBench()
const post = { method: 'POST', body: '{"amount":1}', intent: 'cart 1' } as const
const hourMs = 3_600_000

function published(document: unknown, status = 200): typeof fetch {
  return async () => Response.json(document, { status })
}
const hour = published({
  operations: [
    { name: 'refund', retention_seconds: 60 },
    { name: 'create-payment', retention_seconds: 3_600 },
  ],
})

describe('the published retention (R59)', () => {
  test('is read from the document of the server', async () => {
    expect(await publishedRetention('https://api.example/.well-known/idempotency', 'create-payment', hour)()).toBe(hourMs)
  })

  test.each([
    ['that does not name the operation', published({ operations: [] })],
    ['that is something else', published('hello')],
    ['that is an error', published({ operations: [{ name: 'create-payment', retention_seconds: 60 }] }, 500)],
    ['whose retention is no number', published({ operations: [{ name: 'create-payment', retention_seconds: 'long' }] })],
  ])('is not taken from a document %s', async (_, fetch) => {
    const read = publishedRetention('https://api.example/.well-known/idempotency', 'create-payment', fetch)
    await expect(read()).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })

  test('is not asked for a fresh key, and refuses a stored one past its end', async () => {
    let asked = 0
    const keyAgeMsMax = () => {
      asked++
      return publishedRetention('https://api.example/.well-known/idempotency', 'create-payment', hour)()
    }
    const fetch = bench.client({ keyAgeMsMax, retry: { attemptsMax: 1 } })
    bench.server.plan({ status: 503 })
    await fetch(bench.server.url, post)
    expect(asked).toBe(0)
    bench.time.passMs(hourMs)
    await fetch(bench.server.url, post).catch(() => {})
    expect(bench.server.seen.length).toBe(2)
    bench.time.passMs(1)
    await expect(fetch(bench.server.url, post)).rejects.toMatchObject({ code: 'ONCELY_KEY_TOO_OLD' })
    expect(bench.server.seen.length).toBe(2)
    expect(asked).toBe(2)
  })

  test('ends the retries of a call whose stored key would outlive it', async () => {
    const keys = memoryKeys()
    keys.obtain('cart 1', { key: 'old', madeAtMs: startMs - hourMs + 1_000 })
    bench.server.plan({ status: 503 })
    const retry = { backoffMs: 600, backoffMsMax: 600, attemptsMax: 10 }
    const { status, idempotency } = await bench.client({ keys, keyAgeMsMax: hourMs, retry })(bench.server.url, post)
    expect(status).toBe(503)
    expect(bench.time.pausesMs).toEqual([300, 300, 300])
    expect(idempotency).toMatchObject({ key: 'old', attempts: 4, uncertain: true })
  })

  test('ends the retries of a call whose own key would outlive it', async () => {
    bench.server.plan({ status: 503 })
    const retry = { backoffMs: 600, backoffMsMax: 600, attemptsMax: 10 }
    const { idempotency } = await bench.client({ keyAgeMsMax: 1_000, retry })(bench.server.url, { ...post, intent: undefined })
    expect(bench.time.pausesMs).toEqual([300, 300, 300])
    expect(idempotency.attempts).toBe(4)
  })

  test('counts the time in which it was asked for', async () => {
    const keys = memoryKeys()
    keys.obtain('cart 1', { key: 'old', madeAtMs: startMs })
    bench.server.plan(created)
    const keyAgeMsMax = async () => {
      bench.time.passMs(hourMs + 1)
      return hourMs
    }
    await expect(bench.client({ keys, keyAgeMsMax })(bench.server.url, post)).rejects.toMatchObject({ code: 'ONCELY_KEY_TOO_OLD' })
    expect(bench.server.seen).toEqual([])
  })

  test('is not waited for without end', async () => {
    const late = new Error('too late')
    const bound = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort(late))
    onTestFinished(() => bound.mockRestore())
    const silent: typeof fetch = (_url, init) =>
      new Promise((_, reject) => {
        if (init?.signal?.aborted) reject(init.signal.reason)
      })
    await expect(publishedRetention('https://api.example/', 'create-payment', silent)()).rejects.toBe(late)
    expect(bound).toHaveBeenCalledWith(10_000)
  })

  test('that cannot be read lets nothing out under a stored key', async () => {
    const keys = memoryKeys()
    keys.obtain('cart 1', { key: 'old', madeAtMs: startMs })
    bench.server.plan(created)
    const call = bench.client({ keys, keyAgeMsMax: () => Promise.reject(new Error('no route')) })(bench.server.url, post)
    await expect(call).rejects.toThrow('no route')
    expect(bench.server.seen).toEqual([])
  })
})
