import { describe, expect, test } from 'vitest'
import { ConfigurationError, checkBound, checkLimits, type Limits, limitBounds } from '../../src/core/index.ts'

const names = Object.keys(limitBounds) as (keyof Limits)[]

describe('the limits', () => {
  test('are the presets when nothing is set', () => {
    expect(checkLimits()).toEqual(Object.fromEntries(names.map((name) => [name, limitBounds[name].preset])))
  })

  test.each(names)('%s takes both ends of its range and nothing beyond', (name) => {
    const { min, max } = limitBounds[name]
    const set = (value: number): number => checkLimits({ keyBytesMin: 1, keyBytesMax: 4_096, [name]: value })[name]
    expect(set(min)).toBe(min)
    expect(set(max)).toBe(max)
    for (const value of [min - 1, max + 1, min + 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => set(value)).toThrow(ConfigurationError)
    }
  })

  test.each(names)('%s has its preset inside its range', (name) => {
    const { preset, min, max } = limitBounds[name]
    expect(preset).toBeGreaterThanOrEqual(min)
    expect(preset).toBeLessThanOrEqual(max)
  })

  test('carry their unit, or count things', () => {
    for (const name of names) expect(name).toMatch(/(Bytes(Min|Max)|Ms|Max)$/)
  })

  test('that are unknown are refused with the names of the others', () => {
    expect(() => checkLimits({ keyLength: 3 } as unknown as Partial<Limits>)).toThrow(
      /^limits\.keyLength is not a limit; the limits are keyBytesMin, /,
    )
  })

  test('of a key leave room between least and most', () => {
    expect(() => checkLimits({ keyBytesMin: 40, keyBytesMax: 39 })).toThrow('limits.keyBytesMin is 40, more than limits.keyBytesMax 39')
    expect(checkLimits({ keyBytesMin: 40, keyBytesMax: 40 })).toMatchObject({ keyBytesMin: 40, keyBytesMax: 40 })
  })
})

describe('a bound', () => {
  const bound = { preset: 5, min: 1, max: 10 }

  test('says the value, the range and the preset', () => {
    expect(() => checkBound('batchMax', 11, bound)).toThrow('batchMax is 11; it must be a whole number from 1 to 10 (preset 5).')
  })

  test('is its preset when nothing is given', () => {
    expect([checkBound('batchMax', undefined, bound), checkBound('batchMax', 7, bound)]).toEqual([5, 7])
  })
})
