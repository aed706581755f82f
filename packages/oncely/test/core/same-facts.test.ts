import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Call } from '../../src/core/attempt.ts'
import { fingerprint } from '../../src/core/fingerprint.ts'
import { bytesOfFacts, keptFacts, sameFacts } from '../../src/core/same-facts.ts'
import { nodeHasher } from '../../src/platform/index.ts'

type Facts = Call['facts']
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const few = <T>(...values: T[]) => fc.constantFrom(...values)

const anyFacts: fc.Arbitrary<Facts> = fc
  .record(
    {
      method: few('POST', 'PUT'),
      route: few('/a', '/b'),
      query: few<Facts['query']>('', 'x=1', [['x', '1']]),
      parameters: few<Facts['parameters']>({}, { id: '1' }, { id: '2' }, { other: '1' }),
      headers: few<Facts['headers']>([], [['version', '1']], [['version', '2']], [['locale', '1']]),
      body: fc.oneof(
        fc.constant({ kind: 'none' } as const),
        few('{}', '{"a":1}', '{"a":2}').map((text) => ({ kind: 'json', bytes: bytes(text) }) as const),
        few('', 'a', 'b').map((text) => ({ kind: 'bytes', bytes: bytes(text) }) as const),
        fc.constant({ kind: 'value', value: {} } as const),
        fc.constant({ kind: 'multipart', bytes: bytes('--b--'), boundary: 'b' } as const),
      ),
    },
    { requiredKeys: ['body'] },
  )
  .map((facts) => facts as Facts)

function digest(facts: Facts): string {
  const made = fingerprint({ ...facts, operation: 'op' }, { hasher: nodeHasher, secrets: [] })
  return made.ok ? Buffer.from(made.fingerprint.plain).toString('hex') : made.reason
}

test('facts that are the same have the same fingerprint', () => {
  let same = 0
  fc.assert(
    fc.property(anyFacts, anyFacts, few<keyof Facts>('method', 'route', 'query', 'parameters', 'headers', 'body'), (a, other, member) => {
      const b = { ...keptFacts(a), [member]: other[member] } as Facts
      if (!sameFacts(a, b)) return
      same++
      expect(digest(a)).toBe(digest(b))
    }),
    { numRuns: 5_000 },
  )
  expect(same).toBeGreaterThan(100)
})

test('a copy with bytes of its own is the same, as long as it has bytes to compare', () => {
  fc.assert(
    fc.property(anyFacts, (facts) => {
      expect(sameFacts(facts, keptFacts(facts))).toBe(facts.body.kind !== 'value' && facts.body.kind !== 'multipart')
    }),
  )
})

test('members are compared by what they say, not by which object says it', () => {
  const facts = { parameters: { id: '1' }, headers: [['version', '1']], body: { kind: 'none' } } as const
  expect(sameFacts(facts, structuredClone(facts))).toBe(true)
  expect(sameFacts(facts, { ...facts, headers: [] })).toBe(false)
  expect(sameFacts({ ...facts, headers: [] }, facts)).toBe(false)
})

test('kept bytes do not change with the request that brought them', () => {
  const body = { kind: 'json', bytes: bytes('{"a":1}') } as const
  const kept = keptFacts({ body })
  body.bytes[5] = 50
  expect(sameFacts(kept, { body: { kind: 'json', bytes: bytes('{"a":1}') } })).toBe(true)
  expect(sameFacts(kept, { body })).toBe(false)
  expect(bytesOfFacts(kept)).toBe(7)
  expect(bytesOfFacts({ body: { kind: 'none' } })).toBe(0)
})
