import { createOncely, type OncelyEvent } from 'oncely'
import { memoryOutbox, memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type OutboxMessage, type OutboxSink, outboxRow, type Relay, type RelayOptions, type SinkAnswer } from '../../src/core/index.ts'
import { startRelay } from '../../src/outbox/index.ts'
import { settlementOf } from '../../src/outbox/settlement.ts'
import { nodeClock, nodeHasher, nodeRandom } from '../../src/platform/index.ts'

const quick: RelayOptions = { pollMinMs: 1, pollMaxMs: 20, backoffMs: 1, backoffMaxMs: 2 }
let origins = 0

function world(answer: (message: OutboxMessage, signal: AbortSignal) => SinkAnswer | Promise<SinkAnswer>, options: RelayOptions = quick) {
  const outbox = memoryOutbox()
  const sent: string[] = []
  const events: OncelyEvent[] = []
  const sink: OutboxSink = {
    name: 'test',
    send: async (messages, signal) => {
      const answers: SinkAnswer[] = []
      let failed = false
      for (const message of messages) {
        const said: SinkAnswer = failed ? 'retry' : await answer(message, signal)
        if (said === 'sent') sent.push(textOf(message))
        failed ||= said !== 'sent'
        answers.push(said)
      }
      return answers
    },
  }
  const start = async (sinks: readonly OutboxSink[] = [sink]): Promise<Relay> => {
    const parts = { store: outbox, sinks, clock: nodeClock, random: nodeRandom, owner: 'test', storeTimeoutMs: 1_000 }
    const relay = await startRelay({ ...parts, events: (event) => events.push(event), options })
    onTestFinished(() => relay.stop(1_000))
    return relay
  }
  const send = (aggregate: string, ...payloads: string[]): Promise<void> =>
    outbox.enqueue(
      undefined,
      payloads.map((payload) => outboxRow(nodeHasher, `${++origins}`, 0, { topic: 't', aggregate, payload })),
    )
  return { outbox, sink, sent, events, start, send }
}

function textOf({ payload }: OutboxMessage): string {
  return JSON.parse(new TextDecoder().decode(payload)) as string
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 5_000
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error('the condition did not come true within 5 s')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

describe('a relay', () => {
  test('sends what waits, in the order of each aggregate, and deletes it', async () => {
    const { outbox, sent, send, start } = world(() => 'sent')
    await send('a', 'a1', 'a2')
    await send('b', 'b1')
    await start()
    await send('a', 'a3')
    await until(async () => (await outbox.stats()).backlog === 0)
    expect(sent.filter((payload) => payload.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
    expect(sent).toContain('b1')
  })

  test('tries the first of an aggregate again, with nothing of it before, while others go on', async () => {
    const attempts: number[] = []
    const { sent, send, start } = world((message) => {
      if (textOf(message) !== 'a1') return 'sent'
      attempts.push(message.attempt)
      return message.attempt < 4 ? 'retry' : 'sent'
    })
    await send('a', 'a1', 'a2')
    await send('b', 'b1', 'b2')
    await start()
    await until(() => sent.length === 4)
    expect(attempts).toEqual([1, 2, 3, 4])
    expect(sent.filter((payload) => payload.startsWith('a'))).toEqual(['a1', 'a2'])
  })

  test('parks after attemptsMax, and at once what is refused; a redrive goes on from there', async () => {
    let healed = false
    const { outbox, sent, events, send, start } = world(
      (message) =>
        healed || textOf(message).startsWith('c') ? 'sent' : textOf(message) === 'b1' ? { word: 'refused', reason: 'status 422' } : 'retry',
      { ...quick, attemptsMax: 3 },
    )
    await send('a', 'a1', 'a2')
    await send('b', 'b1')
    await send('c', 'c1')
    await start()
    await until(async () => (await outbox.parked(10)).length === 2)
    expect([...(await outbox.parked(10))].sort((a, b) => (a.aggregate < b.aggregate ? -1 : 1))).toMatchObject([
      { aggregate: 'a', attempts: 3, messages: 2 },
      { aggregate: 'b', attempts: 1, error: 'status 422', messages: 1 },
    ])
    await until(() => sent.length === 1)
    expect(
      events
        .filter(({ type }) => type === 'relay-parked')
        .map(({ reason }) => reason)
        .sort(),
    ).toEqual(['test: retry', 'test: status 422'])
    healed = true
    await outbox.redrive({ sink: '', aggregate: 'a' })
    await until(() => sent.length === 3)
    expect(sent).toEqual(['c1', 'a1', 'a2'])
  })

  test('is woken, and does not wait for its next look', async () => {
    const { sent, send, start } = world(() => 'sent', { pollMinMs: 30_000, pollMaxMs: 30_000 })
    const relay = await start()
    await new Promise((resolve) => setImmediate(resolve))
    await send('a', 'a1')
    relay.wake()
    await until(() => sent.length === 1)
    expect(sent).toEqual(['a1'])
  })

  test('takes a throw and an answer that is missing as not sent', async () => {
    let calls = 0
    const { outbox, events, send, start } = world(() => 'sent')
    const broken: OutboxSink = {
      name: 'broken',
      send: async (messages) => {
        calls++
        if (calls === 1) throw new RangeError('secret detail')
        return calls === 2 ? [] : messages.map(() => 'sent')
      },
    }
    await send('a', 'a1')
    await start([broken])
    await until(async () => (await outbox.stats()).backlog === 0)
    expect(calls).toBe(3)
    expect(events.map(({ reason }) => reason)).toEqual(['broken: threw', 'broken: RangeError', 'broken: the sink did not say'])
  })

  test('tells a sink that is too slow to stop, and sends again', async () => {
    let calls = 0
    const { outbox, send, start } = world(() => 'sent', { ...quick, sendTimeoutMs: 20 })
    const slow: OutboxSink = {
      name: 'slow',
      send: (messages, signal) => {
        if (++calls > 1) return Promise.resolve(messages.map(() => 'sent' as const))
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(messages.map(() => 'retry' as const))))
      },
    }
    await send('a', 'a1')
    await start([slow])
    await until(async () => (await outbox.stats()).backlog === 0)
    expect(calls).toBe(2)
  })

  test('that stops lets its batch settle, gives its buckets back and takes nothing new', async () => {
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let entered = false
    const { outbox, sent, send, start } = world(async (): Promise<SinkAnswer> => {
      entered = true
      await gate
      return 'sent'
    })
    await send('a', 'a1')
    const relay = await start()
    await until(() => entered)
    const stopped = relay.stop(5_000)
    await send('b', 'b1')
    open()
    await stopped
    expect(sent).toEqual(['a1'])
    expect(await outbox.lease({ owner: 'next', leaseMs: 1_000, bucketsMax: 64, sinks: [''] })).toHaveLength(1)
  })

  test('that stops is bounded in time, whatever its sink does', async () => {
    let told: unknown
    const { sink, send, start } = world(
      (_, signal) =>
        new Promise((resolve) =>
          signal.addEventListener('abort', () => {
            told = signal.reason
            resolve('retry')
          }),
        ),
    )
    await send('a', 'a1')
    let entered = false
    const relay = await start([
      {
        name: 'watched',
        send: (...given) => {
          entered = true
          return sink.send(...given)
        },
      },
    ])
    await until(() => entered)
    await relay.stop(10)
    expect(told).toMatchObject({ message: 'The relay is being stopped.' })
  })
})

describe('a relay is not started', () => {
  test.each<[string, RelayOptions]>([
    ['with a send that outlasts the lease', { sendTimeoutMs: 30_000, leaseMs: 30_000 }],
    ['with a shortest pause above the longest', { pollMinMs: 100, pollMaxMs: 50 }],
    ['with no attempt', { attemptsMax: 0 }],
  ])('%s', async (_, options) => {
    await expect(world(() => 'sent', options).start()).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })

  test('without a sink, with two of one name, or with a name that is none', async () => {
    const { sink, start } = world(() => 'sent')
    for (const sinks of [[], [sink, sink], [{ ...sink, name: 'a b' }]])
      await expect(start(sinks)).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })

  test('on a store without an outbox', async () => {
    const { sink } = world(() => 'sent')
    const oncely = createOncely({ namespace: 'test', store: memoryStore() })
    await expect(oncely.start({ relay: [sink] })).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
  })
})

describe('the wait before the next try', () => {
  const rule = { attemptsMax: 5, backoffMs: 100, backoffMaxMs: 1_000, fraction: () => 0.5 }
  const delayOf = (attempt: number, answer: SinkAnswer): number | undefined => {
    const row = outboxRow(nodeHasher, 'x', 0, { topic: 't', payload: 1 })
    return settlementOf([{ message: { ...row, position: 1n, occurredAtMs: 0, attempt }, answer }], rule).held[0]?.delayMs
  }

  test('doubles up to its bound, with full jitter', () => {
    expect([1, 2, 3, 4].map((attempt) => delayOf(attempt, 'retry'))).toEqual([50, 100, 200, 400])
    expect(settlementOf([], rule)).toEqual({ sent: [], freed: [], held: [] })
  })

  test('is never shorter than the receiver asked for, nor longer than a day', () => {
    expect(delayOf(1, { word: 'retry', reason: '', afterMs: 7_000 })).toBe(7_000)
    expect(delayOf(1, { word: 'retry', reason: '', afterMs: 1e12 })).toBe(86_400_000)
  })

  test('is none at the last attempt, or after a refusal', () => {
    expect(delayOf(5, 'retry')).toBeUndefined()
    expect(delayOf(1, 'refused')).toBeUndefined()
  })
})
