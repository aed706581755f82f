import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ageOf, type CompletedRecord, compareTokens, type FencingToken, formatToken } from '../../src/core/index.ts'
import { completedLife, policy, startMs } from '../support/record-life.ts'

const token = fc.record({ epoch: fc.nat({ max: 3 }), seq: fc.bigInt({ min: 0n, max: 3n }) })
const sign = (a: FencingToken, b: FencingToken): number => Math.sign(compareTokens(a, b))

describe('fencing tokens', () => {
  test('are ordered by epoch first, then by sequence', () => {
    expect(sign({ epoch: 2, seq: 1n }, { epoch: 1, seq: 9n })).toBe(1)
    expect(sign({ epoch: 1, seq: 2n }, { epoch: 1, seq: 3n })).toBe(-1)
    expect(sign({ epoch: 1, seq: 2n }, { epoch: 1, seq: 2n })).toBe(0)
  })

  test('are told apart beyond the integers that a number holds', () => {
    expect(sign({ epoch: 1, seq: 2n ** 53n + 1n }, { epoch: 1, seq: 2n ** 53n })).toBe(1)
    expect(formatToken({ epoch: 7, seq: 2n ** 63n - 1n })).toBe('7:9223372036854775807')
  })

  test('have one total order', () => {
    fc.assert(
      fc.property(token, token, token, (a, b, c) => {
        expect(sign(a, b) + sign(b, a)).toBe(0)
        if (sign(a, b) >= 0 && sign(b, c) >= 0) expect(sign(a, c)).toBeGreaterThanOrEqual(0)
        expect(sign(a, b) === 0).toBe(formatToken(a) === formatToken(b))
      }),
    )
  })
})

describe('the age of a completed record', () => {
  const record = completedLife().life.record as CompletedRecord

  test.each([
    [0, 'fresh'],
    [policy.retentionMs - 1, 'fresh'],
    [policy.retentionMs, 'tombstone'],
    [policy.tombstoneMs - 1, 'tombstone'],
    [policy.tombstoneMs, 'absent'],
    [-60_000, 'fresh'],
  ])('%d ms after completion is %s', (passedMs, age) => {
    expect(ageOf(record, startMs + passedMs)).toBe(age)
  })

  test('goes from fresh to absent where the policy keeps no tombstone', () => {
    const bare = { ...record, policy: { ...policy, tombstoneMs: policy.retentionMs } }
    expect([policy.retentionMs - 1, policy.retentionMs].map((passedMs) => ageOf(bare, startMs + passedMs))).toEqual(['fresh', 'absent'])
  })
})
