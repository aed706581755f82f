import { describe, expect, test } from 'vitest'
import { anonymous, type Call } from '../../src/core/attempt.ts'
import { checkLimits, definePolicy, derivedKey, InvalidInput, KeyInvalid, recordId, recordPolicy, toHex } from '../../src/core/index.ts'
import { defineOperation, type OperationDefinition, type OperationOptions } from '../../src/core/operation.ts'
import { prepare, principalDigest } from '../../src/core/preparation.ts'
import { nodeHasher } from '../../src/platform/index.ts'

const identity = {
  namespace: 'payments',
  hasher: nodeHasher,
  secrets: [{ id: 3, key: new Uint8Array(32).fill(9) }],
  limits: checkLimits({ keyBytesMin: 2, keyBytesMax: 10, jsonDepthMax: 2 }),
  owner: 'host-1',
}
const call: Call = { principal: 'acme', key: 'key-1', facts: { body: { kind: 'value', value: { amount: 5 } } } }
const operation = (own: Partial<OperationOptions<unknown, unknown>> = {}, name = 'charge'): OperationDefinition =>
  defineOperation(name, { bind: 'lease', ...own }, { phase: 'enforce', transactional: true })
const sha = (text: string) => nodeHasher.sha256(new TextEncoder().encode(text))
const idOf = (own: Partial<Call> = {}, declared = operation(), namespace = 'payments') =>
  prepare({ ...identity, namespace }, declared, { ...call, ...own }).idHex

describe('a record is addressed', () => {
  test('by namespace, principal and key', () => {
    expect(idOf()).toBe(idOf())
    const ids = [idOf(), idOf({}, operation(), 'billing'), idOf({ principal: 'globex' }), idOf({ key: 'key-2' })]
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('without the operation, unless the operation has keys of its own', () => {
    expect(idOf({}, operation({}, 'refund'))).toBe(idOf())
    const own = idOf({}, operation({ keyspace: 'operation' }))
    expect(own).not.toBe(idOf())
    expect(idOf({}, operation({ keyspace: 'operation' }, 'refund'))).not.toBe(own)
  })

  test('apart from the protected ones while an operation only observes', () => {
    const observed = operation({ phase: 'observe' })
    expect(idOf({}, observed)).not.toBe(idOf())
    expect(idOf({}, observed, 'billing')).not.toBe(idOf({}, observed))
  })

  test('for anonymous callers by a principal that no caller can have', () => {
    const shared = idOf({ principal: anonymous })
    expect(shared).toBe(idOf({ principal: anonymous }))
    // The word of another copy of the library means the same.
    expect(shared).toBe(idOf({ principal: Symbol.for('oncely.anonymous') as typeof anonymous }))
    for (const principal of ['anonymous', '\u0000', 'null', 'undefined']) expect(idOf({ principal })).not.toBe(shared)
    // The same in every version: the records of anonymous callers are found by it.
    expect(shared).toBe(toHex(recordId({ namespace: 'payments', principal: '\u0000anonymous', key: 'key-1' }, nodeHasher)))
  })

  test('by 32 bytes, named in hexadecimal', () => {
    const prepared = prepare(identity, operation(), call)
    expect(prepared.id).toHaveLength(32)
    expect(Buffer.from(prepared.id).toString('hex')).toBe(prepared.idHex)
  })
})

describe('a claim carries', () => {
  test('who calls what under which policy, with digests instead of names', () => {
    const declared = operation({ policy: ['standard', { lease: '10s' }] })
    const { request, id } = prepare(identity, declared, { ...call, actor: 'alice', traceId: 'trace-1' })
    expect(request).toMatchObject({
      id,
      operation: 'charge',
      bind: 'lease',
      principal: principalDigest(identity, 'acme'),
      actor: sha('alice'),
      policy: recordPolicy(definePolicy('standard', { lease: '10s' })),
      leaseMs: 10_000,
      owner: 'host-1',
      traceId: 'trace-1',
    })
    expect(request.principal).not.toEqual(principalDigest({ ...identity, namespace: 'other' }, 'acme'))
    expect(request.fingerprint.keyed.map(({ keyId }) => keyId)).toEqual([3])
  })

  test('nothing for an actor or a trace that is not named', () => {
    expect(prepare(identity, operation(), call).request).toMatchObject({ actor: new Uint8Array(0), traceId: '' })
  })

  test('that effects begin with it, unless the operation says when, or a transaction holds them', () => {
    const begun = (own: Partial<OperationOptions<unknown, unknown>>) => prepare(identity, operation(own), call).request.begun
    expect(begun({})).toBe(true)
    expect(begun({ begin: 'explicit' })).toBe(false)
    expect(begun({ bind: 'transaction' })).toBe(false)
  })

  test('whether a begun attempt may be repeated, and for how long a resolver is waited for', () => {
    expect(prepare(identity, operation(), call).request).toMatchObject({ rerunnable: false, resolverMs: 0 })
    const declared = operation({ rerunnable: true, policy: ['standard', { lease: '7s' }], resolver: async () => ({ verdict: 'unknown' }) })
    expect(prepare(identity, declared, call).request).toMatchObject({ rerunnable: true, resolverMs: 7_000 })
  })

  test('a fingerprint of the operation and the payload, without what is excluded', () => {
    const digest = (declared: OperationDefinition, value: unknown) =>
      Buffer.from(prepare(identity, declared, { ...call, facts: { body: { kind: 'value', value } } }).request.fingerprint.plain).toString(
        'hex',
      )
    const one = digest(operation(), { amount: 5 })
    expect(digest(operation(), { amount: 6 })).not.toBe(one)
    expect(digest(operation({}, 'refund'), { amount: 5 })).not.toBe(one)
    const excluding = operation({ exclude: ['/sentAt'] })
    expect(digest(excluding, { amount: 5, sentAt: 1 })).toBe(digest(excluding, { amount: 5, sentAt: 2 }))
  })

  test('a source of keys for other services: of this record, whatever the secrets are', () => {
    const prepared = prepare(identity, operation(), call)
    expect(prepared.deriveKey('psp')).toBe(derivedKey(nodeHasher, undefined, prepared.id, 'psp'))
    expect(prepared.deriveKey('mail')).not.toBe(prepared.deriveKey('psp'))
  })
})

describe('a call is refused', () => {
  test.each([
    ['an empty principal', { principal: '' }, 'ONCELY_PRINCIPAL_MISSING'],
    ['no principal', { principal: undefined as never }, 'ONCELY_PRINCIPAL_MISSING'],
    ['a principal that is no text', { principal: 7 as never }, 'ONCELY_PRINCIPAL_MISSING'],
    ['a symbol of somebody else', { principal: Symbol('anonymous') as never }, 'ONCELY_PRINCIPAL_MISSING'],
    ['a key that is no text', { key: 5 as never }, 'ONCELY_KEY_INVALID'],
    ['a key below its least length', { key: 'k' }, 'ONCELY_KEY_INVALID'],
    ['a key beyond its length', { key: 'k'.repeat(11) }, 'ONCELY_KEY_INVALID'],
    ['a payload that JSON cannot carry', { facts: { body: { kind: 'value', value: Number.NaN } } }, 'ONCELY_INVALID_INPUT'],
    ['a payload nested too deeply', { facts: { body: { kind: 'value', value: [[[]]] } } }, 'ONCELY_INVALID_INPUT'],
  ] satisfies [string, Partial<Call>, string][])('for %s', (_, own, code) => {
    expect(() => prepare(identity, operation(), { ...call, ...own })).toThrow(expect.objectContaining({ code }))
  })

  test('with what is wrong, the size and the bounds, never the key', () => {
    const refused = (own: Partial<Call>): unknown => {
      try {
        return prepare(identity, operation(), { ...call, ...own })
      } catch (error) {
        return error
      }
    }
    const tooLong = refused({ key: 'éééééé' }) as KeyInvalid
    expect(tooLong).toBeInstanceOf(KeyInvalid)
    expect(tooLong.message).toMatch(/12 bytes .*too-long.* 2 to 10 bytes/)
    expect(tooLong.message).not.toContain('é')
    expect(refused({ key: 5 as never })).toMatchObject({ message: expect.stringContaining('number') })
    const unfit = refused({ facts: { body: { kind: 'value', value: Number.NaN } } }) as InvalidInput
    expect(unfit).toBeInstanceOf(InvalidInput)
    expect(unfit.issues).toEqual(['unsupported'])
  })

  test('not at its very bounds', () => {
    for (const key of ['kk', 'k'.repeat(10)]) expect(() => prepare(identity, operation(), { ...call, key })).not.toThrow()
    expect(() => prepare(identity, operation(), { ...call, facts: { body: { kind: 'value', value: [[]] } } })).not.toThrow()
  })
})
