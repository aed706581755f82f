import { describe, expect, test } from 'vitest'
import { checkLock, isOncelyError } from '../../src/core/index.ts'

const times = { waitMs: 0, leaseMs: 30_000 }

function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isOncelyError(error) && error.code === 'ONCELY_CONFIGURATION') return error.message
    throw error
  }
  return 'accepted'
}

describe('the request of a lock', () => {
  test('answers the name in UTF-8', () => {
    expect([...checkLock('é', times)]).toEqual([0xc3, 0xa9])
    expect(checkLock('x'.repeat(255), times)).toHaveLength(255)
  })

  test.each([
    ['', '0 bytes'],
    ['x'.repeat(256), '256 bytes'],
    ['é'.repeat(128), '256 bytes'],
    ['\ud800', 'lone surrogate'],
    ['\ufeffname', 'byte order mark'],
  ])('refuses the name %j', (name, why) => {
    expect(refusal(() => checkLock(name, times))).toContain(why)
  })

  test.each([
    [{ waitMs: -1, leaseMs: 30_000 }, 'waitMs is -1'],
    [{ waitMs: 3_600_001, leaseMs: 30_000 }, 'waitMs is 3600001'],
    [{ waitMs: 0, leaseMs: 99 }, 'leaseMs is 99'],
    [{ waitMs: 0, leaseMs: 3_600_001 }, 'leaseMs is 3600001'],
  ])('refuses the times %j', (wrong, why) => {
    expect(refusal(() => checkLock('name', wrong))).toContain(why)
  })

  test('accepts the bounds themselves', () => {
    expect(refusal(() => checkLock('name', { waitMs: 0, leaseMs: 100 }))).toBe('accepted')
    expect(refusal(() => checkLock('name', { waitMs: 3_600_000, leaseMs: 3_600_000 }))).toBe('accepted')
  })
})
