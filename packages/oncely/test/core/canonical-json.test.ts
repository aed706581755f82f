import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../src/core/canonical-json.ts'
import type { CanonicalOptions } from '../../src/core/canonical-options.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The canonical text, or the reason with its offset. */
function canonical(text: string | Uint8Array, options?: CanonicalOptions): string {
  const result = canonicalJson(typeof text === 'string' ? encoder.encode(text) : text, options)
  return result.ok ? decoder.decode(result.bytes) : `${result.reason} at ${result.offset}`
}

const wellFormed = fc.string({ unit: 'binary' })
const json = fc.jsonValue({ stringUnit: 'binary', maxDepth: 5 })

/** The same document written otherwise: members in random order, white space, escapes. */
function spelling(value: unknown, random: () => number): string {
  const space = () => ['', '', ' ', '\n\t', '\r\n  '][Math.floor(random() * 5)] ?? ''
  const text = (word: string) =>
    `"${Array.from({ length: word.length }, (_, at) => {
      const unit = word.charCodeAt(at)
      const plain = unit >= 0x20 && unit < 0xd800 && word[at] !== '"' && word[at] !== '\\'
      if (plain && random() < 0.7) return word[at] === '/' && random() < 0.5 ? '\\/' : word[at]
      const digits = unit.toString(16).padStart(4, '0')
      return `\\u${random() < 0.5 ? digits : digits.toUpperCase()}`
    }).join('')}"`
  const write = (part: unknown): string => {
    if (typeof part === 'string') return text(part)
    if (Array.isArray(part)) return `[${space()}${part.map(write).join(`${space()},${space()}`)}${space()}]`
    if (typeof part !== 'object' || part === null) return JSON.stringify(part)
    const members = Object.entries(part)
      .map((member) => ({ member, at: random() }))
      .sort((one, other) => one.at - other.at)
    return `{${space()}${members.map(({ member: [name, inner] }) => `${text(name)}${space()}:${space()}${write(inner)}`).join(`${space()},${space()}`)}${space()}}`
  }
  return space() + write(value) + space()
}

describe('agreement with RFC 8785', () => {
  test('the example of RFC 8785 §3.2.3, but for the number that a double cannot carry', () => {
    const input = `{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
      "literals": [null, true, false]
    }`
    expect(canonical(input)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.33333329,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    )
  })

  test('members go by UTF-16 code units: the example of RFC 8785 §3.2.3', () => {
    const input = '{"\\u20ac":1,"\\r":2,"\\ufb33":3,"1":4,"\\ud83d\\ude00":5,"\\u0080":6,"\\u00f6":7}'
    expect(canonical(input)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}')
  })

  test('any value gives the bytes that another implementation gives', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonical(JSON.stringify(value))).toBe(canonicalize(value))
      }),
      { numRuns: 400 },
    )
  })

  test('any double gives the text that another implementation gives', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(canonical(JSON.stringify(value))).toBe(canonicalize(value))
      }),
      { numRuns: 2_000 },
    )
  })

  test('names with escapes, in objects of any size, are ordered as JavaScript orders their text', () => {
    const unit = fc.constantFrom(
      '\\',
      '"',
      '\n',
      '\u0001',
      '\u000b',
      'n',
      'u',
      '0',
      '!',
      'a',
      '\u007f',
      'ö',
      '\ue000',
      '\uffff',
      '😀',
      '\u{10000}',
    )
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ unit, maxLength: 5 }), { maxLength: 60, size: 'max' }), (names) => {
        const input = `{${names.map((name) => `${JSON.stringify(name)}:0`).join(',')}}`
        const expected = `{${names
          .toSorted()
          .map((name) => `${JSON.stringify(name)}:0`)
          .join(',')}}`
        expect(canonical(input)).toBe(expected)
      }),
    )
  })
})

describe('what does not count', () => {
  test('order of members, white space and the spelling of escapes', () => {
    fc.assert(
      fc.property(json, fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), (value, stream) => {
        expect(canonical(spelling(value, () => stream.next().value as number))).toBe(canonical(JSON.stringify(value)))
      }),
      { numRuns: 300 },
    )
  })

  test('canonicalising again', () => {
    fc.assert(
      fc.property(json, (value) => {
        const once = canonicalJson(encoder.encode(JSON.stringify(value)))
        if (!once.ok) throw new Error(once.reason)
        expect(canonicalJson(once.bytes)).toEqual(once)
      }),
    )
  })

  test('the spelling of a number', () => {
    expect(canonical('[1,1.0,1e0,10E-1,0.1e+1,100e-2]')).toBe('[1,1,1,1,1,1]')
    expect(canonical('[0,-0,0.0,-0.00,0e5,-0E-99999999999999999999]')).toBe('[0,0,0,0,0,0]')
  })
})

describe('what counts', () => {
  test('order of elements, null against absent, an empty name, a changed value', () => {
    const documents = [
      '{}',
      '{"a":null}',
      '{"a":[1,2]}',
      '{"a":[2,1]}',
      '{"":null}',
      '{"a":"1"}',
      '{"a":1}',
      '{"a":{}}',
      '{"a":[]}',
      '[]',
      'null',
      '""',
    ]
    expect(new Set(documents.map((document) => canonical(document))).size).toBe(documents.length)
  })

  test('integers beyond 2^53 that are the same double stay different', () => {
    expect(canonical('{"amount":9007199254740993}')).toBe('{"amount":9007199254740993}')
    expect(canonical('{"amount":9007199254740992}')).toBe('{"amount":9007199254740992}')
    expect(canonical('123456789012345678901234567890')).toBe('1.2345678901234567890123456789e+29')
    expect(canonical('1e400')).toBe('1e+400')
    expect(canonical('1e-400')).toBe('1e-400')
    expect(canonical('0.1000000000000000055511151231257827')).toBe('0.1000000000000000055511151231257827')
  })

  test('a member named __proto__ is a member', () => {
    expect(canonical('{"a":1,"__proto__":{"b":2}}')).toBe('{"__proto__":{"b":2},"a":1}')
  })

  test('text that Unicode normalisation would make equal', () => {
    expect(canonical('"\u00e9"')).not.toBe(canonical('"e\u0301"'))
  })
})

describe('what is refused, with the offset of the place', () => {
  test.each([
    ['', 'syntax at 0'],
    ['  ', 'syntax at 2'],
    ['{', 'syntax at 1'],
    ['[', 'syntax at 1'],
    ['[1', 'syntax at 2'],
    ['[1,]', 'syntax at 3'],
    ['[,1]', 'syntax at 1'],
    ['[1 2]', 'syntax at 3'],
    ['[1}', 'syntax at 2'],
    ['{"a":1]', 'syntax at 6'],
    ['{"a"}', 'syntax at 4'],
    ['{"a":}', 'syntax at 5'],
    ['{"a":1,}', 'syntax at 7'],
    ['{a:1}', 'syntax at 1'],
    ["'a'", 'syntax at 0'],
    ['"a', 'syntax at 2'],
    ['"a\tb"', 'syntax at 2'],
    ['"\\x"', 'syntax at 1'],
    ['"\\', 'syntax at 1'],
    ['"\\u12"', 'syntax at 1'],
    ['"\\u12G4"', 'syntax at 1'],
    ['"\\u12', 'syntax at 1'],
    ['{"\\u12":1}', 'syntax at 2'],
    ['tru', 'syntax at 3'],
    ['nul!', 'syntax at 3'],
    ['undefined', 'syntax at 0'],
    ['01', 'syntax at 0'],
    ['-', 'syntax at 1'],
    ['-a', 'syntax at 1'],
    ['+1', 'syntax at 0'],
    ['.5', 'syntax at 0'],
    ['1.', 'syntax at 2'],
    ['1.e5', 'syntax at 2'],
    ['1e', 'syntax at 2'],
    ['1e+', 'syntax at 3'],
    ['0x10', 'syntax at 1'],
    ['NaN', 'syntax at 0'],
    ['1 1', 'syntax at 2'],
    ['{} {}', 'syntax at 3'],
    ['[]]', 'syntax at 2'],
    ['1//', 'syntax at 1'],
    ['\ufeff{}', 'byte-order-mark at 0'],
    ['\ufefe{}', 'syntax at 0'],
    ['\uf900{}', 'syntax at 0'],
    ['\uedff{}', 'syntax at 0'],
    ['1\u0001', 'syntax at 1'],
    ['\u0001', 'syntax at 0'],
    ['{"a":1,"a":1}', 'duplicate-member at 7'],
    ['{"a":1,"\\u0061":2}', 'duplicate-member at 7'],
    ['{"b":1,"a":1,"b":2}', 'duplicate-member at 13'],
    ['{"b":1,"a":1,"a":2}', 'duplicate-member at 13'],
    ['{"x":{"\\/":1,"/":1}}', 'duplicate-member at 13'],
    ['"\\ud800"', 'lone-surrogate at 1'],
    ['"\\udc00\\ud800"', 'lone-surrogate at 1'],
    ['"\\ud800\\ud800"', 'lone-surrogate at 1'],
    ['"\\ud800x"', 'lone-surrogate at 1'],
    ['"\\ud800xudc00"', 'lone-surrogate at 1'],
    ['"\\udc00\\udc00"', 'lone-surrogate at 1'],
    ['"\\ud800\\ue000"', 'lone-surrogate at 1'],
    ['{"\\udfff":1}', 'lone-surrogate at 2'],
    ['[1e9999999999999999]', 'number-range at 1'],
    ['[1e-9999999999999999]', 'number-range at 1'],
  ])('%j is %s', (text, refusal) => {
    expect(canonical(text)).toBe(refusal)
  })

  test.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an overlong form of three', [0xe0, 0x80, 0xaf]],
    ['an overlong form of four', [0xf0, 0x80, 0x80, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a value beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['a byte that leads nothing', [0xff, 0x80, 0x80, 0x80]],
    ['a sequence cut by a quote', [0xe2, 0x82]],
    ['a sequence of four cut by a quote', [0xf0, 0x9f, 0x98]],
    ['Latin-1', [0xe9]],
  ])('%s is not UTF-8', (_, bytes) => {
    expect(canonical(Uint8Array.of(0x22, ...bytes, 0x22))).toBe('invalid-utf8 at 1')
    expect(canonical(Uint8Array.of(0x22, ...bytes))).toMatch(/^invalid-utf8 at 1$/)
  })

  test('a member that JSON.parse would drop, at any place in an object of any size', () => {
    fc.assert(
      fc.property(fc.uniqueArray(wellFormed, { minLength: 1, maxLength: 50, size: 'max' }), fc.nat(), fc.nat(), (names, which, where) => {
        const doubled = [...names]
        doubled.splice(where % (names.length + 1), 0, names[which % names.length] as string)
        expect(canonical(`{${doubled.map((name) => `${JSON.stringify(name)}:0`).join(',')}}`)).toMatch(/^duplicate-member at /)
      }),
    )
  })

  test('whatever JSON.parse refuses, and nothing that it takes but for the reasons above', () => {
    const alphabet = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      'a',
      'u0061',
      '1',
      '0',
      '-',
      '.',
      'e',
      '+',
      ' ',
      '\n',
      'true',
      'null',
      'é',
      '\u0000',
    )
    fc.assert(
      fc.property(fc.string({ unit: alphabet, maxLength: 12 }), (text) => {
        let accepted = true
        try {
          JSON.parse(text)
        } catch {
          accepted = false
        }
        const answer = canonicalJson(encoder.encode(text))
        if (answer.ok) expect(accepted).toBe(true)
        else if (accepted) expect(answer.reason).toBe('duplicate-member')
        else expect(answer.reason).toMatch(/^(syntax|duplicate-member|number-range)$/)
      }),
      { numRuns: 5_000 },
    )
  })

  test('more than jsonDepthMax containers inside each other', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    expect(canonical(nested(128))).toBe(nested(128))
    expect(canonical(nested(129))).toBe('depth at 128')
    expect(canonical('{"a":{"b":1}}', { jsonDepthMax: 1 })).toBe('depth at 5')
    expect(canonical('1', { jsonDepthMax: 0 })).toBe('1')
  })

  test('100,000 nested arrays and objects, without exhausting the call stack', () => {
    expect(canonical('['.repeat(100_000))).toBe('depth at 128')
    expect(canonical('{"a":'.repeat(100_000))).toBe('depth at 640')
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    expect(canonical(deep, { jsonDepthMax: 100_000 })).toBe(deep)
  })
})

describe('a view into a larger buffer', () => {
  test('is the answer where the input is canonical as it is', () => {
    const input = encoder.encode('{"a":[1,2.5,-3,1e+30,true,null],"b":"\\n\\"é"}')
    const result = canonicalJson(input)
    expect(result).toEqual({ ok: true, bytes: input })
    expect(result.ok && result.bytes.buffer === input.buffer).toBe(true)
  })

  test('is read from its own beginning to its own end', () => {
    const bytes = encoder.encode('xx{"b":1,"a":"é"}yy').subarray(2, -2)
    expect(canonical(bytes)).toBe('{"a":"é","b":1}')
    expect(canonical(Buffer.from('[1.0]'))).toBe('[1]')
  })
})

describe('many numbers that grow', () => {
  test('find room', () => {
    const input = `[${Array.from({ length: 5_000 }, () => '1e20').join(',')},"${'x'.repeat(100)}"]`
    expect(canonical(input)).toBe(`[${Array.from({ length: 5_000 }, () => '100000000000000000000').join(',')},"${'x'.repeat(100)}"]`)
  })
})
