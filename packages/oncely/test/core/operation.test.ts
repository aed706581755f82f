import { anonymous, createOncely, type OncelyOptions, type StandardSchema, type Store, type Survives } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { policyPresets } from '../../src/core/index.ts'
import { defineOperation } from '../../src/core/operation.ts'

const transactional = { phase: 'enforce', transactional: true } as const
const relaxed = ['standard', { survives: 'nothing' }] as const
const instance = (own: Partial<OncelyOptions> = {}) => createOncely({ namespace: 'test', store: memoryStore(), ...own })
const call = { principal: 'acme', key: 'k1', input: {} }

describe('an instance is refused at construction', () => {
  test.each([
    ['without a namespace', { namespace: '' }, /namespace is ""/],
    ['with a namespace that no store could keep', { namespace: 'über' }, /printable ASCII/],
    ['with a limit outside its range', { limits: { keyBytesMax: 0 } }, /limits.keyBytesMax is 0; it must be a whole number from 1 to 4096/],
    ['with a limit that does not exist', { limits: { keyBytesMaximum: 9 } as never }, /limits.keyBytesMaximum is not a limit/],
    ['with a secret that is too short', { secrets: [{ id: 1, key: 'short' }] }, /Secret 1 has 5 bytes, at least 16/],
    [
      'with one secret id twice',
      {
        secrets: [
          { id: 1, key: 'a'.repeat(32) },
          { id: 1, key: 'b'.repeat(32) },
        ],
      },
      /Secret 1 is there twice/,
    ],
    ['with a secret id of 0', { secrets: [{ id: 0, key: 'a'.repeat(32) }] }, /from 1 to 32767/],
  ])('%s', (_, own, message) => {
    expect(() => instance(own)).toThrow(message)
  })
})

describe('an operation is refused when it is declared', () => {
  test.each([
    [
      'with an unknown policy',
      { bind: 'lease', policy: 'fast' },
      /Policy "fast" is unknown; the presets are financial, standard, telemetry/,
    ],
    [
      'with a lease that is not below the retention',
      { bind: 'lease', policy: ['standard', { lease: '25h' }] },
      /policy.lease is 25h, not below policy.retention 1d/,
    ],
    [
      'with a retention below the sum of its parts',
      { bind: 'lease', policy: ['standard', { retention: '10h' }] },
      /policy.retention is 10h, below the 21h .*retryHorizon 12h \+ backoffCeiling 1h/,
    ],
    ['without a bind', { policy: 'standard' }, /has no bind/],
    ['with an unknown bind', { bind: 'magic' }, /bind "magic" is unknown/],
    ['with steps, over a store that keeps none', { bind: 'steps' }, /keeps recovery points/],
    ['bound to a transaction that the store does not have', { bind: 'transaction' }, /needs a store in the user's own database/],
    ['with a phase that does not exist', { bind: 'lease', phase: 'later' }, /phase "later" is unknown/],
    ['with an isolation that does not exist', { bind: 'lease', isolation: 'snapshot' }, /isolation "snapshot" is unknown/],
    ['with a number of retries out of range', { bind: 'lease', retryTransaction: -1 }, /retryTransaction is -1/],
    ['with an exclusion that is no pointer', { bind: 'lease', exclude: ['sentAt'] }, /is not a JSON pointer/],
    [
      'with a takeover that would repeat payments',
      { bind: 'lease', policy: ['financial', { onLostLease: 'takeover' }] },
      /would repeat a payment/,
    ],
  ])('%s', (_, options, message) => {
    expect(() => instance().operation('charge', options as never)).toThrow(message)
  })

  test.each([
    ['an explicit begin in a transaction', { begin: 'explicit' }, /begin "explicit" is for bind "lease"/],
    ['more than 100 retries', { retryTransaction: 101 }, /retryTransaction is 101/],
    ['part of a retry', { retryTransaction: 1.5 }, /retryTransaction is 1.5/],
  ])('with %s', (_, own, message) => {
    expect(() => defineOperation('charge', { bind: 'transaction', ...own } as never, transactional)).toThrow(message)
  })

  test.each(['', 'has space', '/leading', 'x'.repeat(129)])('under the name %j', (name) => {
    expect(() => instance().operation(name, { bind: 'lease' })).toThrow(/Operation name/)
  })

  test('twice under one name', () => {
    const oncely = instance()
    oncely.operation('charge', { bind: 'lease' })
    expect(() => oncely.operation('charge', { bind: 'lease' })).toThrow(/declared twice/)
    expect(oncely.operations.map(({ name }) => name)).toEqual(['charge'])
  })
})

describe('an operation', () => {
  test('has every default filled in', () => {
    expect(defineOperation('charge', { bind: 'transaction' }, transactional)).toEqual({
      name: 'charge',
      bind: 'transaction',
      policy: policyPresets.standard,
      phase: 'enforce',
      keyspace: 'key',
      payloadKey: false,
      begin: 'at-claim',
      rerunnable: false,
      version: 1,
      retryTransaction: 3,
      isolation: 'default',
      exclude: [],
      store: 'outcome',
      encrypt: false,
      redact: undefined,
      adopt: undefined,
      resolver: undefined,
      input: undefined,
    })
  })

  test.each(['default', 'read-committed', 'repeatable-read', 'serializable'] as const)('may ask for the isolation %s', (isolation) => {
    expect(defineOperation('charge', { bind: 'transaction', isolation }, transactional)).toMatchObject({ isolation })
  })

  test.each([0, 100])('may be repeated %i times', (retryTransaction) => {
    expect(defineOperation('charge', { bind: 'transaction', retryTransaction }, transactional)).toMatchObject({ retryTransaction })
  })

  test.each(['observe', 'optional', 'enforce'] as const)('may be in the phase %s', (phase) => {
    expect(defineOperation('charge', { bind: 'lease', phase }, transactional)).toMatchObject({ phase })
  })

  test('cannot be changed once it is declared', () => {
    expect(Object.isFrozen(defineOperation('charge', { bind: 'lease' }, transactional))).toBe(true)
  })
})

describe('a store is refused', () => {
  function surviving(survives: Survives): Store {
    const store = memoryStore()
    store.open = async () => ({ survives, survivesBecause: 'fsync is off', instanceId: 'x' })
    return store
  }

  test('when it survives less than the policy needs, with the reason', async () => {
    const charge = instance({ store: surviving('restart') }).operation('charge', { bind: 'lease', policy: 'financial' })
    await expect(charge.run(call, () => 1)).rejects.toThrow(
      /needs a store that survives power, and memory survives restart, because fsync is off/,
    )
  })

  test('also for an operation that is declared after it was opened', async () => {
    const oncely = instance({ store: surviving('restart') })
    expect(await oncely.operation('log', { bind: 'lease', policy: 'standard' }).run(call, () => 1)).toMatchObject({ status: 'done' })
    await expect(
      oncely.operation('charge', { bind: 'lease', policy: 'financial' }).run({ ...call, key: 'k2' }, () => 1),
    ).rejects.toMatchObject({ code: 'ONCELY_STORE_TOO_WEAK' })
  })

  test('not while an operation only observes', async () => {
    const charge = instance().operation('charge', { bind: 'lease', policy: 'financial', phase: 'observe' })
    expect(await charge.run(call, () => 1)).toMatchObject({ status: 'unprotected' })
  })
})

describe('a call is refused before anything runs', () => {
  const charge = instance().operation('charge', { bind: 'lease', policy: relaxed })
  const never = (): never => {
    throw new Error('it ran')
  }

  test.each([
    ['without a principal', { ...call, principal: '' }, 'ONCELY_PRINCIPAL_MISSING'],
    ['with a principal of undefined', { ...call, principal: undefined as never }, 'ONCELY_PRINCIPAL_MISSING'],
    ['with an empty key', { ...call, key: '' }, 'ONCELY_KEY_INVALID'],
    ['with a key over the limit', { ...call, key: 'k'.repeat(256) }, 'ONCELY_KEY_INVALID'],
    ['with a key of another type', { ...call, key: 5 as never }, 'ONCELY_KEY_INVALID'],
    ['with a payload that JSON cannot carry', { ...call, input: { at: new Map() } as never }, 'ONCELY_INVALID_INPUT'],
  ])('%s', async (_, wrong, code) => {
    await expect(charge.run(wrong, never)).rejects.toMatchObject({ code })
  })

  test('and the message tells the size and the bound, but never the key', async () => {
    const key = `secret-${'k'.repeat(300)}`
    const error: unknown = await charge.run({ ...call, key }, never).catch((thrown: unknown) => thrown)
    expect(String(error)).toMatch(/307 bytes .* 1 to 255 bytes/)
    expect(String(error)).not.toContain('secret')
  })

  test('when its input does not fit the schema; the issues name the members and no key is used up', async () => {
    const schema: StandardSchema<unknown, { amount: number }> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) => {
          const { amount } = value as { amount?: unknown }
          return typeof amount === 'number'
            ? { value: { amount: amount + 1 } }
            : { issues: [{ message: 'not a number', path: ['amount', { key: 0 }] }, { message: 'wrong' }] }
        },
      },
    }
    const typed = instance().operation('typed', { bind: 'lease', policy: relaxed, input: schema })
    await expect(typed.run({ ...call, input: { amount: 'x' } as never }, never)).rejects.toMatchObject({
      code: 'ONCELY_INVALID_INPUT',
      issues: ['/amount/0: not a number', '/: wrong'],
    })
    expect(await typed.run({ ...call, input: { amount: 1 } }, ({ input }) => input.amount)).toMatchObject({ status: 'done', value: 2 })
  })

  test('anonymous callers share keys only where that is written, and never with a caller of that name', async () => {
    const open = instance().operation('open', { bind: 'lease', policy: relaxed })
    expect(await open.run({ ...call, principal: anonymous }, () => 1)).toMatchObject({ status: 'done' })
    expect(await open.run({ ...call, principal: anonymous }, () => 2)).toMatchObject({ status: 'replayed', value: 1 })
    expect(await open.run({ ...call, principal: 'anonymous' }, () => 3)).toMatchObject({ status: 'done', value: 3 })
  })

  test('within needs an operation that is bound to a transaction', async () => {
    await expect(charge.within(undefined as never, call, never)).rejects.toThrow(/within\(\) needs bind: 'transaction'/)
  })
})

test('a rotated secret still reads the records made under the older one; a lost one never runs them again', async () => {
  const store = memoryStore()
  const older = { id: 1, key: 'a'.repeat(32) }
  const newer = { id: 2, key: 'b'.repeat(32) }
  const withSecrets = (...secrets: (typeof older)[]) => instance({ store, secrets }).operation('charge', { bind: 'lease', policy: relaxed })
  await withSecrets(older).run(call, () => 1)
  expect(await withSecrets(newer, older).run(call, () => 2)).toEqual({ status: 'replayed', value: 1 })
  expect(await withSecrets(newer, older).run({ ...call, input: { other: true } }, () => 2)).toEqual({ status: 'mismatch' })
  expect(await withSecrets(newer).run(call, () => 2)).toMatchObject({ status: 'unavailable', reason: 'fingerprint-secret' })
})

test('importing and constructing start no timer', () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  instance().operation('charge', { bind: 'lease' })
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before)
})
