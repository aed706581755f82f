import { expect, test } from 'vitest'
import { timeOrderedKeys } from '../../src/client/index.ts'

const startMs = Date.UTC(2026, 0, 1)

test('a time-ordered key (R57) is a UUID of version 7 that begins with its millisecond', () => {
  const key = timeOrderedKeys({ nowMs: () => startMs })()
  expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(Number.parseInt(key.replaceAll('-', '').slice(0, 12), 16)).toBe(startMs)
})

test('time-ordered keys (R57) grow within a millisecond, past the end of their counter, and when the clock goes back', () => {
  let nowMs = startMs
  const makeKey = timeOrderedKeys({ nowMs: () => nowMs })
  const keys = Array.from({ length: 5_000 }, makeKey)
  nowMs -= 60_000
  keys.push(makeKey(), makeKey())
  nowMs += 120_000
  keys.push(makeKey())
  expect(keys).toEqual([...keys].sort())
  expect(new Set(keys).size).toBe(5_003)
  expect(Number.parseInt(keys.at(-1)!.replaceAll('-', '').slice(0, 12), 16)).toBe(nowMs)
})

test('time-ordered keys (R57) of two makers at the same instant differ', () => {
  const makers = Array.from({ length: 200 }, () => timeOrderedKeys({ nowMs: () => startMs }))
  expect(new Set(makers.map((makeKey) => makeKey())).size).toBe(200)
})
