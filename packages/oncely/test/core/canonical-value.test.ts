import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../src/core/canonical-json.ts'
import type { CanonicalOptions } from '../../src/core/canonical-options.ts'
import { canonicalValue } from '../../src/core/canonical-value.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The canonical text, or the reason with its path. */
function canonical(value: unknown, options?: CanonicalOptions): string {
  const result = canonicalValue(value, options)
  return result.ok ? decoder.decode(result.bytes) : `${result.reason} at ${JSON.stringify(result.path)}`
}

describe('the canonical form of a value', () => {
  test('is that of its JSON text', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary', maxDepth: 5 }), (value) => {
        expect(canonicalValue(value)).toEqual(canonicalJson(encoder.encode(JSON.stringify(value))))
      }),
      { numRuns: 400 },
    )
  })

  test('has every digit of a bigint, and equals the number of that value', () => {
    fc.assert(
      fc.property(fc.bigInt(), (value) => {
        expect(canonicalValue(value)).toEqual(canonicalJson(encoder.encode(String(value))))
      }),
    )
    expect(canonical([5n, 5, 9007199254740993n])).toBe('[5,5,9007199254740993]')
  })

  test('leaves out members that are undefined, keeps those that are null', () => {
    expect(canonical({ b: undefined, a: null })).toBe('{"a":null}')
    expect(canonical({ b: undefined })).toBe(canonical({}))
  })

  test('takes objects without prototype and of another realm, and a member named __proto__', () => {
    const members = [
      ['__proto__', 1],
      ['a', -0],
    ]
    const own = Object.fromEntries(members)
    const bare = Object.assign(Object.create(null), own)
    const foreign = runInNewContext('Object.fromEntries(members)', { members })
    for (const object of [own, bare, foreign]) expect(canonical(object)).toBe('{"__proto__":1,"a":0}')
  })

  test('has no trace of excluded parts, whatever they hold', () => {
    const value = { ts: new Date(0), lines: [{ id: 1, ts: 2 }, { id: 3 }], kept: { ts: 4 } }
    expect(canonical(value, { exclude: ['/ts', '/lines/*/ts'] })).toBe('{"kept":{"ts":4},"lines":[{"id":1},{"id":3}]}')
    expect(canonical([1, 2, 3], { exclude: ['/0', '/2'] })).toBe('[2]')
    expect(canonical([1, [2], 3], { exclude: ['/1/0', '/*/0/7'] })).toBe('[1,[],3]')
    expect(canonical([1], { exclude: [] })).toBe('[1]')
  })
})

test('an excluded * is every element of an array, and of an object only the member of that name', () => {
  const without = (value: unknown) => {
    const result = canonicalValue(value, { exclude: ['/*'] })
    return result.ok && new TextDecoder().decode(result.bytes)
  }
  expect(without({ '*': 1, a: 2 })).toBe('{"a":2}')
  expect(without([1, 2])).toBe('[]')
})

describe('what JSON cannot carry is refused, with its path', () => {
  class Money {
    amount = 1
  }
  const hole: unknown[] = [1]
  hole[2] = 3
  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'unsupported at ""'],
    ['undefined in an array', { a: [1, undefined] }, 'unsupported at "/a/1"'],
    ['a hole', hole, 'unsupported at "/1"'],
    ['a function', { a: { b: () => 1 } }, 'unsupported at "/a/b"'],
    ['a symbol', [Symbol('s')], 'unsupported at "/0"'],
    ['a member named by a symbol', { a: { [Symbol('s')]: 1 } }, 'unsupported at "/a"'],
    ['NaN', { 'a/b': Number.NaN }, 'unsupported at "/a~1b"'],
    ['Infinity', { 'a~b': [Number.POSITIVE_INFINITY] }, 'unsupported at "/a~0b/0"'],
    ['a Date', { at: new Date(0) }, 'unsupported at "/at"'],
    ['a Map', [new Map()], 'unsupported at "/0"'],
    ['a Set', new Set(), 'unsupported at ""'],
    ['bytes', [Uint8Array.of(1)], 'unsupported at "/0"'],
    ['an instance of a class', { money: new Money() }, 'unsupported at "/money"'],
    ['a boxed number', [Object(1)], 'unsupported at "/0"'],
    ['a lone surrogate in a value', ['\ud800'], 'lone-surrogate at "/0"'],
    ['a lone surrogate in a name', { a: { '\udc00': 1 } }, 'lone-surrogate at "/a"'],
  ])('%s', (_, value, refusal) => {
    expect(canonical(value)).toBe(refusal)
  })

  test('more than jsonDepthMax containers, a value inside itself, 100,000 nested arrays', () => {
    expect(canonical([[1]], { jsonDepthMax: 1 })).toBe('depth at "/0"')
    expect(canonical([1], { jsonDepthMax: 1 })).toBe('[1]')
    const circle: { self?: unknown } = {}
    circle.self = circle
    expect(canonical(circle)).toMatch(/^depth at "(\/self){128}"$/)
    let deep: unknown = []
    for (let depth = 1; depth < 100_000; depth++) deep = [deep]
    expect(canonical(deep)).toMatch(/^depth at/)
    expect(canonical(deep, { jsonDepthMax: 100_000 })).toBe('['.repeat(100_000) + ']'.repeat(100_000))
  })
})
