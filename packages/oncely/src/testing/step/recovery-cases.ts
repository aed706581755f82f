import assert from 'node:assert/strict'
import { type EffectOptions, isOncelyError } from '../../core/index.ts'
import type { Cases } from '../runner.ts'
import { type Handler, Provider, retryWithKey, runUntilDeath, type StepWorld } from './step-world.ts'

/** What one attempt leaves to the next. */
export const recoveryCases: Cases<StepWorld> = {
  'steps: run in order, and the whole is replayed': async (world) => {
    const provider = new Provider()
    const handler: Handler = async ({ step, input }) => {
      await world.add(step, 'reserve')
      const paid = await step.effect('pay', retryWithKey, ({ key }) => provider.call(key, 'receipt'))
      await world.add(step, 'confirm')
      return { input, paid }
    }
    const process = await world.process(handler)
    const value = { input: { trip: 1 }, paid: 'receipt' }
    assert.deepEqual(await process.run(), { status: 'done', value, attempt: 1 })
    assert.deepEqual(await (await world.process(handler)).run(), { status: 'replayed', value })
    assert.deepEqual([await world.rows(), provider.calls.length], [['reserve', 'confirm'], 1])
  },

  'steps: an attempt after a crash replays what is finished and goes on': async (world) => {
    const provider = new Provider()
    const booking =
      (died?: () => Promise<never>): Handler =>
      async ({ step, attempt }) => {
        const reserved = await world.add(step, 'reserve')
        const paid = await step.effect('pay', retryWithKey, ({ key }) => provider.call(key, `receipt ${attempt}`))
        await died?.()
        await world.add(step, 'confirm')
        return [reserved, paid, attempt]
      }
    await runUntilDeath((died) => world.process(booking(died)))
    assert.equal((await (await world.process(booking())).run()).status, 'in-progress')
    await world.lapse()
    assert.deepEqual(await (await world.process(booking())).run(), { status: 'done', value: ['reserve done', 'receipt 1', 2], attempt: 2 })
    assert.deepEqual([await world.rows(), provider.calls.length], [['reserve', 'confirm'], 1])
  },

  'steps: what fails before its first step is released': async (world) => {
    const process = await world.process(async () => {
      throw new RangeError('not yet')
    })
    await assert.rejects(process.run(), RangeError)
    assert.equal(await world.state(process), 'released')
  },

  'steps: a step that throws is rolled back, and its operation goes on at once with the next call': async (world) => {
    let fails = true
    const process = await world.process(async ({ step }) => {
      await world.add(step, 'reserve')
      await step.transaction('confirm', async (tx) => {
        await world.subject.transactional.effects.add(tx, 'confirm')
        if (fails) throw new RangeError('not yet')
      })
      return 'booked'
    })
    await assert.rejects(process.run(), RangeError)
    assert.deepEqual([await world.state(process), await world.rows()], ['running', ['reserve']])
    fails = false
    await world.lapse(1_000)
    assert.equal((await process.run()).status, 'done')
    assert.deepEqual(await world.rows(), ['reserve', 'confirm'])
  },

  'steps: an owner that was overtaken writes nothing with its step': async (world) => {
    let goOn = (): void => {}
    const overtaken = new Promise<void>((resolve) => {
      goOn = resolve
    })
    let arrived = (): void => {}
    const waiting = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const booking =
      (pause?: () => Promise<void>): Handler =>
      async ({ step, attempt }) => {
        await world.add(step, 'reserve')
        await pause?.()
        await step.transaction('confirm', (tx) => world.subject.transactional.effects.add(tx, `confirm ${attempt}`))
        return attempt
      }
    const first = await world.process(booking(() => waits(arrived, overtaken)))
    const late = first.run()
    await waiting
    await world.lapse()
    assert.equal((await (await world.process(booking())).run()).status, 'done')
    goOn()
    assert.deepEqual(await late, { status: 'replayed', value: 2 })
    assert.deepEqual(await world.rows(), ['reserve', 'confirm 2'])
  },

  'steps: an owner that was overtaken inside its step rolls it back': async (world) => {
    const { supersede, effects } = world.subject.transactional
    if (supersede === undefined) return
    let superseded = false
    const process = await world.process(async ({ step, record }) => {
      await step.transaction('reserve', async (tx) => {
        await effects.add(tx, 'reserve')
        if (!superseded)
          await supersede(
            tx,
            Uint8Array.from(record.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
          )
        superseded = true
      })
      return 'booked'
    })
    assert.equal((await process.run()).status, 'in-progress')
    assert.deepEqual(await world.rows(), [])
  },

  'steps: an owner that was overtaken calls nobody': async (world) => {
    const provider = new Provider()
    let goOn = (): void => {}
    const overtaken = new Promise<void>((resolve) => {
      goOn = resolve
    })
    let arrived = (): void => {}
    const waiting = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const booking =
      (pause?: () => Promise<void>): Handler =>
      async ({ step, attempt }) => {
        await world.add(step, 'reserve')
        await pause?.()
        return step.effect('pay', retryWithKey, ({ key }) => provider.call(key, attempt))
      }
    const late = (await world.process(booking(() => waits(arrived, overtaken)))).run()
    await waiting
    await world.lapse()
    assert.equal((await (await world.process(booking())).run()).status, 'done')
    goOn()
    assert.deepEqual([(await late).status, provider.calls.length], ['replayed', 1])
  },

  'steps: a value that would not come back equal is refused, and nothing of its step is kept': async (world) => {
    const process = await world.process(async ({ step }) => {
      await world.add(step, 'reserve')
      return step.transaction('confirm', async (tx) => {
        await world.subject.transactional.effects.add(tx, 'confirm')
        return new Date(0)
      })
    })
    await assert.rejects(process.run(), (error) => isOncelyError(error) && error.code === 'ONCELY_VALUE_NOT_STORABLE')
    assert.deepEqual(await world.rows(), ['reserve'])
  },

  'steps: a drained process leaves its operation to the next, not in doubt': async (world) => {
    let arrived = (): void => {}
    const waiting = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const booking =
      (pause?: (signal: AbortSignal) => Promise<void>): Handler =>
      async ({ step, signal }) => {
        await world.add(step, 'reserve')
        await pause?.(signal)
        await world.add(step, 'confirm')
        return 'booked'
      }
    const ended = (signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    const first = await world.process(booking((signal) => waits(arrived, ended(signal))))
    const late = first.run()
    const told = assert.rejects(late, (error) => isOncelyError(error) && error.code === 'ONCELY_DRAINING')
    await waiting
    await first.oncely.drain()
    await told
    await world.lapse(1_000)
    assert.equal((await (await world.process(booking())).run()).status, 'done')
    assert.deepEqual(await world.rows(), ['reserve', 'confirm'])
  },

  'steps: an operation that ended its own transaction in a step is quarantined': async (world) => {
    const { effects, end } = world.subject.transactional
    const process = await world.process(async ({ step }) =>
      step.transaction('reserve', async (tx) => {
        await effects.add(tx, 'reserve')
        await end(tx)
      }),
    )
    await assert.rejects(process.run(), (error) => isOncelyError(error) && error.code === 'ONCELY_TRANSACTION_ESCAPED')
    assert.equal(await world.state(process), 'quarantined')
    assert.deepEqual([(await process.run()).status, await world.rows()], ['quarantined', ['reserve']])
  },

  'completer: finishes what nobody holds, without its caller': async (world) => {
    const provider = new Provider()
    const booking =
      (died?: () => Promise<never>): Handler =>
      async ({ step, input, deriveKey }) => {
        await world.add(step, 'reserve')
        await died?.()
        const paid = await step.effect('pay', retryWithKey, ({ key }) => provider.call(key, deriveKey('x')))
        return { input, paid }
      }
    const first = await runUntilDeath((died) => world.process(booking(died)))
    await world.lapse()
    const second = await world.process(booking())
    await second.oncely.start({ completer: { everyMs: 20 } })
    for (let look = 0; (await world.state(first)) !== 'completed' && look < 500; look++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    const outcome = await (await world.process(booking())).run()
    assert.equal(outcome.status, 'replayed')
    assert.deepEqual([await world.rows(), provider.calls.length], [['reserve'], 1])
  },

  'completer: what fails each time is quarantined after the attempts of its policy': async (world) => {
    const process = await world.process(
      async ({ step }) => {
        await world.add(step, 'reserve')
        throw new RangeError('never')
      },
      { policy: { attemptsMax: 3 } },
    )
    await assert.rejects(process.run(), RangeError)
    await process.oncely.start({ completer: { everyMs: 20, backoffMs: 1, backoffMaxMs: 1 } })
    for (let look = 0; (await world.state(process)) !== 'quarantined' && look < 500; look++) {
      await world.lapse(1_000)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.deepEqual([await world.state(process), await world.rows()], ['quarantined', ['reserve']])
  },

  'completer: goes on with what an operator released after a quarantine, from its recovery points': async (world) => {
    const provider = new Provider()
    const booking =
      (onAmbiguous: EffectOptions<unknown>['onAmbiguous']): Handler =>
      async ({ step }) => {
        await world.add(step, 'reserve')
        const paid = await step.effect('pay', { remoteKeyLifetime: '24h', onAmbiguous }, ({ key }) => {
          provider.call(key, 'receipt')
          throw new Error('reset')
        })
        await world.add(step, 'confirm')
        return paid
      }
    const process = await world.process(booking('quarantine'))
    assert.equal((await process.run()).status, 'quarantined')
    const record = await process.oncely.read(process.oncely.recordId({ principal: 'alice', key: 'trip-1' }))
    assert.ok(record?.state === 'quarantined')
    const released = await process.oncely.resolve(record, { applied: false, by: 'ops', reason: 'a look-up was added' })
    assert.equal(released.word, 'resolved')
    const repaired = await world.process(booking({ lookup: async ({ key }) => ({ verdict: 'applied', value: provider.applied.get(key) }) }))
    await repaired.oncely.start({ completer: { everyMs: 20 } })
    for (let look = 0; (await world.state(process)) !== 'completed' && look < 500; look++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(await repaired.run(), { status: 'replayed', value: 'receipt' })
    // Nothing was tried twice: attempts count anew from the release.
    assert.equal((await process.oncely.read(record.id))?.attempt, 1)
    assert.deepEqual([await world.rows(), provider.calls.length], [['reserve', 'confirm'], 1])
  },
}

/** Says that the place is reached, and goes on with `end`. */
function waits(arrived: () => void, end: Promise<void>): Promise<void> {
  arrived()
  return end
}
