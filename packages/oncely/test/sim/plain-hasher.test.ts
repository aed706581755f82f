import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeHasher } from '../../src/platform/node-hasher.ts'
import { plainHasher } from '../../src/sim/plain-hasher.ts'

test('SHA-256 is that of the platform, for every length around the block size', () => {
  for (let length = 0; length <= 200; length++) {
    const data = Uint8Array.from({ length }, (_, at) => (at * 31 + length) & 0xff)
    expect(plainHasher.sha256(data)).toEqual(nodeHasher.sha256(data))
  }
})

test('SHA-256 and HMAC are those of the platform, for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), fc.uint8Array({ maxLength: 600, size: 'max' }), (key, data) => {
      expect(plainHasher.sha256(data)).toEqual(nodeHasher.sha256(data))
      expect(plainHasher.hmacSha256(key, data)).toEqual(nodeHasher.hmacSha256(key, data))
    }),
  )
})

test('a view into a larger buffer is hashed alone', () => {
  const buffer = Uint8Array.from({ length: 100 }, (_, at) => at)
  expect(plainHasher.sha256(buffer.subarray(10, 90))).toEqual(nodeHasher.sha256(buffer.slice(10, 90)))
})
