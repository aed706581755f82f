import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { codecIds, type EncodedValue, type Outcome, sealOutcome } from '../../src/core/index.ts'
import { OutcomeSeal } from '../../src/core/outcome-seal.ts'
import { nodeCipher, nodeHasher } from '../../src/platform/index.ts'

const secret = (id: number) => ({ id, key: new Uint8Array(32).fill(id) })
const sealOf = (...ids: number[]) => new OutcomeSeal({ hasher: nodeHasher, cipher: nodeCipher, secrets: ids.map(secret) })
const idOf = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)
const value: EncodedValue = { codec: codecIds.json, bytes: new TextEncoder().encode('{"card":"4242"}') }
const own = { id: idOf(1), encrypt: true }

/** The outcome with other bytes and the checksum that fits them, as somebody with access to the table would write it. */
function forged(outcome: Outcome, change: (bytes: Uint8Array) => void): Outcome {
  const bytes = new Uint8Array(outcome.bytes)
  change(bytes)
  return sealOutcome({ codec: outcome.codec, bytes }, nodeHasher)
}

describe('an encrypted outcome', () => {
  test('comes back equal, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 500 }),
        fc.constantFrom(0, 1, 2, 3, 4, 5, 6),
        fc.integer({ min: 1, max: 32_767 }),
        (bytes, codec, id) => {
          const seal = sealOf(id)
          const outcome = seal.seal({ codec, bytes }, own)
          expect(outcome.codec).toBe(codecIds.encrypted)
          expect(seal.open(outcome, own.id)).toEqual({ codec, bytes })
        },
      ),
      { numRuns: 200 },
    )
  })

  test('shows nothing of its bytes, and the same bytes look different in another record', () => {
    const seal = sealOf(1)
    const [one, other] = [seal.seal(value, own), seal.seal(value, { id: idOf(2), encrypt: true })]
    expect(Buffer.from(one.bytes).includes('4242')).toBe(false)
    expect(Buffer.from(one.bytes.subarray(4)).equals(Buffer.from(other.bytes.subarray(4)))).toBe(false)
    expect(seal.seal(value, own)).toEqual(one)
  })

  test('of one record never opens as that of another', () => {
    const seal = sealOf(1)
    expect(() => seal.open(seal.seal(value, own), idOf(2))).toThrow(expect.objectContaining({ code: 'ONCELY_OUTCOME_CORRUPT' }))
  })

  test('never opens with another codec, nonce, tag or one changed bit', () => {
    const seal = sealOf(1)
    const outcome = seal.seal(value, own)
    for (let at = 3; at < outcome.bytes.length; at++) {
      const changed = forged(outcome, (bytes) => {
        bytes[at] = (bytes[at] as number) ^ 1
      })
      expect(() => seal.open(changed, own.id), `byte ${at}`).toThrow(expect.objectContaining({ code: 'ONCELY_OUTCOME_CORRUPT' }))
    }
  })

  test('cut short or of a later form is corrupt', () => {
    const seal = sealOf(1)
    const { codec, bytes } = seal.seal(value, own)
    for (const length of [0, 4, 15, 16, 20]) {
      const cut = sealOutcome({ codec, bytes: bytes.slice(0, length) }, nodeHasher)
      expect(() => seal.open(cut, own.id)).toThrow(expect.objectContaining({ code: 'ONCELY_OUTCOME_CORRUPT' }))
    }
    const later = forged(seal.seal(value, own), (changed) => {
      changed[0] = 2
    })
    expect(() => seal.open(later, own.id)).toThrow(/form 2, which this version does not read/)
  })

  test('opens after a rotation, and is sealed under the newest secret', () => {
    const before = sealOf(1).seal(value, own)
    const rotated = sealOf(300, 1)
    expect(rotated.open(before, own.id)).toEqual(value)
    expect([...rotated.seal(value, own).bytes.subarray(0, 4)]).toEqual([1, 1, 44, codecIds.json])
  })

  test('whose secret is gone is a typed error that names it', () => {
    const outcome = sealOf(1).seal(value, own)
    const lost = { code: 'ONCELY_SECRET_MISSING', secretId: 1, retryable: false, sameKey: true }
    expect(() => sealOf(2).open(outcome, own.id)).toThrow(expect.objectContaining(lost))
    expect(() => new OutcomeSeal({ hasher: nodeHasher, secrets: [secret(1)] }).open(outcome, own.id)).toThrow(expect.objectContaining(lost))
  })

  test('under an id that names another key now is corrupt', () => {
    const outcome = sealOf(1).seal(value, own)
    const other = new OutcomeSeal({ hasher: nodeHasher, cipher: nodeCipher, secrets: [{ id: 1, key: new Uint8Array(32).fill(9) }] })
    expect(() => other.open(outcome, own.id)).toThrow(/does not open under secret 1/)
  })
})

test('an outcome that is not encrypted is stored as it is, and opens beside encrypted ones', () => {
  const seal = sealOf(1)
  const plain = seal.seal(value, { ...own, encrypt: false })
  expect(plain).toEqual(sealOutcome(value, nodeHasher))
  expect(seal.open(plain, own.id)).toMatchObject(value)
})

test('the cipher answers a published vector of AES-256-GCM', () => {
  // The Galois/Counter Mode of Operation (McGrew, Viega), test case 16.
  const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
  const sealed = nodeCipher.encrypt(
    hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
    hex('cafebabefacedbaddecaf888'),
    hex('d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39'),
    hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
  )
  expect(Buffer.from(sealed).toString('hex')).toBe(
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  )
})
