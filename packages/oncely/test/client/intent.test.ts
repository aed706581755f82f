import { describe, expect, test } from 'vitest'
import { memoryKeys, NoAnswer } from '../../src/client/index.ts'
import { ClientBench, created, post, running } from './client-bench.ts'
import { problem, type Step } from './scripted-server.ts'
import { startMs } from './test-platform.ts'

const bench = new ClientBench()

describe('an intent (R57, R59)', () => {
  test('has its key stored before the first byte leaves, and forgotten once the outcome is known', async () => {
    const log: string[] = []
    const keys = {
      obtain: async (intent: string, fresh: { key: string; madeAtMs: number }) => {
        await new Promise((resolve) => setImmediate(resolve))
        log.push(`stored ${intent} ${fresh.key} ${fresh.madeAtMs - startMs} after ${bench.server.seen.length} requests`)
        return fresh
      },
      remove: (intent: string, key: string) => void log.push(`removed ${intent} ${key} after ${bench.server.seen.length} requests`),
    }
    bench.server.plan({ status: 503 }, created)
    await bench.client({ keys })(bench.server.url, { ...post, intent: 'cart 1' })
    expect(log).toEqual(['stored cart 1 key-1 0 after 0 requests', 'removed cart 1 key-1 after 2 requests'])
  })

  test('is not sent when its key could not be stored', async () => {
    bench.server.plan(created)
    const keys = { obtain: () => Promise.reject(new Error('disk full')), remove: () => {} }
    await expect(bench.client({ keys })(bench.server.url, { ...post, intent: 'cart 1' })).rejects.toThrow('disk full')
    expect(bench.server.seen).toEqual([])
  })

  test.each<readonly [string, readonly Step[]]>([
    ['no answer', ['reset']],
    ['a server error', [{ status: 503 }]],
    ['an uncertain record', [problem(409, { operation_state: 'uncertain' })]],
    ['a refusal at the door', [{ status: 401 }]],
    ['a refusal after a lost answer', ['reset', { status: 402 }]],
  ])('keeps its key after %s', async (_, steps) => {
    bench.server.plan(...steps)
    const fetch = bench.client({ retry: { attemptsMax: 2 } })
    await fetch(bench.server.url, { ...post, intent: 'cart 1' }).catch(() => {})
    const before = new Set(bench.keysSeen())
    bench.server.plan(created)
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    expect(new Set(bench.keysSeen())).toEqual(before)
  })

  test.each([402, 404, 410])('keeps a stored key after %i, which may come from a door before the server', async (status) => {
    const keys = memoryKeys()
    bench.server.plan('reset')
    await expect(bench.client({ keys, retry: { attemptsMax: 1 } })(bench.server.url, { ...post, intent: 'cart 1' })).rejects.toBeInstanceOf(
      NoAnswer,
    )
    // The process has ended since: only the store knows of the lost answer.
    bench.server.plan({ status }, created)
    const fetch = bench.client({ keys, makeKey: () => 'another' })
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    expect(bench.keysSeen()).toEqual(['key-1', 'key-1'])
  })

  test('says that its effect is in doubt when a stored key is turned away', async () => {
    const keys = memoryKeys()
    keys.obtain('cart 1', { key: 'old', madeAtMs: startMs })
    bench.server.plan({ status: 401 })
    const { idempotency } = await bench.client({ keys })(bench.server.url, { ...post, intent: 'cart 1' })
    expect(idempotency).toMatchObject({ key: 'old', attempts: 1, uncertain: true })
  })

  test.each([201, 402])('has a new key after the outcome %i', async (status) => {
    bench.server.plan({ status })
    const fetch = bench.client()
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    expect(new Set(bench.keysSeen()).size).toBe(2)
  })

  test('keeps its key until the outcome is here to its last byte', async () => {
    const fetch = bench.client({ retry: { attemptsMax: 2 } })
    bench.server.plan({ ...created, cut: true }, created)
    const response = await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    expect(await response.json()).toEqual({ id: 1 })
    expect(bench.keysSeen()).toEqual(['key-1', 'key-1'])
    bench.server.plan({ ...created, cut: true })
    await expect(fetch(bench.server.url, { ...post, intent: 'cart 1' })).rejects.toBeInstanceOf(NoAnswer)
    const [key] = bench.keysSeen()
    bench.server.plan(created)
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    expect(bench.keysSeen()).toEqual([key])
  })

  test('is one call when it is started twice at once', async () => {
    bench.server.plan(running, created)
    const fetch = bench.client()
    await Promise.all([fetch(bench.server.url, { ...post, intent: 'cart 1' }), fetch(bench.server.url, { ...post, intent: 'cart 1' })])
    expect(new Set(bench.keysSeen()).size).toBe(1)
  })

  test('whose key is older than servers remember is refused, and stays', async () => {
    const fetch = bench.client({ keyAgeMsMax: 3_600_000, retry: { attemptsMax: 1 } })
    bench.server.plan({ status: 503 })
    await fetch(bench.server.url, { ...post, intent: 'cart 1' })
    bench.time.passMs(3_600_001)
    bench.server.plan(created)
    const late = { code: 'ONCELY_KEY_TOO_OLD', retryable: false }
    await expect(fetch(bench.server.url, { ...post, intent: 'cart 1' })).rejects.toMatchObject(late)
    await expect(fetch(bench.server.url, { ...post, intent: 'cart 1' })).rejects.toMatchObject(late)
    await expect(fetch(bench.server.url, { ...post, intent: '' })).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
    expect(bench.server.seen).toEqual([])
  })
})
