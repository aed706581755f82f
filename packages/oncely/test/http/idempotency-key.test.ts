import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseIdempotencyKey } from '../../src/http/idempotency-key.ts'

const strict = { syntax: 'strict', keyBytesMin: 1, keyBytesMax: 1_000 } as const
const lenient = { ...strict, syntax: 'lenient' } as const
const key = (text: string) => ({ kind: 'key', key: text })
const malformed = (reason: string) => ({ kind: 'malformed', reason })

interface Vector {
  readonly name: string
  readonly raw: readonly string[]
  readonly must_fail?: boolean
  readonly can_fail?: boolean
  readonly expected?: readonly [string, readonly unknown[]]
}
const vectors = ['string.json', 'string-generated.json'].flatMap((file): Vector[] =>
  JSON.parse(readFileSync(new URL(`vectors/structured-fields/${file}`, import.meta.url), 'utf8')),
)

/** One of the public vectors, as strict syntax answers it: a field whose lines are joined is no key, and neither is an empty one. */
function expected({ raw, must_fail: mustFail, expected: item }: Vector): unknown {
  if (mustFail || raw.length > 1 || item === undefined) return { kind: 'malformed', reason: expect.any(String) }
  const [text, parameters] = item
  if (parameters.length > 0) return malformed('parameters')
  if (text === '') return malformed('empty')
  return key(text)
}

describe('R2: the public vectors of structured field strings, in strict syntax', () => {
  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    expect(parseIdempotencyKey(vector.raw, strict)).toEqual(expected(vector))
  })

  test('in lenient syntax all that begins with a quote is answered alike, and nothing that must fail is another string’s key', () => {
    for (const vector of vectors.filter(({ raw }) => raw[0]?.trimStart().startsWith('"'))) {
      expect(parseIdempotencyKey(vector.raw, lenient)).toEqual(expected(vector))
    }
    expect(vectors.filter(({ raw }) => raw[0]?.trimStart().startsWith('"')).length).toBeGreaterThan(250)
  })
})

describe('R3: what is more than one plain string', () => {
  test.each([
    [['"a"', '"b"'], 'repeated'],
    [['"a"', '"a"'], 'repeated'],
    [['"a", "b"'], 'syntax'],
    [['a, b'], 'syntax'],
    [['a,b'], 'syntax'],
    [['"a";v=1'], 'parameters'],
    [['a;v=1'], 'not-a-string'],
    [['("a" "b")'], 'syntax'],
    [[':YWJj:'], 'not-a-string'],
    [['?1'], 'not-a-string'],
    [['@1659578233'], 'not-a-string'],
    [['%"f%c3%bc"'], 'not-a-string'],
    [['%"%ff"'], 'syntax'],
    [[':*:'], 'syntax'],
    [['@99999999999999999999'], 'syntax'],
    [["'a'"], 'syntax'],
    [['a b'], 'syntax'],
    [['"a'], 'syntax'],
    [['a"'], 'syntax'],
    [['"a"b'], 'syntax'],
    [['"é"'], 'syntax'],
    [['é'], 'syntax'],
    [['a\tb'], 'syntax'],
    [['a\nb'], 'syntax'],
    [['a\u0000'], 'syntax'],
    [['a\u007f'], 'syntax'],
  ])('%j is malformed in both syntaxes', (lines, reason) => {
    expect(parseIdempotencyKey(lines, lenient)).toEqual(malformed(reason))
    expect(parseIdempotencyKey(lines, strict)).toMatchObject({ kind: 'malformed' })
  })
})

describe('R4: a bare value', () => {
  test.each(['abc', '8e03978e-40d5-43dd-bc93-6894a57f9324', '123', '-1.5', 'ord_1:2/3', 'YWJjZA==', 'a.b~c!#$&*+<>[]{}|^`', '*', 'A'])(
    '%s is the key of its quoted form in lenient syntax',
    (text) => {
      expect(parseIdempotencyKey([text], lenient)).toEqual(key(text))
      expect(parseIdempotencyKey([`"${text}"`], lenient)).toEqual(key(text))
      expect(parseIdempotencyKey([` ${text}\t`], lenient)).toEqual(key(text))
    },
  )

  test.each(['abc', '123', '8e03978e-40d5-43dd-bc93-6894a57f9324'])('%s is malformed in strict syntax', (text) => {
    expect(parseIdempotencyKey([text], strict)).toMatchObject({ kind: 'malformed' })
  })

  test('keeps its case; an escape belongs to the quoted form only', () => {
    expect(parseIdempotencyKey(['aBc'], lenient)).toEqual(key('aBc'))
    expect(parseIdempotencyKey(['"a\\"b\\\\"'], lenient)).toEqual(key('a"b\\'))
    expect(parseIdempotencyKey(['a\\b'], lenient)).toEqual(key('a\\b'))
  })
})

describe('R5: limits', () => {
  const limited = { syntax: 'lenient', keyBytesMin: 3, keyBytesMax: 255 } as const

  test('no line at all is no key; an empty one is malformed', () => {
    expect(parseIdempotencyKey([], limited)).toEqual({ kind: 'absent' })
    for (const line of ['', '  ', '\t', '""']) expect(parseIdempotencyKey([line], limited)).toEqual(malformed('empty'))
  })

  test('bytes are counted without the quotes', () => {
    expect(parseIdempotencyKey(['a'.repeat(255)], limited)).toEqual(key('a'.repeat(255)))
    expect(parseIdempotencyKey([`"${'a'.repeat(255)}"`], limited)).toEqual(key('a'.repeat(255)))
    expect(parseIdempotencyKey(['a'.repeat(256)], limited)).toEqual(malformed('too-long'))
    expect(parseIdempotencyKey(['"ab"'], limited)).toEqual(malformed('too-short'))
  })
})
