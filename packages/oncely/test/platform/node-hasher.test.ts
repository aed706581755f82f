import { expect, test } from 'vitest'
import { fromHex, toHex } from '../../src/core/hex.ts'
import { nodeHasher } from '../../src/platform/node-hasher.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

test('SHA-256 of the examples of FIPS 180-4', () => {
  expect(toHex(nodeHasher.sha256(bytes('')))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  expect(toHex(nodeHasher.sha256(bytes('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('HMAC-SHA-256 of the examples of RFC 4231', () => {
  expect(toHex(nodeHasher.hmacSha256(bytes('Jefe'), bytes('what do ya want for nothing?')))).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
  expect(toHex(nodeHasher.hmacSha256(fromHex('aa'.repeat(131)), bytes('Test Using Larger Than Block-Size Key - Hash Key First')))).toBe(
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  )
})

test('the answers are plain bytes that later calls leave alone', () => {
  const first = nodeHasher.sha256(bytes('a'))
  const copy = first.slice()
  for (let nth = 0; nth < 1_000; nth++) nodeHasher.hmacSha256(bytes('k'), bytes(String(nth)))
  expect(first).toEqual(copy)
  expect(Object.getPrototypeOf(first)).toBe(Uint8Array.prototype)
  expect(Object.getPrototypeOf(nodeHasher.hmacSha256(first, first))).toBe(Uint8Array.prototype)
})
