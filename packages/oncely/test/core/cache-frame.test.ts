import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CacheFrame, openFrame, sealFrame } from '../../src/core/cache-frame.ts'
import { sealOutcome } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'

const secret = { id: 7, key: new Uint8Array(32).fill(7) }
const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)
const base = {
  id: bytes(32, 1),
  epoch: '6f1c3a52-0000-4000-8000-000000000000',
  operation: 'créer-paiement',
  policy: 'standard*',
  fingerprint: { version: 3, keyId: 7, digest: bytes(32, 2) },
  expiresAtMs: 1_700_000_000_000,
} as const
const outcome: CacheFrame = {
  ...base,
  kind: 'outcome',
  summary: {
    ...{ id: base.id, state: 'completed', operation: base.operation, actor: bytes(32, 3), attemptId: 'attempt', attempt: 2 },
    ...{ token: { epoch: 4, seq: 2n ** 60n + 1n }, createdAtMs: 5, completedAtMs: 6, reason: '' },
  },
  outcome: sealOutcome({ codec: 1, bytes: bytes(40, 9) }, nodeHasher),
}
const hint: CacheFrame = { ...base, kind: 'hint', attemptId: 'attempt', leaseEndMs: 1_700_000_030_000 }

describe('a frame', () => {
  test.each([outcome, hint, { ...outcome, outcome: sealOutcome({ codec: 0, bytes: new Uint8Array(0) }, nodeHasher) }])(
    'comes back as it was sealed',
    (frame) => {
      expect(openFrame(sealFrame(frame, secret, nodeHasher), [secret], nodeHasher)).toEqual(frame)
    },
  )

  test('inside a larger buffer comes back as well', () => {
    const sealed = sealFrame(outcome, secret, nodeHasher)
    const around = new Uint8Array(sealed.length + 20)
    around.set(sealed, 11)
    expect(openFrame(around.subarray(11, 11 + sealed.length), [secret], nodeHasher)).toEqual(outcome)
  })

  test('is none when one bit of it changed, wherever', () => {
    const sealed = sealFrame(outcome, secret, nodeHasher)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = sealed.slice()
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(typeof openFrame(changed, [secret], nodeHasher), `bit ${bit}`).toBe('string')
    }
  })

  test('is none when it was cut short or lengthened, by however much', () => {
    const sealed = sealFrame(outcome, secret, nodeHasher)
    for (let length = 0; length < sealed.length; length++)
      expect(typeof openFrame(sealed.subarray(0, length), [secret], nodeHasher)).toBe('string')
    expect(openFrame(new Uint8Array([...sealed, 0]), [secret], nodeHasher)).toBe('forged')
  })

  test('is none of bytes that nobody sealed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (garbage, prefixed) => {
        const sent = prefixed ? new Uint8Array([1, 1, 0, 7, ...garbage]) : garbage
        return typeof openFrame(sent, [secret], nodeHasher) === 'string'
      }),
    )
  })

  test('is read under an older secret that is still there, and unknown without it', () => {
    const sealed = sealFrame(outcome, secret, nodeHasher)
    const newer = { id: 8, key: bytes(32, 8) }
    expect(openFrame(sealed, [newer, secret], nodeHasher)).toEqual(outcome)
    expect(openFrame(sealed, [newer], nodeHasher)).toBe('unknown')
  })

  test('of another key under the same id is forged', () => {
    expect(openFrame(sealFrame(outcome, secret, nodeHasher), [{ id: 7, key: bytes(32, 8) }], nodeHasher)).toBe('forged')
  })

  test('of a later version is unknown', () => {
    const sealed = sealFrame(outcome, secret, nodeHasher)
    sealed[0] = 2
    expect(openFrame(sealed, [secret], nodeHasher)).toBe('unknown')
  })

  test('is signed with a key of its own, not with the one of fingerprints', () => {
    const sealed = sealFrame(outcome, secret, nodeHasher)
    const signed = sealed.subarray(0, -32)
    expect(sealed.subarray(-32)).not.toEqual(nodeHasher.hmacSha256(secret.key, signed))
  })
})
