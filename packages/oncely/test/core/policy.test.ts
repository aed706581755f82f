import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  checkPolicyBind,
  type Duration,
  definePolicy,
  type PolicyOptions,
  parseDuration,
  policyPresets,
  recordPolicy,
  survivesOrder,
} from '../../src/core/index.ts'

const hour = 3_600_000
const day = 24 * hour

describe('a preset', () => {
  test.each(Object.keys(policyPresets))('%s adds up as it is', (name) => {
    expect(definePolicy(name)).toEqual(policyPresets[name as keyof typeof policyPresets])
  })

  test('keeps what it promises', () => {
    expect(policyPresets.financial).toMatchObject({
      retentionMs: 30 * day,
      tombstoneMs: 90 * day,
      onLostLease: 'uncertain',
      onStoreDown: 'closed',
      onUnrecorded: 'withhold',
      replayTo: 'actor',
      survives: 'power',
    })
    expect(policyPresets.standard).toMatchObject({
      retentionMs: day,
      tombstoneMs: 3 * day,
      onLostLease: 'uncertain',
      onStoreDown: 'closed',
      survives: 'restart',
    })
    expect(policyPresets.telemetry).toMatchObject({ retentionMs: hour, onLostLease: 'takeover', onStoreDown: 'open', survives: 'nothing' })
  })

  test('is what docs/policies.md says, value by value', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../../docs/policies.md'), 'utf8')
    const rows = page
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')))
    const durations = new Set(['retention', 'tombstone', 'lease', 'effectTimeout', 'wait'])
    for (const [nth, name] of (['financial', 'standard', 'telemetry'] as const).entries()) {
      const said: Record<string, unknown> = { name }
      for (const [, options = '', ...cells] of rows) {
        const values = (cells[nth] ?? '').split(' + ')
        for (const [at, option] of options.split(' + ').entries()) {
          const value = values[at] as string
          if (durations.has(option) || values.length > 1) said[`${option}Ms`] = parseDuration(option, value as Duration)
          else said[option] = option === 'attemptsMax' ? Number(value) : value
        }
      }
      expect(policyPresets[name]).toEqual(said)
    }
  })

  test('that is unknown is refused with the names of the others', () => {
    expect(() => definePolicy('strict')).toThrow('Policy "strict" is unknown; the presets are financial, standard, telemetry.')
  })

  test('names what a store must survive, from weakest to strongest', () => {
    expect(survivesOrder).toEqual(['nothing', 'restart', 'power', 'failover'])
  })
})

describe('own values', () => {
  test('replace those of the preset and mark its name', () => {
    const policy = definePolicy('standard', {
      retention: '48h',
      tombstone: '96h',
      lease: 10_000,
      attemptsMax: 5,
      onConcurrent: 'wait',
      wait: '2s',
    })
    expect(policy).toEqual({
      ...policyPresets.standard,
      name: 'standard*',
      retentionMs: 48 * hour,
      tombstoneMs: 96 * hour,
      leaseMs: 10_000,
      attemptsMax: 5,
      onConcurrent: 'wait',
      waitMs: 2_000,
    })
  })

  test.each<[PolicyOptions, object]>([
    [{ effectTimeout: '7s' }, { effectTimeoutMs: 7_000 }],
    [{ onLostLease: 'takeover' }, { onLostLease: 'takeover' }],
    [{ onStoreDown: 'open' }, { onStoreDown: 'open' }],
    [{ onUnrecorded: 'withhold' }, { onUnrecorded: 'withhold' }],
    [{ replayTo: 'actor' }, { replayTo: 'actor' }],
    [{ survives: 'failover' }, { survives: 'failover' }],
    [{ retryHorizon: '1h' }, { retryHorizonMs: hour }],
    [{ backoffCeiling: '2h' }, { backoffCeilingMs: 2 * hour }],
    [{ partitionRecovery: '1h' }, { partitionRecoveryMs: hour }],
    [{ brokerRedelivery: '1h' }, { brokerRedeliveryMs: hour }],
  ])('such as %o change what they name, and nothing else', (options, changed) => {
    expect(definePolicy('standard', options)).toEqual({ ...policyPresets.standard, name: 'standard*', ...changed })
  })

  test('that are undefined leave the preset as it is', () => {
    expect(definePolicy('standard', { lease: undefined } as unknown as PolicyOptions)).toEqual({
      ...policyPresets.standard,
      name: 'standard*',
    })
  })

  test.each([
    ['onLostLease', 'retry', 'uncertain, takeover'],
    ['onStoreDown', 'half-open', 'closed, open'],
    ['onUnrecorded', 'hide', 'withhold, answer'],
    ['onConcurrent', 'queue', 'reject, wait'],
    ['replayTo', 'anybody', 'actor, principal'],
    ['survives', 'fire', 'nothing, restart, power, failover'],
  ])('of %s are one of its words', (name, value, words) => {
    expect(() => definePolicy('standard', { [name]: value })).toThrow(`policy.${name} is "${value}"; it must be one of ${words}.`)
  })

  test.each([0, 1.5, 30_001, Number.NaN])('of attemptsMax are whole and in range, not %d', (attemptsMax) => {
    expect(() => definePolicy('standard', { attemptsMax })).toThrow(
      `policy.attemptsMax is ${attemptsMax}; it must be a whole number from 1 to 30000.`,
    )
  })

  test('at both ends of the range of attemptsMax are taken', () => {
    expect([1, 30_000].map((attemptsMax) => definePolicy('standard', { attemptsMax }).attemptsMax)).toEqual([1, 30_000])
  })

  test('under a name that is no option are refused with the options', () => {
    expect(() => definePolicy('standard', { ttl: '1h' } as PolicyOptions)).toThrow(
      /^policy\.ttl is not an option; the options are retention, tombstone, /,
    )
  })

  test('without a unit are refused by the name of the option', () => {
    expect(() => definePolicy('standard', { retention: '24' as '24h' })).toThrow('policy.retention is "24"')
  })
})

describe('what does not add up is refused with the sum', () => {
  test('a lease too short to be renewed', () => {
    expect(() => definePolicy('standard', { lease: 999 })).toThrow('policy.lease is 999ms, below the least of 1s')
    expect(definePolicy('standard', { lease: 1_000 }).leaseMs).toBe(1_000)
  })

  test('a lease that outlives the outcome', () => {
    expect(() => definePolicy('standard', { lease: '24h' })).toThrow('policy.lease is 1d, not below policy.retention 1d')
    expect(definePolicy('standard', { lease: day - 1 }).leaseMs).toBe(day - 1)
  })

  test('a tombstone that ends before the outcome', () => {
    expect(() => definePolicy('standard', { tombstone: day - 1_000 })).toThrow('policy.tombstone is 86399s, below policy.retention 1d')
    expect(definePolicy('standard', { tombstone: '24h' }).tombstoneMs).toBe(day)
  })

  test('a retention shorter than the longest way of a duplicate', () => {
    expect(() => definePolicy('standard', { retention: '20h' })).toThrow(
      'policy.retention is 20h, below the 21h that a duplicate can take (retryHorizon 12h + backoffCeiling 1h + partitionRecovery 4h + brokerRedelivery 4h)',
    )
    expect(definePolicy('standard', { retention: '21h' }).retentionMs).toBe(21 * hour)
    expect(definePolicy('standard', { retention: '20h', retryHorizon: '11h' }).retryHorizonMs).toBe(11 * hour)
  })
})

describe('a policy and its bind', () => {
  const { financial, standard, telemetry } = policyPresets

  test('open when the store is down needs a lease', () => {
    expect(() => checkPolicyBind('track', telemetry, 'transaction', false)).toThrow(
      'Operation "track": onStoreDown "open" needs bind "lease"',
    )
    expect(() => checkPolicyBind('track', telemetry, 'steps', false)).toThrow('bind "steps"')
    expect(() => checkPolicyBind('track', telemetry, 'lease', true)).not.toThrow()
  })

  test('rerunnable is for a lease', () => {
    expect(() => checkPolicyBind('pay', standard, 'transaction', true)).toThrow('Operation "pay": rerunnable is for bind "lease"')
    expect(() => checkPolicyBind('pay', standard, 'transaction', false)).not.toThrow()
  })

  test('a payment is not repeated after a crash, unless the operation says why it may be', () => {
    const repeating = definePolicy('financial', { onLostLease: 'takeover' })
    expect(() => checkPolicyBind('pay', repeating, 'lease', false)).toThrow('would repeat a payment after a crash')
    expect(() => checkPolicyBind('pay', repeating, 'lease', true)).not.toThrow()
    expect(() => checkPolicyBind('pay', financial, 'lease', false)).not.toThrow()
  })

  test('a record keeps the part that decides about it', () => {
    expect(recordPolicy(standard)).toEqual({
      name: 'standard',
      retentionMs: day,
      tombstoneMs: 3 * day,
      attemptsMax: 100,
      onLostLease: 'uncertain',
      effectTimeoutMs: 30_000,
    })
  })
})
