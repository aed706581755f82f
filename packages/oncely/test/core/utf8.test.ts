import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isWellFormed, utf8Length, utf8SequenceLength } from '../../src/core/utf8.ts'

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
)

test('the length of a text is that of its encoding', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
    }),
  )
})

test.each([
  '\u007f',
  '\u0080',
  '\u07ff',
  '\u0800',
  '\uffff',
  '\ud800\udc00',
  '\ud800\udfff',
  '\udbff\udc00',
  '\udbff\udfff',
  '\ud7ff\udc00',
  '\ud800\udbff',
  '\ud800\ue000',
  '\udc00\udc00',
  '\ud800',
])('so is that of %j, at the bounds of what a character takes', (text) => {
  expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
})

test('a text is well formed when it comes back from its encoding', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(isWellFormed(text)).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text)) === text)
    }),
  )
  expect(isWellFormed('a\ud800')).toBe(false)
  expect(isWellFormed('\udc00\ud800')).toBe(false)
  expect(isWellFormed('😀')).toBe(true)
})

test('a sequence is one exactly when the platform decodes it', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const near = fc.constantFrom(
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xed,
    0xee,
    0xef,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 0x80, max: 0xff }),
      fc.array(fc.oneof(near, fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
      (lead, others) => {
        const bytes = Uint8Array.of(lead, ...others)
        const expected = [2, 3, 4].find((length) => {
          try {
            return bytes.length >= length && [...decoder.decode(bytes.subarray(0, length))].length === 1
          } catch {
            return false
          }
        })
        expect(utf8SequenceLength(bytes, 0)).toBe(expected ?? 0)
      },
    ),
    { numRuns: 5_000 },
  )
})
