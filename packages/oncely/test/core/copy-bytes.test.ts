import { expect, test } from 'vitest'
import { copyBytes } from '../../src/core/copy-bytes.ts'

test.each([0, 1, 23, 24, 25, 26, 60])('%i bytes are copied to their place, and nothing beside them is touched', (length) => {
  const from = Uint8Array.from({ length: 80 }, (_, nth) => nth + 1)
  const to = new Uint8Array(80)
  copyBytes(from, 7, 7 + length, to, 9)
  expect([...to]).toEqual([...new Uint8Array(9), ...from.subarray(7, 7 + length), ...new Uint8Array(80 - 9 - length)])
})
