import assert from 'node:assert/strict'
import { Rejection } from '../core/index.ts'
import type { ConsumerHarness, RunningConsumer, SuiteDelivery, SuiteMessage } from './consumer-harness.ts'
import { type Cases, declareCases, type Skips, type TestRunner } from './runner.ts'

export interface ConsumerSuiteOptions<Tx> {
  /** `test` of vitest or of `node:test`. */
  readonly test: TestRunner
  /** A harness with an empty broker and store; called once for each case, and once to learn what the broker can do. */
  readonly open: () => Promise<ConsumerHarness<Tx>>
  /** Cases that cannot hold here, by their full name, with the reason. */
  readonly skip?: Skips
}

/**
 * Declares the contract of a consumer as tests, over a broker and a store: one effect a message through lost acknowledgements, second
 * sends, crashes, rebalances and restarts; failures, poison, redrive and parking.
 *
 * @throws TypeError when a skip names no case that applies here, or gives no reason.
 *
 * @example
 * await consumerSuite({ test, open: () => openKafkaHarness(broker, postgres) })
 */
export async function consumerSuite<Tx>({ test, open, skip = {} }: ConsumerSuiteOptions<Tx>): Promise<void> {
  const opened = open as unknown as () => Promise<ConsumerHarness>
  const probe = await opened()
  const cases = {
    ...onceCases,
    ...poisonCases,
    ...(probe.ordered ? orderCases : {}),
    ...(probe.restartBroker === undefined ? {} : restartCases),
  }
  await probe.close('passed')
  declareCases(test, skip, cases, async (body) => {
    const harness = await opened()
    await body(harness).catch(async (error: unknown) => {
      await harness.close('failed')
      throw error
    })
    await harness.close('passed')
  })
}

const quick = { backoff: { first: 5, ceiling: 20 } } as const

function textOf({ message }: SuiteDelivery<unknown>): string {
  return new TextDecoder().decode(message.payload)
}

function messages(count: number, keys = 3): readonly SuiteMessage[] {
  return Array.from({ length: count }, (_, index) => ({ id: `m${index}`, text: `effect ${index}`, key: `k${index % keys}` }))
}

function sorted(values: readonly string[]): readonly string[] {
  return [...values].sort()
}

/** A handler that writes the message's text. */
function applying(harness: ConsumerHarness): (delivery: SuiteDelivery<unknown>) => Promise<void> {
  return (delivery) => harness.apply(delivery.tx, textOf(delivery))
}

async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > deadline) assert.fail(`waited 20 s in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A handler that stands still inside its transaction until it is let go. */
function standstill(harness: ConsumerHarness): {
  readonly handler: (delivery: SuiteDelivery<unknown>) => Promise<void>
  readonly inside: () => number
  readonly letGo: () => void
} {
  let inside = 0
  let letGo = (): void => {}
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
    inside++
    if (inside === 1) await gate
    await harness.apply(delivery.tx, textOf(delivery))
  }
  return { handler, inside: () => inside, letGo }
}

const onceCases: Cases<ConsumerHarness> = {
  'once: every message has its effect, each one once': async (harness) => {
    await harness.publish(messages(40))
    const consumer = await harness.consume(quick, applying(harness))
    await harness.idle()
    await consumer.stop()
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(40).map(({ text }) => text)))
  },
  'once: deliveries after lost acknowledgements change nothing': async (harness) => {
    await harness.publish(messages(10))
    const consumer = await harness.consume(quick, applying(harness))
    await harness.idle()
    await harness.deliverAgain()
    await harness.idle()
    await harness.deliverAgain()
    await harness.idle()
    await consumer.stop()
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(10).map(({ text }) => text)))
  },
  "once: a producer's second send of a message changes nothing": async (harness) => {
    await harness.publish(messages(5))
    const consumer = await harness.consume(quick, applying(harness))
    await harness.idle()
    await harness.publish(messages(5))
    await harness.idle()
    await consumer.stop()
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(5).map(({ text }) => text)))
  },
  'once: a failed attempt leaves nothing behind, and the next one has the effect': async (harness) => {
    const failed = new Set<string>()
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      await harness.apply(delivery.tx, textOf(delivery))
      const { messageId = '' } = delivery.message
      if (failed.has(messageId)) return
      failed.add(messageId)
      throw new Error('the first attempt fails')
    }
    await harness.publish(messages(6))
    const consumer = await harness.consume(quick, handler)
    await harness.idle()
    await consumer.stop()
    assert.equal(failed.size, 6)
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(6).map(({ text }) => text)))
  },
  'once: of a consumer that dies in its handler nothing stays, and another one does the work': async (harness) => {
    const { handler, inside, letGo } = standstill(harness)
    await harness.publish(messages(4))
    const first = await harness.consume({ ...quick, concurrency: 1 }, handler)
    await until(() => inside() === 1, 'the first handler')
    await first.kill()
    const second = await harness.consume(quick, handler)
    await harness.idle().finally(letGo)
    await second.stop()
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(4).map(({ text }) => text)))
  },
  'once: what a rebalance takes away is done by one of the two, whoever is late': async (harness) => {
    const { handler, inside, letGo } = standstill(harness)
    await harness.publish(messages(4))
    const first = await harness.consume({ ...quick, concurrency: 1, revokeTimeout: 50 }, handler)
    await until(() => inside() === 1, 'the first handler')
    const second = await harness.consume(quick, handler)
    await first.rebalance()
    await until(async () => (await harness.effects()).length >= 3, 'the second consumer').finally(letGo)
    await harness.idle()
    await first.stop()
    await second.stop()
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(4).map(({ text }) => text)))
  },
}

const poisonCases: Cases<ConsumerHarness> = {
  'poison: a message that always fails is quarantined after its attempts, and the others go on': async (harness) => {
    let tries = 0
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      await harness.apply(delivery.tx, textOf(delivery))
      if (delivery.message.messageId !== 'm1') return
      tries++
      throw new Error('never')
    }
    await harness.publish(messages(5))
    const consumer = await harness.consume({ ...quick, attemptsMax: 3 }, handler)
    await harness.idle()
    const [letter, ...others] = await consumer.inbox.quarantined()
    assert.equal(others.length, 0)
    assert.equal(letter?.reason, 'attempts')
    assert.equal(letter?.attempts, 3)
    assert.equal(letter?.error, 'Error: never')
    assert.equal(letter?.messageId, 'm1')
    assert.deepEqual(new TextDecoder().decode(letter?.message.payload), 'effect 1')
    await harness.deliverAgain()
    await harness.idle()
    await consumer.stop()
    assert.equal(tries, 3, 'a quarantined message never runs')
    assert.deepEqual(sorted(await harness.effects()), ['effect 0', 'effect 2', 'effect 3', 'effect 4'])
  },
  'poison: a message that its handler rejects is quarantined at once': async (harness) => {
    let tries = 0
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      tries++
      await harness.apply(delivery.tx, textOf(delivery))
      throw new Rejection({ code: 'no-such-account' })
    }
    await harness.publish(messages(1))
    const consumer = await harness.consume(quick, handler)
    await harness.idle()
    await consumer.stop()
    assert.equal((await consumer.inbox.quarantined())[0]?.reason, 'rejected')
    assert.equal(tries, 1)
    assert.deepEqual(await harness.effects(), [])
  },
  'poison: another payload under a used id never runs, and is quarantined beside the first': async (harness) => {
    await harness.publish([{ id: 'same', text: 'first' }])
    const consumer = await harness.consume(quick, applying(harness))
    await harness.idle()
    await harness.publish([{ id: 'same', text: 'other' }])
    await harness.idle()
    await harness.deliverAgain()
    await harness.idle()
    await consumer.stop()
    const letters = await consumer.inbox.quarantined()
    assert.deepEqual(
      letters.map(({ reason, message }) => [reason, new TextDecoder().decode(message.payload)]),
      [['mismatch', 'other']],
    )
    assert.deepEqual(await harness.effects(), ['first'])
  },
  'poison: a redriven message runs again, once, and others of its id still do not': async (harness) => {
    let broken = true
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      await harness.apply(delivery.tx, textOf(delivery))
      if (broken) throw new Error('not yet')
    }
    await harness.publish(messages(1))
    const consumer = await harness.consume({ ...quick, attemptsMax: 2 }, handler)
    await harness.idle()
    const [letter] = await consumer.inbox.quarantined()
    assert.ok(letter !== undefined)
    broken = false
    assert.equal(await consumer.inbox.redrive(letter.id, { by: 'suite', reason: 'the cause is gone' }), 'redriven')
    await consumer.inbox.redeliver()
    await harness.deliverAgain()
    await harness.idle()
    assert.equal(await consumer.inbox.redrive(letter.id, { by: 'suite', reason: 'again' }), 'absent')
    await consumer.stop()
    assert.deepEqual(await consumer.inbox.quarantined(), [])
    assert.deepEqual(await harness.effects(), ['effect 0'])
  },
  'poison: a discarded message is gone, and never runs': async (harness) => {
    let broken = true
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      if (broken) throw new Error('not yet')
      await harness.apply(delivery.tx, textOf(delivery))
    }
    await harness.publish(messages(1))
    const consumer = await harness.consume({ ...quick, attemptsMax: 1 }, handler)
    await harness.idle()
    const [letter] = await consumer.inbox.quarantined()
    assert.ok(letter !== undefined)
    assert.equal(await consumer.inbox.discard(letter.id, { by: 'suite', reason: 'of no use' }), true)
    broken = false
    await harness.deliverAgain()
    await harness.idle()
    await consumer.stop()
    assert.deepEqual(await harness.effects(), [])
  },
}

const orderCases: Cases<ConsumerHarness> = {
  'order: a key that fails is parked, the others go on, and its messages keep their order': async (harness) => {
    let failures = 0
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      if (delivery.message.messageId === 'm0' && failures < 3) {
        failures++
        throw new Error('not yet')
      }
      await harness.apply(delivery.tx, textOf(delivery))
    }
    await harness.publish(messages(12))
    const consumer = await harness.consume({ ...quick, ordering: 'key' }, handler)
    await harness.idle()
    await consumer.stop()
    const effects = await harness.effects()
    assert.equal(failures, 3)
    assert.equal(effects.length, 12)
    for (const key of [0, 1, 2]) {
      const ofKey = effects.filter((effect) => Number(effect.split(' ')[1]) % 3 === key)
      assert.deepEqual(
        ofKey,
        [0, 3, 6, 9].map((index) => `effect ${index + key}`),
      )
    }
    assert.ok(effects.indexOf('effect 0') > effects.indexOf('effect 10'), 'the other keys did not wait')
  },
  'order: behind a message that fails, its partition waits where the policy says so': async (harness) => {
    const failed = new Set<string>()
    const handler = async (delivery: SuiteDelivery<unknown>): Promise<void> => {
      const { messageId = '' } = delivery.message
      if (messageId === 'm1' && !failed.has(messageId)) {
        failed.add(messageId)
        throw new Error('not yet')
      }
      await harness.apply(delivery.tx, textOf(delivery))
    }
    await harness.publish(messages(6, 1))
    const consumer = await harness.consume({ ...quick, ordering: 'partition' }, handler)
    await harness.idle()
    await consumer.stop()
    assert.equal(failed.size, 1)
    assert.deepEqual(
      await harness.effects(),
      messages(6).map(({ text }) => text),
    )
  },
}

const restartCases: Cases<ConsumerHarness> = {
  'restart: of the broker loses nothing and applies nothing twice': async (harness) => {
    const consumers: RunningConsumer[] = []
    await harness.publish(messages(20))
    consumers.push(await harness.consume(quick, applying(harness)))
    await until(async () => (await harness.effects()).length > 0, 'the first effect')
    await harness.restartBroker?.()
    await harness.publish(messages(30).slice(20))
    await harness.idle()
    for (const consumer of consumers) await consumer.stop()
    assert.deepEqual(sorted(await harness.effects()), sorted(messages(30).map(({ text }) => text)))
  },
}
