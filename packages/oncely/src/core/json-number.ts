/**
 * The layout of RFC 8785 §3.2.2.3 (ECMAScript's `Number::toString`), applied to the exact decimal value that was written
 * instead of to the nearest double.
 *
 * Where the number survives the trip through a double, the two agree, so `1`, `1.0` and `1e0` are all `1`. Where it does not
 * (`9007199254740993`, `1e400`, twenty decimals), RFC 8785 would print the neighbour's digits; here every digit stays, so two
 * different values never share a text and one value, however written, has one text.
 */

/** Digits of an exponent beyond which a number is refused: its value still fits a safe integer with room for the point's shift. */
export const JSON_EXPONENT_DIGITS_MAX = 15

const ZERO = 0x30
const NINE = 0x39

export function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE
}

/** The place of the first byte from here that is no digit. */
export function digitsEnd(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length && isDigit(bytes[at] as number)) at++
  return at
}

/** The canonical text of a number in JSON grammar, or `undefined` when its exponent is out of range. Linear in the text's length. */
export function canonicalNumber(text: string): string | undefined {
  const negative = text.startsWith('-')
  const exponentAt = text.search(/[eE]/)
  const coefficient = text.slice(negative ? 1 : 0, exponentAt < 0 ? text.length : exponentAt)
  const pointAt = coefficient.indexOf('.')
  const wholeLength = pointAt < 0 ? coefficient.length : pointAt
  const written = pointAt < 0 ? coefficient : coefficient.slice(0, pointAt) + coefficient.slice(pointAt + 1)

  // Loops, not /0+$/: that expression is quadratic on a long run of zeros inside the digits.
  let first = 0
  while (first < written.length && written.charCodeAt(first) === ZERO) first++
  if (first === written.length) return '0'
  let last = written.length
  while (written.charCodeAt(last - 1) === ZERO) last--

  const exponent = exponentAt < 0 ? 0 : exponentValue(text.slice(exponentAt + 1))
  if (exponent === undefined) return undefined
  return (negative ? '-' : '') + layOut(written.slice(first, last), wholeLength - first + exponent)
}

function exponentValue(text: string): number | undefined {
  const negative = text.startsWith('-')
  let first = negative || text.startsWith('+') ? 1 : 0
  while (first < text.length - 1 && text.charCodeAt(first) === ZERO) first++
  if (text.length - first > JSON_EXPONENT_DIGITS_MAX) return undefined
  const magnitude = Number(text.slice(first))
  return negative ? -magnitude : magnitude
}

/** ECMA-262 `Number::toString`, steps 6 to 12: `digits` without zeros at either end, the decimal point after `point` of them. */
function layOut(digits: string, point: number): string {
  if (point > 0 && point <= 21) {
    return digits.length <= point ? digits.padEnd(point, '0') : `${digits.slice(0, point)}.${digits.slice(point)}`
  }
  if (point > -6 && point <= 0) return `0.${'0'.repeat(-point)}${digits}`
  const fraction = digits.length === 1 ? '' : `.${digits.slice(1)}`
  return `${digits[0]}${fraction}e${point > 0 ? '+' : '-'}${Math.abs(point - 1)}`
}
