import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deterministicKey, type KeyPart } from '../../src/client/index.ts'

describe('a deterministic key', () => {
  test('is the same for the same parts, for ever', async () => {
    expect(await deterministicKey('checkout', 'cart-42')).toBe('6c729d2b-72d5-8714-b67d-c1884072a59e')
  })

  test('is a UUID of version 8', async () => {
    expect(await deterministicKey('payout', '2026-01-01', 7)).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
  })

  test('takes a number and its text for the same', async () => {
    expect(await deterministicKey('checkout', 42, true)).toBe(await deterministicKey('checkout', '42', 'true'))
    expect(await deterministicKey('checkout', 42n)).toBe(await deterministicKey('checkout', '42'))
  })

  test('differs whenever name or parts differ, wherever the text is split', async () => {
    const parts = fc.array(
      fc.string({ minLength: 1, maxLength: 3 }).filter((text) => text !== 'NaN'),
      { minLength: 2, maxLength: 4 },
    )
    await fc.assert(
      fc.asyncProperty(parts, parts, async (left, right) => {
        const keys = await Promise.all([left, right].map(([name, ...rest]) => deterministicKey(name!, ...(rest as [string]))))
        expect(keys[0] === keys[1]).toBe(JSON.stringify(left) === JSON.stringify(right))
      }),
      { numRuns: 300 },
    )
  })

  test.each<readonly [string, readonly unknown[]]>([
    ['no part', ['checkout']],
    ['an empty name', ['', 'a']],
    ['an empty part', ['checkout', '']],
    ['a missing id', ['checkout', undefined]],
    ['null', ['checkout', 'a', null]],
    ['an object', ['checkout', { id: 1 }]],
    ['NaN', ['checkout', Number.NaN]],
    ['infinity', ['checkout', -Number.POSITIVE_INFINITY]],
  ])('is refused for %s', async (_, [name, ...parts]) => {
    const made = deterministicKey(name as string, ...(parts as [KeyPart]))
    await expect(made).rejects.toMatchObject({ code: 'ONCELY_KEY_INVALID' })
  })
})
