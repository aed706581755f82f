import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toHex } from '../../src/core/hex.ts'
import { type IdentityPart, lengthPrefixed } from '../../src/core/length-prefix.ts'

const anyText = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', '|', '\u0000', 'é', '😀', '\ud800', '\ufffd'), maxLength: 4 }),
  fc.string({ unit: 'binary' }),
)
const { list } = fc.letrec<{ part: IdentityPart; list: IdentityPart[] }>((tie) => ({
  part: fc.oneof({ depthSize: 'small' }, anyText, fc.constant(undefined), tie('list')),
  list: fc.array(tie('part'), { maxLength: 4 }),
}))

test('two lists share their bytes only when they are equal', () => {
  fc.assert(
    fc.property(list, list, (one, other) => {
      const equal = JSON.stringify(one) === JSON.stringify(other) && fc.stringify(one) === fc.stringify(other)
      expect(toHex(lengthPrefixed(one)) === toHex(lengthPrefixed(other))).toBe(equal)
    }),
    { numRuns: 3_000 },
  )
})

test('moving a character over a border changes the bytes', () => {
  const splits = [['ab', 'c'], ['a', 'bc'], ['abc', ''], ['', 'abc'], ['abc'], [['ab', 'c']], [['ab'], 'c'], ['abc', undefined]]
  expect(new Set(splits.map((parts) => toHex(lengthPrefixed(parts)))).size).toBe(splits.length)
})

test('text counts as its UTF-8 bytes, and its length is written in four bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(lengthPrefixed([text])).toEqual(lengthPrefixed([new TextEncoder().encode(text)]))
    }),
  )
  expect(toHex(lengthPrefixed(['é']))).toBe('03000000010100000002c3a9')
  expect(toHex(lengthPrefixed([new Uint8Array(0x01020304)]).subarray(5, 10))).toBe('0101020304')
})

test('text with a lone surrogate stays apart from the text that UTF-8 makes of it', () => {
  const texts = ['\ud800', '\ud801', '\ufffd', 'a\udc00', '\ud83d\ude00']
  expect(new Set(texts.map((text) => toHex(lengthPrefixed([text])))).size).toBe(texts.length)
  expect(toHex(lengthPrefixed(['\ud800a', 'b']))).toBe('0300000002' + '0200000004d8000061' + '010000000162')
})
