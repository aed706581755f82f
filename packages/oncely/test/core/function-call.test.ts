import { describe, expect, expectTypeOf, test } from 'vitest'
import type { Execution } from '../../src/core/attempt.ts'
import { callFunction, type RunResult } from '../../src/core/function-call.ts'
import { codecIds, type Engine, encodeRejectedValue, encodeValue, OutcomeCorrupt, type RecordSummary } from '../../src/core/index.ts'
import { engineWorld, oneCall } from '../support/engine-world.ts'

const record = 'ab'.repeat(32)
const summary = { attempt: 3 } as RecordSummary
const { charge } = (() => {
  const { oncely } = engineWorld().start()
  return { charge: oncely.operation('charge', { bind: 'lease', policy: ['standard', { survives: 'nothing' }] }) }
})()

/** What a function call answers when the engine ends it so. */
function answerTo(execution: Execution<unknown>): Promise<RunResult<unknown>> {
  const engine = { execute: async () => execution } as unknown as Engine<never>
  return callFunction(engine, charge.definition, oneCall, () => 1)
}

describe('a function call answers', () => {
  test.each<[string, Execution<unknown>, RunResult<unknown>]>([
    ['a value that it ran for', { status: 'done', value: 7, record, attempt: 2 }, { status: 'done', value: 7, attempt: 2 }],
    ['a value that is recorded', { status: 'replayed', stored: encodeValue(7), summary, record }, { status: 'replayed', value: 7 }],
    [
      'a value of nothing',
      { status: 'replayed', stored: encodeValue(undefined), summary, record },
      { status: 'replayed', value: undefined },
    ],
    ['a new rejection', { status: 'rejected', value: 'no', record, attempt: 1 }, { status: 'rejected', value: 'no', replayed: false }],
    [
      'a recorded rejection',
      { status: 'replayed', stored: encodeRejectedValue('no'), summary, record },
      { status: 'rejected', value: 'no', replayed: true },
    ],
    [
      'that the value was not stored',
      { status: 'replayed', stored: { codec: codecIds.notStored, bytes: new Uint8Array(0) }, summary, record },
      { status: 'not-stored' },
    ],
    ['that another call runs', { status: 'in-progress', retryAfterMs: 40, record }, { status: 'in-progress', retryAfterMs: 40 }],
    ['a mismatch', { status: 'mismatch', record }, { status: 'mismatch' }],
    ['that the key is used up', { status: 'expired', summary, record }, { status: 'expired' }],
    ['that it may not be told', { status: 'forbidden', record }, { status: 'forbidden' }],
    ['doubt, with the record to look at', { status: 'uncertain', summary, record }, { status: 'uncertain', record }],
    ['quarantine, with the record to look at', { status: 'quarantined', summary, record }, { status: 'quarantined', record }],
    [
      'a value that is not recorded, where the policy answers',
      { status: 'unrecorded', value: 7, answer: true, retryAfterMs: 9, record },
      { status: 'unrecorded', value: 7, retryAfterMs: 9 },
    ],
    [
      'no value that is not recorded, where the policy withholds',
      { status: 'unrecorded', value: 7, answer: false, retryAfterMs: 9, record },
      { status: 'unrecorded', value: undefined, retryAfterMs: 9 },
    ],
    ['a value without protection', { status: 'unprotected', value: 7 }, { status: 'unprotected', value: 7 }],
    [
      'that it did not run, and why',
      { status: 'unavailable', reason: 'store', retryAfterMs: 9, cause: 'x', record },
      { status: 'unavailable', reason: 'store', retryAfterMs: 9, cause: 'x' },
    ],
  ])('%s', async (_, execution, result) => {
    expect(await answerTo(execution)).toEqual(result)
  })

  test('a typed error for an outcome that another entry point recorded', async () => {
    const stored = { codec: codecIds.http, bytes: new Uint8Array(0) }
    await expect(answerTo({ status: 'replayed', stored, summary, record })).rejects.toBeInstanceOf(OutcomeCorrupt)
  })

  test('nothing for a judgement that no function call makes', async () => {
    await expect(answerTo({ status: 'failed', value: 7, disposition: 'released', record })).rejects.toThrow(TypeError)
  })
})

describe('a function call', () => {
  test('hands the handler its validated input, and no transaction under a lease', async () => {
    const { oncely } = engineWorld().start()
    const typed = oncely.operation('typed', {
      bind: 'lease',
      policy: ['standard', { survives: 'nothing' }],
      input: {
        '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value: { amount: Number(value) } }) },
      },
    })
    const result = await typed.run({ ...oneCall, input: '5' as never }, (context) => {
      expectTypeOf(context.input).toEqualTypeOf<{ amount: number }>()
      return [context.input, 'tx' in context]
    })
    expect(result).toMatchObject({ status: 'done', value: [{ amount: 5 }, false] })
  })

  test('is fingerprinted by the input as it was given, and an absent input differs from null', async () => {
    const { oncely } = engineWorld().start()
    const typed = oncely.operation('typed', {
      bind: 'lease',
      policy: ['standard', { survives: 'nothing' }],
      input: { '~standard': { version: 1, vendor: 'test', validate: () => ({ value: 'always the same' }) } },
    })
    const none = { principal: 'acme', key: 'k1', input: undefined as never }
    await typed.run(none, () => 1)
    expect(await typed.run(none, () => 2)).toMatchObject({ status: 'replayed', value: 1 })
    expect(await typed.run({ ...none, input: null as never }, () => 2)).toEqual({ status: 'mismatch' })
    await typed.run({ ...none, key: 'k2', input: 'a' as never }, () => 1)
    expect(await typed.run({ ...none, key: 'k2', input: 'b' as never }, () => 2)).toEqual({ status: 'mismatch' })
  })

  test('records bytes and nothing as what they are', async () => {
    const { oncely } = engineWorld().start()
    const charge = oncely.operation('charge', { bind: 'lease', policy: ['standard', { survives: 'nothing' }] })
    for (const value of [Uint8Array.of(1, 2), undefined, null, '', 0, false]) {
      const call = { ...oneCall, key: `key of ${String(value)}${typeof value}` }
      await charge.run(call, () => value)
      expect(await charge.run(call, () => 'again')).toEqual({ status: 'replayed', value })
    }
  })
})
