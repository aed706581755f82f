import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FINGERPRINT_VERSION,
  type FingerprintFacts,
  type FingerprintOptions,
  fingerprint,
  sameFingerprint,
} from '../../src/core/fingerprint.ts'
import { toHex } from '../../src/core/hex.ts'
import { nodeHasher } from '../../src/platform/node-hasher.ts'
import { plainHasher } from '../../src/sim/plain-hasher.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const json = (text: string) => ({ kind: 'json', bytes: bytes(text) }) as const
const base: FingerprintFacts = { operation: 'create-payment', body: { kind: 'none' } }

function plain(facts: Partial<FingerprintFacts>, options: Partial<FingerprintOptions> = {}): string {
  const result = fingerprint({ ...base, ...facts }, { hasher: nodeHasher, secrets: [], ...options })
  if (!result.ok) throw new Error(result.reason)
  return toHex(result.fingerprint.plain)
}

function distinct(all: readonly Partial<FingerprintFacts>[]): void {
  expect(new Set(all.map((facts) => plain(facts))).size).toBe(all.length)
}

describe('the set', () => {
  const secrets = [
    { id: 2, key: bytes('newer') },
    { id: 1, key: bytes('older') },
  ]

  test('has one keyed digest for each secret, newest first, and the version', () => {
    const result = fingerprint(base, { hasher: nodeHasher, secrets })
    if (!result.ok) throw new Error(result.reason)
    const { version, plain: unkeyed, keyed } = result.fingerprint
    expect(version).toBe(FINGERPRINT_VERSION)
    expect(keyed).toEqual(secrets.map(({ id, key }) => ({ keyId: id, digest: nodeHasher.hmacSha256(key, unkeyed) })))
  })

  test('has the plain digest under key id 0 where there is no secret', () => {
    const result = fingerprint(base, { hasher: nodeHasher, secrets: [] })
    if (!result.ok) throw new Error(result.reason)
    expect(result.fingerprint.keyed).toEqual([{ keyId: 0, digest: result.fingerprint.plain }])
    expect(result.fingerprint.plain).toHaveLength(32)
  })

  test('is the same under every hasher, and its rules do not change without a new version', () => {
    const facts: FingerprintFacts = {
      operation: 'create-payment',
      method: 'POST',
      route: '/accounts/:account/payments',
      parameters: { account: '7' },
      query: 'dry=1',
      headers: [['Api-Version', '2026-11']],
      body: json('{"amount":1200,"currency":"EUR"}'),
    }
    expect(plain(facts, { hasher: plainHasher })).toBe(plain(facts))
    expect(FINGERPRINT_VERSION).toBe(1)
    // Computed by another implementation of the same rules.
    expect(plain(facts)).toBe('bf0a71fac7387d05d7a36128602abb986ef8582dfdb2825143c9c7f0f4a444a5')
  })
})

describe('the rules do not change without a new version: they were computed by another implementation for', () => {
  const part =
    '--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nx\r\n--b--'
  test.each<[string, Partial<FingerprintFacts>, string]>([
    ['no body', {}, '3c16e3130d29019a5200b269b06f1903c42430dfca5d13bfec72055601500463'],
    ['bytes', { body: { kind: 'bytes', bytes: bytes('{}') } }, '6700a12046f784cd96b645b636903ad20f787c0103a6825c7002b75112a2842c'],
    ['JSON', { body: json('{}') }, 'c12cbd8a8ff693399fd59d03c3db9455be0e7f987cce1e443bd1600e567ff421'],
    ['a value', { body: { kind: 'value', value: {} } }, 'c12cbd8a8ff693399fd59d03c3db9455be0e7f987cce1e443bd1600e567ff421'],
    [
      'parts',
      { body: { kind: 'multipart', bytes: bytes(part), boundary: 'b' } },
      '0b90b05cb350fbc7ab604ff680b7225b6a0b89014e839d293fb6391080fedc7e',
    ],
    ['a query', { query: 'c&b=3&a=2&a=1' }, '4c162ad627464c34e3a591dffb91d77d77d05e3360bda46dc221416a8cdeb5d5'],
    [
      'parameters and headers',
      {
        parameters: { b: '2', a: '1' },
        headers: [
          ['X-B', '2'],
          ['x-a', '1'],
          ['X-b', '1'],
        ],
      },
      'df2f8d5f9c5d380c501f2273fac8ed4b0df91c5b76ed436f9c308e434e16d2bd',
    ],
  ])('%s', (_, facts, digest) => {
    expect(plain({ operation: 'op', ...facts })).toBe(digest)
  })
})

describe('what counts', () => {
  test('operation, method, route, parameters, query and headers, absent or empty', () => {
    distinct([
      {},
      { operation: 'create-payment ' },
      { method: 'POST' },
      { method: '' },
      { route: 'POST' },
      { parameters: {} },
      { parameters: { a: '' } },
      { parameters: { a: 'b' } },
      { query: '' },
      { query: 'a=b' },
      { headers: [] },
      { headers: [['a', 'b']] },
      { headers: [['a', 'B']] },
    ])
  })

  test('the query as written, without aliases between names and values', () => {
    distinct([
      { query: 'a=&a=b&c=' },
      { query: 'a=&b=c&b=' },
      { query: 'a' },
      { query: 'b' },
      { query: 'ab' },
      { query: 'a=ab' },
      { query: 'a=' },
      { query: 'a==' },
      { query: 'a=1&a=2' },
      { query: 'a=2&a=1' },
      { query: 'a=1,2' },
      { query: 'a=%41' },
      { query: 'a=A' },
      { query: 'dry=1' },
    ])
  })

  test('the kind of the body and each of its bytes', () => {
    distinct([
      { body: { kind: 'none' } },
      { body: { kind: 'bytes', bytes: new Uint8Array(0) } },
      { body: { kind: 'bytes', bytes: bytes('{}') } },
      { body: { kind: 'bytes', bytes: bytes('{ }') } },
      { body: json('{}') },
      { body: json('null') },
      { body: json('{"a":[1,2]}') },
      { body: json('{"a":[2,1]}') },
      { body: json('{"a":null}') },
      { body: json('{"amount":9007199254740992}') },
      { body: json('{"amount":9007199254740993}') },
      { body: { kind: 'multipart', bytes: bytes('--b--'), boundary: 'b' } },
    ])
  })
})

test('the list of excluded parts belongs to the version of the rules, its order does not', () => {
  const body = json('{"a":1}')
  const version = (exclude?: readonly string[]) => {
    const made = fingerprint({ operation: 'op', body }, { hasher: nodeHasher, secrets: [], ...(exclude ? { exclude } : {}) })
    return made.ok ? made.fingerprint.version : Number.NaN
  }
  expect(version()).toBe(FINGERPRINT_VERSION)
  expect(version([])).toBe(FINGERPRINT_VERSION)
  const lists = [undefined, ['/ts'], ['/id'], ['/ts', '/id']].map(version)
  expect(new Set(lists).size).toBe(lists.length)
  expect(version(['/id', '/ts', '/id'])).toBe(lists[3])
  // Computed by another implementation: a record is readable only under the number that it was made with.
  expect(lists[1]).toBe(8_365_825)
  for (const value of lists) expect((value as number) % 256).toBe(FINGERPRINT_VERSION)
  expect(Math.max(...(lists as number[]))).toBeLessThan(2 ** 31)
})

describe('what does not count', () => {
  test('order of members, white space, excluded parts', () => {
    expect(plain({ body: json('{ "b":1,\n"a":2 }') })).toBe(plain({ body: json('{"a":2,"b":1}') }))
    const exclude = ['/ts']
    expect(plain({ body: json('{"a":1,"ts":1}') }, { exclude })).toBe(plain({ body: json('{"ts":2,"a":1}') }, { exclude }))
    expect(plain({ body: json('{"a":1,"ts":1}') }, { exclude })).not.toBe(plain({ body: json('{"ts":1,"a":2}') }, { exclude }))
  })

  test('a value is the JSON it stands for', () => {
    expect(plain({ body: { kind: 'value', value: { b: 1, a: [null] } } })).toBe(plain({ body: json('{"a":[null],"b":1.0}') }))
  })

  test('the order of parameters, of different query names and of different headers, and the case of header names', () => {
    expect(plain({ parameters: { a: '1', b: '2' } })).toBe(plain({ parameters: { b: '2', a: '1' } }))
    expect(plain({ query: 'b=3&a=1&a=2' })).toBe(plain({ query: '?a=1&b=3&a=2&' }))
    expect(plain({ query: '=x' })).toBe(plain({ query: [['', 'x']] }))
    expect(plain({ query: 'b=3&a=1' })).toBe(
      plain({
        query: [
          ['a', '1'],
          ['b', '3'],
        ],
      }),
    )
    expect(
      plain({
        headers: [
          ['B', '1'],
          ['a', '2'],
          ['b', '3'],
        ],
      }),
    ).toBe(
      plain({
        headers: [
          ['A', '2'],
          ['b', '1'],
          ['B', '3'],
        ],
      }),
    )
  })

  test('the order of query names, whatever they are', () => {
    const pair = fc.tuple(fc.string({ maxLength: 3 }), fc.string({ maxLength: 3 }))
    fc.assert(
      fc.property(fc.uniqueArray(pair, { selector: ([name]) => name }), (query) => {
        expect(plain({ query: query.toReversed() })).toBe(plain({ query }))
      }),
    )
  })
})

describe('a multipart body', () => {
  const part = (headers: string, content: string) => `${headers}\r\n\r\n${content}`
  const file = part('Content-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png', 'bytes')
  const field = part('Content-Disposition: form-data; name="t"', 'text')
  const multipart = (boundary: string, parts: readonly string[]): Partial<FingerprintFacts> => ({
    body: {
      kind: 'multipart',
      boundary,
      bytes: bytes(`${parts.map((text) => `--${boundary}\r\n${text}\r\n`).join('')}--${boundary}--\r\n`),
    },
  })

  test('counts by its parts, not by its boundary nor the case and order of header names', () => {
    const reordered = part(
      'content-type:image/png\r\nCONTENT-DISPOSITION: form-data; name="f"; filename="a.png"\r\nContent-Length: 5',
      'bytes',
    )
    expect(plain(multipart('one', [file, field]))).toBe(plain(multipart('another-boundary', [reordered, field])))
  })

  test('counts by order, names, file names, types and each byte', () => {
    distinct([
      multipart('b', []),
      multipart('b', [file]),
      multipart('b', [file, field]),
      multipart('b', [field, file]),
      multipart('b', [file, field, field]),
      multipart('b', [file.replace('bytes', 'bytez'), field]),
      multipart('b', [file.replace('a.png', 'b.png'), field]),
      multipart('b', [file.replace('image/png', 'image/gif'), field]),
      multipart('b', [file.replace('name="f"', 'name="g"'), field]),
      multipart('b', [file.replace('\r\n\r\n', '\r\nContent-Transfer-Encoding: base64\r\n\r\n'), field]),
    ])
  })
})

describe('a body without a canonical form is answered with a word', () => {
  const options = { hasher: nodeHasher, secrets: [] }
  test.each<[string, FingerprintFacts['body'], object]>([
    ['not JSON', json('{"a":'), { ok: false, reason: 'syntax', offset: 5 }],
    ['a repeated member', json('{"a":1,"a":2}'), { ok: false, reason: 'duplicate-member', offset: 7 }],
    ['a value that is no JSON', { kind: 'value', value: { a: [Number.NaN] } }, { ok: false, reason: 'unsupported', path: '/a/0' }],
    [
      'a multipart body without its boundary',
      { kind: 'multipart', bytes: bytes('x'), boundary: 'b' },
      { ok: false, reason: 'multipart-syntax', offset: 1 },
    ],
  ])('%s', (_, body, refusal) => {
    expect(fingerprint({ ...base, body }, options)).toEqual(refusal)
  })

  test('nesting deeper than asked for', () => {
    expect(fingerprint({ ...base, body: json('[[]]') }, { ...options, jsonDepthMax: 1 })).toMatchObject({ ok: false, reason: 'depth' })
    expect(fingerprint({ ...base, body: { kind: 'value', value: [[]] } }, { ...options, jsonDepthMax: 1 })).toMatchObject({
      reason: 'depth',
    })
  })
})

describe('sameFingerprint', () => {
  test('is true for equal bytes only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 32 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (digest, at, change) => {
        const other = digest.slice()
        expect(sameFingerprint(digest, other)).toBe(true)
        other[at % other.length] = (other[at % other.length] ?? 0) ^ change
        expect(sameFingerprint(digest, other)).toBe(false)
        expect(sameFingerprint(digest, digest.subarray(1))).toBe(false)
        expect(sameFingerprint(digest, digest.subarray(0, -1))).toBe(false)
        expect(sameFingerprint(digest.subarray(0, -1), digest)).toBe(false)
      }),
    )
  })
})
