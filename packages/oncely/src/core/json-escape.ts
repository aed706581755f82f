/** The text of JSON strings: escapes are read in any spelling and written in the one of RFC 8785 §3.2.2.2. */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LETTER_U = 0x75
const ZERO = 0x30
const HEX_DIGITS = '0123456789abcdef'

/** What the letter after a backslash stands for. */
const CODE_OF_LETTER: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': 0x22, '\\': 0x5c, '/': 0x2f, b: 0x08, f: 0x0c, n: 0x0a, r: 0x0d, t: 0x09 }).map(([letter, code]) => [
    letter.charCodeAt(0),
    code,
  ]),
)
/** The letter of the two-character escapes that are kept; a slash stands for itself. */
const LETTER_OF_CODE: ReadonlyMap<number, number> = new Map(
  [...CODE_OF_LETTER].filter(([letter]) => letter !== 0x2f).map(([letter, code]) => [code, letter]),
)

/** 1 for the bytes that stand for themselves in a string: printable ASCII but quote and backslash. */
const STANDS_FOR_ITSELF = Uint8Array.from({ length: 256 }, (_, byte) =>
  Number(byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH),
)

/** The place of the first byte from here that does not stand for itself. */
export function plainTextEnd(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length && STANDS_FOR_ITSELF[bytes[at] as number] === 1) at++
  return at
}

/** The UTF-16 code unit of the escape whose backslash is at `at`, or −1 when there is none; its length is 6 after `\u`, else 2. */
export function escapedUnit(bytes: Uint8Array, at: number): number {
  if (at + 1 >= bytes.length || bytes[at] !== BACKSLASH) return -1
  const letter = bytes[at + 1] as number
  return letter === LETTER_U ? hexValue(bytes, at + 2) : (CODE_OF_LETTER.get(letter) ?? -1)
}

/** Four hexadecimal digits, or −1. */
function hexValue(bytes: Uint8Array, from: number): number {
  let value = 0
  for (let at = from; at < from + 4; at++) {
    const byte = at < bytes.length ? (bytes[at] as number) : 0
    const lower = byte | 0x20
    if (byte >= ZERO && byte <= 0x39) value = value * 16 + byte - ZERO
    else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57
    else return -1
  }
  return value
}

/** Writes one character of a string, escaped or as UTF-8, never longer than any escape of it; returns the place after it. */
export function writeCharacter(code: number, output: Uint8Array, at: number): number {
  let end = at
  const letter = LETTER_OF_CODE.get(code)
  if (letter !== undefined) {
    output[end++] = BACKSLASH
    output[end++] = letter
  } else if (code < 0x20) {
    for (const byte of [BACKSLASH, LETTER_U, ZERO, ZERO, ZERO + (code >> 4), HEX_DIGITS.charCodeAt(code & 15)]) output[end++] = byte
  } else if (code < 0x80) {
    output[end++] = code
  } else {
    if (code < 0x800) output[end++] = 0xc0 | (code >> 6)
    else {
      if (code < 0x10000) output[end++] = 0xe0 | (code >> 12)
      else {
        output[end++] = 0xf0 | (code >> 18)
        output[end++] = 0x80 | ((code >> 12) & 0x3f)
      }
      output[end++] = 0x80 | ((code >> 6) & 0x3f)
    }
    output[end++] = 0x80 | (code & 0x3f)
  }
  return end
}
