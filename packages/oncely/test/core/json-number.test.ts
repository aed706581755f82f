import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalNumber, JSON_EXPONENT_DIGITS_MAX } from '../../src/core/json-number.ts'

interface Decimal {
  readonly coefficient: bigint
  readonly exponent: number
}

/** The value as a fraction of whole numbers, so that equality needs no rounding. */
function sameValue(one: Decimal, other: Decimal): boolean {
  const lowest = Math.min(one.exponent, other.exponent)
  return one.coefficient * 10n ** BigInt(one.exponent - lowest) === other.coefficient * 10n ** BigInt(other.exponent - lowest)
}

/** Moves the decimal point and adds zeros: the same value in another spelling. */
function spell({ coefficient, exponent }: Decimal, shift: number, zeros: number, capital: boolean): string {
  const sign = coefficient < 0n ? '-' : ''
  const digits = String(coefficient < 0n ? -coefficient : coefficient) + '0'.repeat(zeros)
  const places = Math.abs(shift) % digits.length
  const whole = digits.slice(0, digits.length - places)
  const fraction = digits.slice(digits.length - places)
  return `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}${capital ? 'E' : 'e'}${shift > 0 ? '+' : ''}${exponent - zeros + places}`
    .replace('E+-', 'E-')
    .replace('e+-', 'e-')
}

const decimal: fc.Arbitrary<Decimal> = fc.record({
  coefficient: fc.oneof(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.bigInt({ min: -20n, max: 20n })),
  exponent: fc.oneof(fc.integer({ min: -30, max: 30 }), fc.integer({ min: -400, max: 400 })),
})

describe('the canonical text of a number', () => {
  test.each([
    ['0', '0'],
    ['-0', '0'],
    ['-0.000', '0'],
    ['0e999999999999999999999', '0'],
    ['100', '100'],
    ['1e20', '100000000000000000000'],
    ['1e21', '1e+21'],
    ['123456789012345678901', '123456789012345678901'],
    ['1234567890123456789012', '1.234567890123456789012e+21'],
    ['1e-6', '0.000001'],
    ['1e-7', '1e-7'],
    ['-12.3400', '-12.34'],
    ['0.00000123', '0.00000123'],
    ['0.000000123', '1.23e-7'],
    ['-1.5E+0002', '-150'],
    ['1e999999999999999', '1e+999999999999999'],
    ['1e+999999999999999', '1e+999999999999999'],
    ['1e+0000000000000000000001', '10'],
    ['1e-0000000000000000000001', '0.1'],
    ['1e-999999999999999', '1e-999999999999999'],
    ['1e0000000000000000000001', '10'],
  ])('%s is %s', (text, expected) => {
    expect(canonicalNumber(text)).toBe(expected)
  })

  test('is none when the exponent has more digits than its limit', () => {
    expect(canonicalNumber(`1e${'9'.repeat(JSON_EXPONENT_DIGITS_MAX)}`)).toBeDefined()
    expect(canonicalNumber(`1e${'9'.repeat(JSON_EXPONENT_DIGITS_MAX + 1)}`)).toBeUndefined()
    expect(canonicalNumber(`1e-1${'0'.repeat(JSON_EXPONENT_DIGITS_MAX)}`)).toBeUndefined()
  })

  test('is that of JavaScript wherever the number survives the trip through a double', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.nat(30), (value, places) => {
        expect(canonicalNumber(String(value))).toBe(String(value === 0 ? 0 : value))
        expect(canonicalNumber(value.toExponential())).toBe(String(value === 0 ? 0 : value))
        if (Math.abs(value) < 1e21) expect(Number(canonicalNumber(value.toFixed(places)))).toBe(Number(value.toFixed(places)) + 0)
      }),
      { numRuns: 2_000 },
    )
  })

  test('is one for one value, however it is written', () => {
    fc.assert(
      fc.property(decimal, fc.integer({ min: -60, max: 60 }), fc.nat(25), fc.boolean(), (value, shift, zeros, capital) => {
        const plain = `${value.coefficient}e${value.exponent}`
        expect(canonicalNumber(spell(value, shift, zeros, capital))).toBe(canonicalNumber(plain))
      }),
      { numRuns: 2_000 },
    )
  })

  test('is shared by two values exactly when they are equal', () => {
    const neighbour = fc.record({ step: fc.bigInt({ min: -2n, max: 2n }), shift: fc.integer({ min: 0, max: 3 }) })
    fc.assert(
      fc.property(decimal, neighbour, (one, { step, shift }) => {
        const other = { coefficient: one.coefficient * 10n ** BigInt(shift) + step, exponent: one.exponent - shift }
        const [first, second] = [one, other].map(({ coefficient, exponent }) => canonicalNumber(`${coefficient}e${exponent}`))
        expect(first === second).toBe(sameValue(one, other))
      }),
      { numRuns: 2_000 },
    )
  })

  test('takes time in proportion to its length, zeros inside included', () => {
    const digits = `1${'0'.repeat(500_000)}1${'0'.repeat(500_000)}`
    expect(canonicalNumber(`${digits}e-1000001`)).toBe(`1.${digits.slice(1, 500_002)}`)
  })
})
