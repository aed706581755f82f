import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeValue, encodeRejectedValue, encodeValue, openOutcome, sealOutcome } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'

const again = (value: unknown): unknown => decodeValue(openOutcome(sealOutcome(encodeValue(value), nodeHasher), nodeHasher))

describe('a value that is accepted comes back equal', () => {
  test('for any JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        let encoded: unknown
        try {
          encoded = again(value)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ONCELY_VALUE_NOT_STORABLE' })
          return
        }
        expect(encoded).toStrictEqual(value)
      }),
    )
  })

  test.each([
    [undefined],
    [null],
    [0],
    [''],
    [false],
    [[]],
    [{}],
    [[null, { a: [] }]],
    [new Uint8Array(0)],
    [new Uint8Array([0, 255, 128])],
  ])('for %j', (value) => {
    expect(again(value)).toStrictEqual(value)
  })

  test('for a rejection', () => {
    const encoded = encodeRejectedValue({ code: 'declined' })
    expect(decodeValue(encoded)).toEqual({ code: 'declined' })
    expect(encoded.codec).not.toBe(encodeValue({ code: 'declined' }).codec)
  })
})

describe('a value that would not come back equal is refused, with its place and without the value', () => {
  class Money {
    amount = 1
  }
  const hole: unknown[] = [1]
  hole.length = 2
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  test.each([
    ['a date', { at: new Date(0) }, /at \/at is an instance of Date/],
    ['a map', [new Map()], /at \/0 is an instance of Map/],
    ['an instance', { money: new Money() }, /instance of Money/],
    ['an undefined member', { a: { b: undefined } }, /at \/a\/b is a undefined/],
    ['a hole', [hole], /at \/0\/1 is a undefined/],
    ['a function', { f: () => 1 }, /a function/],
    ['a symbol', Symbol('s'), /at the top is a symbol/],
    ['a bigint', { n: 1n }, /a bigint/],
    ['NaN', Number.NaN, /is NaN/],
    ['infinity', [Number.POSITIVE_INFINITY], /is Infinity/],
    ['negative zero', [-0], /is -0/],
    ['a lone surrogate', 'a\ud800', /lone surrogate/],
    ['a toJSON', { toJSON: () => 1 }, /toJSON/],
    ['a symbol member', { [Symbol('s')]: 1 }, /symbol members/],
    ['__proto__', JSON.parse('{"__proto__":1}'), /named __proto__/],
    ['a cycle', cycle, /nesting deeper than 500/],
  ])('%s', (_, value, message) => {
    expect(() => encodeValue(value)).toThrow(message)
    expect(() => encodeValue(value)).toThrow(expect.objectContaining({ code: 'ONCELY_VALUE_NOT_STORABLE' }))
  })
})

test('a stored outcome that is missing or changed is an error, never a wrong replay', () => {
  const outcome = sealOutcome(encodeValue('paid'), nodeHasher)
  expect(() => openOutcome(undefined, nodeHasher)).toThrow(/missing before its retention ended/)
  const flipped = { ...outcome, bytes: outcome.bytes.map((byte, index) => (index === 2 ? byte ^ 1 : byte)) }
  expect(() => openOutcome(flipped, nodeHasher)).toThrow(/fails its checksum/)
  expect(() => openOutcome({ ...outcome, codec: 2 }, nodeHasher)).toThrow(/fails its checksum/)
})

test('an outcome of another entry point is not guessed at', () => {
  expect(() => decodeValue({ codec: 3, bytes: new Uint8Array(0) })).toThrow(/codec 3/)
})
