import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../src/core/hex.ts'
import { checkKey, derivedKey, keyHint, type RecordAddress, recordId } from '../../src/core/key.ts'
import { nodeHasher } from '../../src/platform/node-hasher.ts'
import { plainHasher } from '../../src/sim/plain-hasher.ts'

const limits = { keyBytesMin: 1, keyBytesMax: 255 }
const id = (address: RecordAddress) => toHex(recordId(address, nodeHasher))

describe('checkKey', () => {
  test.each([
    ['', 'empty'],
    ['a', 'ok'],
    ['a'.repeat(255), 'ok'],
    ['a'.repeat(256), 'too-long'],
    ['a'.repeat(10_000_000), 'too-long'],
    ['é'.repeat(127), 'ok'],
    ['é'.repeat(128), 'too-long'],
    ['😀'.repeat(63), 'ok'],
    ['😀'.repeat(64), 'too-long'],
    [' spaces inside ', 'ok'],
    ['a\u0000', 'control-character'],
    ['a\nb', 'control-character'],
    ['\u007f', 'control-character'],
    ['\u0085', 'control-character'],
    ['\ud800', 'lone-surrogate'],
  ] as const)('judges %j', (key, word) => {
    expect(checkKey(key, limits)).toBe(word)
  })

  test('counts bytes against the limits that were set', () => {
    expect(checkKey('abc', { keyBytesMin: 4, keyBytesMax: 8 })).toBe('too-short')
    expect(checkKey('éé', { keyBytesMin: 4, keyBytesMax: 8 })).toBe('ok')
    expect(checkKey('ééééé', { keyBytesMin: 4, keyBytesMax: 8 })).toBe('too-long')
    expect(checkKey('', { keyBytesMin: 4, keyBytesMax: 8 })).toBe('empty')
  })
})

describe('recordId', () => {
  test('is 32 bytes, the same wherever it is computed', () => {
    const address = { namespace: 'payments', principal: 'acct_1', key: 'k' }
    // Computed by another implementation of the same rules.
    expect(id(address)).toBe('6a3c82d9754d758c43ed73d4425fb0afa1c5f3a2ddcbe057fccc84927e66edb2')
    expect(recordId(address, plainHasher)).toEqual(recordId(address, nodeHasher))
    expect(recordId(address, nodeHasher)).toHaveLength(32)
  })

  test('two addresses never alias', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'A', ':', '|', '\u0000', ' ', 'é', 'e\u0301'), maxLength: 3 })
    const address = fc
      .tuple(text, text, text, fc.option(text, { nil: undefined }))
      .map(([namespace, principal, key, operation]) => ({ namespace, principal, key, ...(operation === undefined ? {} : { operation }) }))
    fc.assert(
      fc.property(address, address, (one, other) => {
        expect(id(one) === id(other)).toBe(JSON.stringify(one) === JSON.stringify(other))
      }),
      { numRuns: 2_000 },
    )
  })

  test('case, white space, an empty operation and an absent one count', () => {
    const base = { namespace: 'n', principal: 'p', key: 'key' }
    const ids = [base, { ...base, key: 'KEY' }, { ...base, key: 'key ' }, { ...base, operation: '' }, { ...base, operation: 'o' }].map(id)
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('derivedKey', () => {
  const secret = new TextEncoder().encode('a secret of the service')
  const record = recordId({ namespace: 'n', principal: 'p', key: 'caller-key' }, nodeHasher)

  test('is stable, at most 45 characters, and differs by name, record and secret', () => {
    const other = recordId({ namespace: 'n', principal: 'p', key: 'caller-key-2' }, nodeHasher)
    const derived = derivedKey(nodeHasher, secret, record, 'psp')
    expect(derivedKey(plainHasher, secret, record, 'psp')).toBe(derived)
    expect(derived).toMatch(/^[0-9a-f]{40}$/)
    const all = [
      derived,
      derivedKey(nodeHasher, secret, record, 'mail'),
      derivedKey(nodeHasher, secret, record, ''),
      derivedKey(nodeHasher, secret, other, 'psp'),
      derivedKey(nodeHasher, undefined, record, 'psp'),
      derivedKey(nodeHasher, new Uint8Array(1), record, 'psp'),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  test('is the same in every version: another service knows the effect by it', () => {
    // Computed by another implementation of the same rules.
    expect(derivedKey(nodeHasher, undefined, new Uint8Array(32), 'psp')).toBe('1fb4fbdd33bda46f91e5944197902b1defd9da64')
    expect(derivedKey(nodeHasher, secret, new Uint8Array(32), 'psp')).toBe('7092608395dd26ccf5e3c70feb0a90fca75cbd7e')
  })

  test('shows neither the record nor the key of the caller', () => {
    for (const key of [secret, undefined]) {
      const derived = derivedKey(nodeHasher, key, record, 'psp')
      expect(derived).not.toContain('caller')
      expect(toHex(record)).not.toContain(derived)
    }
  })
})

describe('keyHint', () => {
  test('is 12 digits that differ by record and secret and are no prefix of the record or of a derived key', () => {
    const record = recordId({ namespace: 'n', principal: 'p', key: 'k' }, nodeHasher)
    const secret = Uint8Array.of(1, 2, 3)
    const hint = keyHint(nodeHasher, secret, record)
    expect(hint).toMatch(/^[0-9a-f]{12}$/)
    expect(keyHint(nodeHasher, undefined, new Uint8Array(32))).toBe('c7d71fe6531c')
    expect(keyHint(nodeHasher, undefined, record)).not.toBe(hint)
    expect(keyHint(nodeHasher, secret, new Uint8Array(32))).not.toBe(hint)
    expect(toHex(record).startsWith(hint)).toBe(false)
    expect(derivedKey(nodeHasher, secret, record, '').startsWith(hint)).toBe(false)
  })
})
