import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigurationError, type Duration, formatDuration, parseDuration } from '../../src/core/index.ts'

describe('a duration', () => {
  test.each<[Duration, number]>([
    [0, 0],
    [250, 250],
    [1.4, 1],
    ['0ms', 0],
    ['250ms', 250],
    ['1.5s', 1_500],
    ['1.25s', 1_250],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['30d', 2_592_000_000],
  ])('of %j is %d ms', (duration, ms) => {
    expect(parseDuration('lease', duration)).toBe(ms)
  })

  test.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e300,
    '',
    '5',
    's',
    '5 s',
    '-5s',
    '5S',
    '1e3s',
    '.5s',
    '5s ',
    '5w',
    undefined,
    null,
    true,
    {},
  ])('is refused when it is %j', (duration) => {
    expect(() => parseDuration('policy.lease', duration as Duration)).toThrow(ConfigurationError)
    expect(() => parseDuration('policy.lease', duration as Duration)).toThrow(/^policy\.lease is /)
  })

  test.each([
    [0, '0ms'],
    [1, '1ms'],
    [1_500, '1500ms'],
    [90_000, '90s'],
    [120_000, '2m'],
    [7_200_000, '2h'],
    [172_800_000, '2d'],
  ])('of %d ms is written %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  test('is read back as it was written', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (ms) => {
        expect(parseDuration('x', formatDuration(ms) as Duration)).toBe(ms)
      }),
    )
  })
})
