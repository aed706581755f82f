import { afterEach, expect, test, vi } from 'vitest'
import { clientPlatform } from '../../src/client/platform.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

test('a random key (R57) is a UUID of version 4, on pages too that have no randomUUID', () => {
  const version4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  expect(clientPlatform.uuid()).toMatch(version4)
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  const keys = Array.from({ length: 100 }, () => clientPlatform.uuid())
  for (const key of keys) expect(key).toMatch(version4)
  expect(new Set(keys).size).toBe(100)
})

test('a fraction for jitter (R58) is from 0 up to 1, and not always the same', () => {
  const fractions = Array.from({ length: 100 }, () => clientPlatform.fraction())
  expect(fractions.every((fraction) => fraction >= 0 && fraction < 1)).toBe(true)
  expect(new Set(fractions).size).toBeGreaterThan(1)
})
