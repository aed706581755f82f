import { anonymous, Claims, createOncely, InvalidInput } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'

const call = (value: unknown = { amount: 1 }, actor?: string) => ({
  principal: anonymous as typeof anonymous,
  key: 'k',
  facts: { body: { kind: 'value' as const, value } },
  ...(actor === undefined ? {} : { actor }),
})

function claimsOf(options: object = {}) {
  const store = memoryStore()
  const oncely = createOncely({ namespace: 'n', store })
  const policy = ['standard', { survives: 'nothing', ...options }] as const
  return { oncely, claims: new Claims(oncely.operation('pay', { bind: 'lease', policy }) as never) }
}

describe('an owner elsewhere', () => {
  test('claims, renews, begins and completes, and a duplicate gets the value', async () => {
    const { claims } = claimsOf()
    const first = await claims.claim(call(), { attemptId: 'a', begin: 'explicit' })
    if (first.word !== 'acquired') throw new Error(first.word)
    expect(first).toMatchObject({ attempt: 1, begun: false, takeover: false, leaseMs: 30_000 })
    expect((await claims.claim(call(), { attemptId: 'b' })).word).toBe('in-progress')
    expect((await claims.claim(call(2), { attemptId: 'b' })).word).toBe('mismatch')
    expect(await claims.renew(first.ownership, { leaseMs: 60_000, begun: true })).toBe('done')
    expect(await claims.release(first.ownership, { reason: 'r', declared: false })).toBe('begun')
    expect(await claims.complete(first.ownership, { id: 1 })).toBe('done')
    expect(await claims.complete(first.ownership, { id: 2 })).toBe('conflict')
    expect(await claims.claim(call(), { attemptId: 'c' })).toMatchObject({ word: 'replay', value: { id: 1 } })
  })

  test('that asks again under its attempt id has the same claim', async () => {
    const { claims } = claimsOf()
    const [one, two] = [await claims.claim(call(), { attemptId: 'a' }), await claims.claim(call(), { attemptId: 'a' })]
    expect(two).toEqual(one)
    expect(one).toMatchObject({ word: 'acquired', begun: true })
  })

  test('that another overtook, or whose token is not its own, writes nothing', async () => {
    const { claims } = claimsOf()
    const first = await claims.claim(call(), { attemptId: 'a', begin: 'explicit' })
    if (first.word !== 'acquired') throw new Error(first.word)
    expect(await claims.release(first.ownership, { reason: 'r', declared: false })).toBe('done')
    const second = await claims.claim(call(), { attemptId: 'b', begin: 'explicit' })
    if (second.word !== 'acquired') throw new Error(second.word)
    const forged = { ...second.ownership, attemptId: 'c' }
    for (const ownership of [first.ownership, forged]) {
      expect(await claims.renew(ownership, {})).toBe('lost')
      expect(await claims.complete(ownership, 1)).toBe('lost')
      expect(await claims.seal(ownership, { reason: 'r' })).toBe('lost')
      expect(await claims.release(ownership, { reason: 'r', declared: true })).toBe('lost')
    }
    expect(await claims.seal(second.ownership, { reason: 'r' })).toBe('done')
    expect((await claims.claim(call(), { attemptId: 'd' })).word).toBe('uncertain')
    expect(second.derivedKey).toBe(first.derivedKey)
  })

  test('gets no answer of another actor where the policy says so, and no lease that outlasts an answer', async () => {
    const { claims } = claimsOf({ replayTo: 'actor' })
    const first = await claims.claim(call(1, 'ann'), { attemptId: 'a' })
    if (first.word !== 'acquired') throw new Error(first.word)
    await claims.complete(first.ownership, new Uint8Array([1]))
    expect((await claims.claim(call(1, 'ben'), { attemptId: 'b' })).word).toBe('forbidden')
    expect(await claims.claim(call(1, 'ann'), { attemptId: 'b' })).toMatchObject({ word: 'replay', value: new Uint8Array([1]) })
    for (const leaseMs of [999, 86_400_000]) await expect(claims.claim(call(), { attemptId: 'a', leaseMs })).rejects.toThrow(InvalidInput)
  })
})
