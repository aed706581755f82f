import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { forecastGrowth } from '../../src/core/forecast.ts'
import type { StorageUsage } from '../../src/core/index.ts'

const dayMs = 86_400_000
const today = 20_100
const week = [1, 1.1, 1.2, 1.1, 1, 0.4, 0.3]
const size = { rows: 1_000, bytes: 400_000 }

/** A store's usage at the start of `at`, after so many days of `made` a day, under one policy. */
function usageAt(
  at: number,
  historyDays: number,
  made: (day: number) => number,
  life = { retentionDays: 7, tombstoneDays: 14 },
): StorageUsage {
  const completions = Array.from({ length: historyDays }, (_, back) => at - historyDays + back).map((day) => ({
    day,
    count: Math.round(made(day)),
  }))
  return {
    atMs: at * dayMs,
    completions,
    policies: [
      { name: 'standard', retentionMs: life.retentionDays * dayMs, tombstoneMs: life.tombstoneDays * dayMs, completedRecently: 10 },
    ],
    linesPerRecord: 2,
    trailMs: 365 * dayMs,
    records: size,
    outcomes: { rows: 500, bytes: 500_000 },
    trail: { rows: 2_000, bytes: 300_000 },
  }
}

const sum = (from: number, to: number, made: (day: number) => number): number => {
  let total = 0
  for (let day = from; day < to; day++) total += Math.round(made(day))
  return total
}

describe('the growth forecast', () => {
  test.each([
    ['steady', () => 1_000],
    ['with a week', (day: number) => 1_000 * (week[day % 7] as number)],
    ['rising', (day: number) => 1_000 + 25 * (day - today)],
    ['rising with a week', (day: number) => (1_000 + 20 * (day - today)) * (week[day % 7] as number)],
    ['falling', (day: number) => 1_500 - 20 * (day - today)],
  ] as const)('%s: a month ahead it is within 3 % of what came', (_, made) => {
    const { days, historyDays } = forecastGrowth(usageAt(today, 56, made), 30)
    expect([days.length, historyDays]).toEqual([30, 55])
    for (const ahead of [1, 10, 30]) {
      const day = days[ahead - 1]
      const at = today + ahead
      expect(day?.atMs).toBe(at * dayMs)
      expect(Math.abs((day?.records ?? 0) / sum(at - 14, at, made) - 1)).toBeLessThan(0.03)
      expect(Math.abs((day?.outcomes ?? 0) / sum(at - 7, at, made) - 1)).toBeLessThan(0.03)
      // The first day of the history is taken for a part of one.
      expect(Math.abs((day?.trailLines ?? 0) / (2 * sum(today - 55, at, made)) - 1)).toBeLessThan(0.03)
    }
  })

  test('adds the sizes of its rows', () => {
    const { days, bytesPerRecord, bytesPerOutcome, bytesPerTrailLine } = forecastGrowth(
      usageAt(today, 28, () => 100),
      1,
    )
    expect([bytesPerRecord, bytesPerOutcome, bytesPerTrailLine]).toEqual([400, 1_000, 150])
    expect(days[0]?.bytes).toBe(1_400 * 400 + 700 * 1_000 + 2 * 2_800 * 150)
  })

  test('of a store without history is nothing, and of a few days their mean', () => {
    expect(
      forecastGrowth(
        usageAt(today, 0, () => 0),
        2,
      ).days.map(({ records }) => records),
    ).toEqual([0, 0])
    const few = forecastGrowth(
      usageAt(today, 4, (day) => (day % 2 === 0 ? 50 : 150)),
      30,
    )
    expect(few.risePerDay).toBe(0)
    expect(few.recordsPerDay).toBeGreaterThan(80)
  })

  test('shares the records among policies as they were lately', () => {
    const base = usageAt(today, 28, () => 100)
    const [standard] = base.policies as [StorageUsage['policies'][0]]
    const usage = { ...base, policies: [standard, { ...standard, name: 'financial', tombstoneMs: 28 * dayMs, completedRecently: 30 }] }
    expect(forecastGrowth(usage, 30).days.at(-1)?.records).toBe(0.25 * 1_400 + 0.75 * 2_800)
  })

  test('never falls below nothing and is never no number', () => {
    const counts = fc.array(fc.integer({ min: 0, max: 10_000 }), { maxLength: 60 })
    fc.assert(
      fc.property(counts, fc.integer({ min: 0, max: dayMs - 1 }), (made, ms) => {
        const usage = { ...usageAt(today, made.length, (day) => made[day - today + made.length] ?? 0), atMs: today * dayMs + ms }
        for (const { records, outcomes, trailLines, bytes } of forecastGrowth(usage, 90).days) {
          for (const value of [records, outcomes, trailLines, bytes]) expect(value).toBeGreaterThanOrEqual(0)
        }
      }),
      { numRuns: 100 },
    )
  })
})
