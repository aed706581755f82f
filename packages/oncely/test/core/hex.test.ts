import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromHex, toHex } from '../../src/core/hex.ts'

test('bytes come back from their hexadecimal digits, which are those of the platform', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(toHex(bytes)).toBe(Buffer.from(bytes).toString('hex'))
      expect(fromHex(toHex(bytes))).toEqual(bytes)
      expect(fromHex(toHex(bytes).toUpperCase())).toEqual(bytes)
    }),
  )
})

test.each(['a', '0g', 'g0', '0/', '0:', '@0', '`0', ' 0', 'é0'])('%j is refused', (text) => {
  expect(() => fromHex(text)).toThrow(TypeError)
})
