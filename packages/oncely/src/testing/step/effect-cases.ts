import assert from 'node:assert/strict'
import { type EffectOptions, type EffectUndo, Rejection } from '../../core/index.ts'
import { EffectFailureReplayed, EffectNotApplied } from '../../step/index.ts'
import type { Cases } from '../runner.ts'
import { type Handler, Provider, retryWithKey, runUntilDeath, type StepWorld } from './step-world.ts'

const day = 86_400_000

/** Calls that may have been applied, and what may follow them. */
export const effectCases: Cases<StepWorld> = {
  'effect: is called again under the same key when its caller died in the call': async (world) => {
    const provider = new Provider()
    await diesInCall(world, provider, retryWithKey)
    assert.equal((await (await paying(world, provider, retryWithKey)).run()).status, 'done')
    assert.deepEqual([provider.calls.length, provider.applied.size], [2, 1])
  },

  'effect: is called again under the same key after an answer that was lost': async (world) => {
    const provider = new Provider()
    const process = await paying(world, provider, retryWithKey, (calls) => {
      if (calls === 1) throw new Error('reset')
    })
    assert.equal((await process.run()).status, 'done')
    assert.deepEqual([provider.calls.length, provider.applied.size], [2, 1])
  },

  'effect: stays in progress while its calls are not answered, and is finished by a later attempt': async (world) => {
    const provider = new Provider()
    const process = await paying(world, provider, { ...retryWithKey, callsMax: 2 }, (calls) => {
      if (calls <= 2) throw new Error('reset')
    })
    assert.equal((await process.run()).status, 'in-progress')
    await world.lapse(1_000)
    assert.equal((await process.run()).status, 'done')
    assert.deepEqual([provider.calls.length, provider.applied.size], [3, 1])
  },

  'effect: is left to an operator where its policy says so': async (world) => {
    const provider = new Provider()
    await diesInCall(world, provider, { ...retryWithKey, onAmbiguous: 'quarantine' })
    const process = await paying(world, provider, { ...retryWithKey, onAmbiguous: 'quarantine' })
    assert.deepEqual([(await process.run()).status, provider.calls.length], ['quarantined', 1])
  },

  'effect: is not called again once the other side has forgotten its key': async (world) => {
    const provider = new Provider()
    await diesInCall(world, provider, retryWithKey)
    await world.lapse(day)
    const process = await paying(world, provider, retryWithKey)
    assert.deepEqual([(await process.run()).status, provider.calls.length], ['quarantined', 1])
  },

  'effect: is looked up where its policy says so, and the answer found is its value': async (world) => {
    const provider = new Provider()
    const found = { ...retryWithKey, onAmbiguous: { lookup: lookupOf(provider) } }
    await diesInCall(world, provider, found)
    const result = await (await paying(world, provider, found)).run()
    assert.deepEqual([result, provider.calls.length], [{ status: 'done', value: 'receipt', attempt: 2 }, 1])
  },

  'effect: a stored failure that is replayed ends in the look-up, and a new key follows only its proof': async (world) => {
    const provider = new Provider()
    const keys: string[] = []
    const process = await world.process(async ({ step }) =>
      step.effect('pay', { ...retryWithKey, lookup: lookupOf(provider) }, ({ key, generation }) => {
        keys.push(`${generation} ${key}`)
        if (generation === 1) throw keys.length === 1 ? new Error('500') : new EffectFailureReplayed('500')
        return provider.call(key, 'receipt')
      }),
    )
    assert.equal((await process.run()).status, 'done')
    const [first, again, third] = keys
    assert.deepEqual([keys.length, first === again, third === again, third?.startsWith('2 ')], [3, true, false, true])
  },

  'effect: a stored failure that is replayed is left to an operator where there is no look-up': async (world) => {
    let calls = 0
    const process = await world.process(async ({ step }) =>
      step.effect('pay', retryWithKey, () => {
        calls++
        throw calls === 1 ? new Error('500') : new EffectFailureReplayed('500')
      }),
    )
    assert.deepEqual([(await process.run()).status, calls], ['quarantined', 2])
  },

  'effect: "not applied" does not count while an unanswered call may still arrive': async (world) => {
    const provider = new Provider()
    const absent = { ...retryWithKey, onAmbiguous: { lookup: async () => ({ verdict: 'not-applied' }) as const } }
    const process = await world.process(async ({ step }) =>
      step.effect('pay', absent, ({ key }) => {
        provider.call(key, 'receipt')
        if (provider.calls.length === 1) throw new Error('reset')
      }),
    )
    assert.deepEqual([(await process.run()).status, provider.calls.length], ['in-progress', 1])
    await world.lapse()
    assert.equal((await process.run()).status, 'done')
    assert.deepEqual([provider.calls.length, provider.applied.size], [2, 2])
  },

  'effect: what was surely not sent is sent again under the same key, whatever its policy': async (world) => {
    const keys: string[] = []
    const process = await world.process(async ({ step }) =>
      step.effect('pay', { ...retryWithKey, onAmbiguous: 'quarantine' }, ({ key }) => {
        keys.push(key)
        if (keys.length < 3) throw new EffectNotApplied('connection refused')
        return 'receipt'
      }),
    )
    assert.equal((await process.run()).status, 'done')
    assert.deepEqual([keys.length, new Set(keys).size], [3, 1])
  },

  'effect: a call that was not sent says nothing of the one before': async (world) => {
    let calls = 0
    const process = await world.process(async ({ step }) =>
      step.effect('pay', { ...retryWithKey, callsMax: 2 }, () => {
        calls++
        throw calls === 1 ? new Error('reset') : new EffectNotApplied('connection refused')
      }),
    )
    assert.equal((await process.run()).status, 'in-progress')
    await world.lapse(day)
    assert.deepEqual([(await process.run()).status, calls], ['quarantined', 2])
  },

  'effect: each step and each record has a key of its own': async (world) => {
    const keys = new Set<string>()
    const process = await world.process(async ({ step, key: callers }) => {
      await step.effect('pay', retryWithKey, ({ key }) => void keys.add(key))
      await step.effect('mail', retryWithKey, ({ key }) => void keys.add(key))
      keys.add(callers)
    })
    await process.run()
    await process.run({ key: 'trip-2' })
    assert.equal(keys.size, 6)
  },

  'undo: a rejection takes back what was done, newest first, and is replayed': async (world) => {
    const provider = new Provider()
    const process = await world.process(rejecting(world, provider))
    assert.deepEqual(await process.run(), { status: 'rejected', value: 'no seat', replayed: false })
    assert.deepEqual(await process.run(), { status: 'rejected', value: 'no seat', replayed: true })
    assert.deepEqual(await world.rows(), ['reserve', 'ticket', 'ticket undone', 'reserve undone'])
    assert.deepEqual([...provider.applied.values()], ['receipt', 'refund receipt'])
  },

  'undo: runs once, also when its process dies between two of them': async (world) => {
    const provider = new Provider()
    await runUntilDeath((died) => world.process(rejecting(world, provider, died)))
    await world.lapse()
    assert.deepEqual(await (await world.process(rejecting(world, provider))).run(), {
      status: 'rejected',
      value: 'no seat',
      replayed: false,
    })
    assert.deepEqual(await world.rows(), ['reserve', 'ticket', 'ticket undone', 'reserve undone'])
    assert.deepEqual([...provider.applied.values()], ['receipt', 'refund receipt'])
  },

  'undo: nothing new runs once the decision is stored, whatever the handler decides then': async (world) => {
    const provider = new Provider()
    await runUntilDeath((died) => world.process(rejecting(world, provider, died)))
    await world.lapse()
    const process = await world.process(async (context) => {
      await rejecting(world, provider)(context).catch(() => {})
      await world.add(context.step, 'confirm')
      return 'booked'
    })
    assert.deepEqual(await process.run(), { status: 'rejected', value: 'no seat', replayed: false })
    assert.deepEqual(await world.rows(), ['reserve', 'ticket', 'ticket undone', 'reserve undone'])
  },

  'undo: nothing is taken back while an effect is unknown': async (world) => {
    const process = await world.process(async ({ step }) => {
      await world.add(step, 'reserve', 'reserve undone')
      try {
        await step.effect('pay', { ...retryWithKey, callsMax: 1 }, () => {
          throw new Error('reset')
        })
      } catch {
        throw new Rejection('payment failed')
      }
    })
    assert.deepEqual([(await process.run()).status, await world.rows()], ['in-progress', ['reserve']])
  },

  'undo: one that fails is left to an operator': async (world) => {
    const process = await world.process(async ({ step }) => {
      await world.add(step, 'reserve', 'reserve undone')
      await step.transaction('ticket', () => 'ticket', {
        undo: () => {
          throw new RangeError('printed')
        },
      })
      throw new Rejection('no seat')
    })
    await assert.rejects(process.run(), RangeError)
    assert.deepEqual([await world.state(process), await world.rows()], ['quarantined', ['reserve']])
  },
}

function lookupOf(provider: Provider) {
  return async ({ key }: { readonly key: string }) =>
    provider.applied.has(key) ? ({ verdict: 'applied', value: provider.applied.get(key) } as const) : ({ verdict: 'not-applied' } as const)
}

/** A process that pays; `after` runs when the call was applied, before its answer arrives. */
function paying(world: StepWorld, provider: Provider, options: EffectOptions<unknown>, after?: (calls: number) => unknown) {
  return world.process(async ({ step }) =>
    step.effect('pay', options, async ({ key }) => {
      const value = provider.call(key, 'receipt')
      await after?.(provider.calls.length)
      return value
    }),
  )
}

/** The call is applied, and its process is gone. */
async function diesInCall(world: StepWorld, provider: Provider, options: EffectOptions<unknown>): Promise<void> {
  await runUntilDeath((died) => paying(world, provider, options, died))
  await world.lapse()
}

function rejecting(world: StepWorld, provider: Provider, died?: () => Promise<never>): Handler {
  return async ({ step }) => {
    const { effects } = world.subject.transactional
    await step.transaction('reserve', (tx) => effects.add(tx, 'reserve'), { undo: (tx) => effects.add(tx, 'reserve undone') })
    const refund: EffectUndo<unknown> = {
      ...retryWithKey,
      call: async ({ key, value }) => {
        provider.call(key, `refund ${value}`)
        await died?.()
      },
    }
    await step.effect('pay', { ...retryWithKey, undo: refund }, ({ key }) => provider.call(key, 'receipt'))
    await world.add(step, 'ticket', 'ticket undone')
    throw new Rejection('no seat')
  }
}
