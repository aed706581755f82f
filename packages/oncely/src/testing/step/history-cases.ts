import assert from 'node:assert/strict'
import { isOncelyError } from '../../core/index.ts'
import type { Cases } from '../runner.ts'
import { type Handler, Provider, retryWithKey, runUntilDeath, type StepWorld } from './step-world.ts'

/** The handler must repeat what is recorded; code that does not is stopped before it runs anything. */
export const historyCases: Cases<StepWorld> = {
  'history: a changed order is refused, and nothing runs': (world) =>
    refuses(world, 'ONCELY_STEP_HISTORY', async ({ step }) => {
      await world.add(step, 'ticket')
      await world.add(step, 'reserve')
    }),

  'history: a step put before recorded ones is refused': (world) =>
    refuses(world, 'ONCELY_STEP_HISTORY', async ({ step }) => {
      await world.add(step, 'check')
      await world.add(step, 'reserve')
      await world.add(step, 'ticket')
    }),

  'history: a missing step is refused, also when nothing follows it': (world) =>
    refuses(world, 'ONCELY_STEP_HISTORY', async ({ step }) => {
      await world.add(step, 'reserve')
      return 'booked'
    }),

  'history: a step of another kind is refused': (world) =>
    refuses(world, 'ONCELY_STEP_HISTORY', async ({ step }) => {
      await step.effect('reserve', retryWithKey, () => assert.fail('the effect ran'))
    }),

  'history: a handler that swallows the refusal does not get past it': (world) =>
    refuses(world, 'ONCELY_STEP_HISTORY', async ({ step }) => {
      await world.add(step, 'ticket').catch(() => {})
      return 'booked'
    }),

  'history: a version without a handler is quarantined': async (world) => {
    await recorded(world)
    const process = await world.process(async ({ step }) => void (await world.add(step, 'new')), { version: 2 })
    await assert.rejects(process.run(), (error) => isOncelyError(error) && error.code === 'ONCELY_STEP_VERSION')
    assert.deepEqual([await world.state(process), await world.rows()], ['quarantined', ['reserve', 'ticket']])
  },

  'history: an older version beside the new one finishes what it began': async (world) => {
    await recorded(world)
    const process = await world.process(async () => assert.fail('the new version ran'), {
      version: 2,
      older: new Map([[1, booking(world)]]),
    })
    assert.deepEqual(await process.run(), { status: 'done', value: 1, attempt: 2 })
    assert.deepEqual(await world.rows(), ['reserve', 'ticket', 'confirm'])
  },

  'history: two steps of one name are refused': async (world) => {
    const process = await world.process(async ({ step }) => {
      await world.add(step, 'reserve')
      await world.add(step, 'reserve')
    })
    await assert.rejects(process.run(), (error) => isOncelyError(error) && error.code === 'ONCELY_STEP_HISTORY')
    assert.deepEqual(await world.rows(), ['reserve'])
  },

  'history: a step that begins while another runs is refused, and waited for': async (world) => {
    const process = await world.process(async ({ step }) => {
      await Promise.all([world.add(step, 'reserve'), world.add(step, 'ticket')])
    })
    await assert.rejects(process.run(), (error) => isOncelyError(error) && error.code === 'ONCELY_STEP_HISTORY')
    assert.deepEqual([await world.rows(), await world.state(process)], [['reserve'], 'quarantined'])
  },

  'history: steps that are declared parallel have places of their own': async (world) => {
    const provider = new Provider()
    const handler =
      (died?: () => Promise<never>): Handler =>
      async ({ step, attempt }) => {
        const both = await step.parallel([
          async (branch) => {
            const flight = await branch.effect('flight', retryWithKey, ({ key }) => provider.call(key, `flight ${attempt}`))
            await world.add(branch, 'note flight')
            return flight
          },
          async (branch) => {
            await died?.()
            return branch.effect('hotel', retryWithKey, ({ key }) => provider.call(key, `hotel ${attempt}`))
          },
        ])
        return both
      }
    const first = runUntilDeath((died) =>
      world.process(async (context) =>
        handler(async () => {
          while ((await world.rows()).length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
          return died()
        })(context),
      ),
    )
    await first
    await world.lapse()
    assert.deepEqual(await (await world.process(handler())).run(), { status: 'done', value: ['flight 1', 'hotel 2'], attempt: 2 })
    assert.deepEqual([await world.rows(), provider.calls.length], [['note flight'], 2])
  },
}

function booking(world: StepWorld, died?: () => Promise<never>): Handler {
  return async ({ step, version }) => {
    await world.add(step, 'reserve')
    await world.add(step, 'ticket')
    await died?.()
    await world.add(step, 'confirm')
    return version
  }
}

/** An operation that has lost its owner after two steps. */
async function recorded(world: StepWorld): Promise<void> {
  await runUntilDeath((died) => world.process(booking(world, died)))
  await world.lapse()
}

async function refuses(world: StepWorld, code: string, changed: Handler): Promise<void> {
  await recorded(world)
  const process = await world.process(changed)
  await assert.rejects(process.run(), (error) => isOncelyError(error) && error.code === code)
  assert.deepEqual([await world.state(process), await world.rows()], ['quarantined', ['reserve', 'ticket']])
  assert.equal((await process.run()).status, 'quarantined')
}
