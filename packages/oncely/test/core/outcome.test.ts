import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Outcome, sameBytes, sameOutcome } from '../../src/core/index.ts'

const outcome = (codec: number, ...bytes: number[]): Outcome => ({ codec, bytes: Uint8Array.from(bytes), checksum: new Uint8Array(16) })

describe('two outcomes', () => {
  test('are the same when codec and bytes are', () => {
    expect(sameOutcome(outcome(1, 1, 2), outcome(1, 1, 2))).toBe(true)
    expect(sameOutcome(outcome(1, 1, 2), { ...outcome(1, 1, 2), checksum: new Uint8Array(16).fill(1) })).toBe(true)
  })

  test('differ by codec, by one byte and by length', () => {
    expect(sameOutcome(outcome(1, 1, 2), outcome(2, 1, 2))).toBe(false)
    expect(sameOutcome(outcome(1, 1, 2), outcome(1, 1, 3))).toBe(false)
    expect(sameOutcome(outcome(1, 1, 2), outcome(1, 1, 2, 0))).toBe(false)
    expect(sameOutcome(outcome(1, 1, 2), outcome(1, 1))).toBe(false)
  })
})

describe('two byte arrays', () => {
  test('are the same exactly when every byte is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4, max: 2 }), fc.uint8Array({ maxLength: 4, max: 2 }), (a, b) => {
        expect(sameBytes(a, b)).toBe(a.join() === b.join() && a.length === b.length)
        expect(sameBytes(a, a.slice())).toBe(true)
      }),
    )
  })

  test('are compared as bytes, whatever view they are', () => {
    expect(sameBytes(Buffer.from([1, 2]), new Uint8Array([0, 1, 2]).subarray(1))).toBe(true)
    expect(sameBytes(new Uint8Array(0), new Uint8Array(0))).toBe(true)
  })
})
