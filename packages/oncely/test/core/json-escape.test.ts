import { describe, expect, test } from 'vitest'
import { escapedUnit, plainTextEnd, writeCharacter } from '../../src/core/json-escape.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const bounds = [0, 8, 9, 10, 11, 12, 13, 0x1f, 0x20, 0x22, 0x2f, 0x5c, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff]

describe('one character of a string', () => {
  test.each(bounds.map((code) => [code.toString(16), code] as const))('U+%s is written as JSON.stringify writes it', (_, code) => {
    const output = new Uint8Array(20)
    const end = writeCharacter(code, output, 3)
    expect(`"${new TextDecoder().decode(output.subarray(3, end))}"`).toBe(JSON.stringify(String.fromCodePoint(code)))
  })
})

describe('an escape', () => {
  test.each(['\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t', '\\u0000', '\\u00e9', '\\uD834', '\\udd1e', '\\uFFFF'])(
    '%s stands for the unit that JSON.parse reads',
    (text) => {
      expect(escapedUnit(bytes(`x${text}`), 1)).toBe(JSON.parse(`"${text}"`).charCodeAt(0))
    },
  )

  test.each([
    '',
    'n',
    'xn',
    'xu0041',
    '\\',
    '\\x',
    '\\N',
    '\\U0041',
    '\\u',
    '\\u004',
    '\\u00g1',
    '\\u/041',
    '\\u:041',
    '\\u@041',
    '\\u`041',
  ])('%j is none', (text) => {
    expect(escapedUnit(bytes(text), 0)).toBe(-1)
  })
})

test('plain text ends at a quote, a backslash, a control character, a byte beyond ASCII, or the end', () => {
  for (const stop of ['"', '\\', '\u001f', 'é']) expect(plainTextEnd(bytes(`"ab ~\u007f${stop}c`), 1)).toBe(6)
  expect(plainTextEnd(bytes('"abc'), 1)).toBe(4)
})
