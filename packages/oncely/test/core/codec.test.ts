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

  test.each(['😀', 'a\ud83d\ude00b', '\ud800\udc00\udbff\udfff', '\ufffd'])('for the text %j', (value) => {
    expect(again(value)).toBe(value)
    expect(again({ [value]: [value] })).toEqual({ [value]: [value] })
  })

  test('for an object without a prototype, as its members', () => {
    expect(again(Object.assign(Object.create(null), { a: 1 }))).toEqual({ a: 1 })
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
  const ring: unknown[] = []
  ring.push(ring)
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
    ['a low surrogate alone', '\udc00', /lone surrogate/],
    ['a low surrogate inside', 'a\udc00b', /lone surrogate/],
    ['two high surrogates', '\ud800\ud800', /lone surrogate/],
    ['surrogates in the wrong order', ['\udc00\ud800'], /at \/0 is a string with a lone surrogate/],
    ['a toJSON', { toJSON: () => 1 }, /toJSON/],
    ['a hidden toJSON', Object.defineProperty({ a: 1 }, 'toJSON', { value: () => 1 }), /toJSON/],
    ['an instance of a class without a name', [Object.create(Object.create(null))], /an instance of a class/],
    ['a symbol member', { [Symbol('s')]: 1 }, /symbol members/],
    ['__proto__', JSON.parse('{"__proto__":1}'), /at \/__proto__ is a member named __proto__/],
    ['a cycle', cycle, /nesting deeper than 500/],
    ['a cycle of arrays', ring, /nesting deeper than 500/],
  ])('%s', (_, value, message) => {
    expect(() => encodeValue(value)).toThrow(message)
    expect(() => encodeValue(value)).toThrow(expect.objectContaining({ code: 'ONCELY_VALUE_NOT_STORABLE' }))
  })
})

test('a value nested as deep as it may be comes back, and one level more is refused', () => {
  const nested = (depth: number): unknown => {
    let value: unknown = 'core'
    for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value }
    return value
  }
  expect(again(nested(500))).toEqual(nested(500))
  expect(() => encodeValue(nested(501))).toThrow(/nesting deeper than 500/)
})

test('a rejection is judged by the same rules', () => {
  expect(() => encodeRejectedValue(new Map())).toThrow(/The value at the top is an instance of Map/)
  expect(() => encodeRejectedValue(undefined)).toThrow(/at the top is a undefined/)
})

test('stored bytes that are no UTF-8 are an error, never a text with other characters', () => {
  expect(() => decodeValue({ codec: 1, bytes: Uint8Array.of(0x22, 0xff, 0x22) })).toThrow()
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
