import { type SimReport, simulate } from 'oncely/sim'
import { beforeAll, describe, expect, test } from 'vitest'

const seeds = 1_000

const faultKinds = [
  'client: reply lost',
  'client: request lost',
  'client: request sent twice',
  'client: slow',
  'database: conflict',
  'database: delayed',
  'database: refused',
  'database: reply lost',
  'database: request lost',
  'database: slow',
  'database clock set',
  'database crashed',
  'database refuses connections',
  'database unreachable for one process',
  'event loop blocked',
  'handler commits itself',
  'handler swallows an error',
  'handler throws',
  'process drained',
  'process killed',
  'process killed at a call',
  'process paused',
  'process paused in a call',
  'provider: declined',
  'provider: delayed',
  'provider: refused',
  'provider: reply lost',
  'provider: request lost',
  'provider: slow',
]

const words = [
  'done',
  'replayed',
  'rejected',
  'in-progress',
  'mismatch',
  'uncertain',
  'quarantined',
  'expired',
  'unrecorded',
  'unavailable',
  'threw',
]

describe(`${seeds} seeds`, () => {
  const reports: SimReport[] = []

  beforeAll(async () => {
    for (let seed = 1; seed <= seeds; seed++) reports.push(await simulate({ seed }))
  }, 180_000)

  test('keep every promise', () => {
    const failures = reports
      .filter(({ violations }) => violations.length > 0)
      .map(({ seed, violations }) => `${violations[0]} — repeat it: npm run sim -- --seed ${seed} --trace`)
    expect(failures).toEqual([])
  })

  test('inject every kind of fault', () => {
    expect(faultKinds.filter((kind) => sum((report) => report.faults.get(kind)) === 0)).toEqual([])
    expect([...new Set(reports.flatMap(({ faults }) => [...faults.keys()]))].sort()).toEqual([...faultKinds].sort())
  })

  test('give every answer there is', () => {
    expect(words.filter((word) => sum((report) => report.words.get(word)) === 0)).toEqual([])
  })

  test('run with faults to the end, and until everybody has a final word', () => {
    for (const mode of ['safety', 'liveness']) expect(reports.filter((report) => report.mode === mode).length).toBeGreaterThan(100)
    expect(sum(({ effects }) => effects)).toBeGreaterThan(seeds)
    expect(sum(({ rows }) => rows)).toBeGreaterThan(seeds / 2)
  })

  function sum(count: (report: SimReport) => number | undefined): number {
    return reports.reduce((total, report) => total + (count(report) ?? 0), 0)
  }
})

describe('a seed', () => {
  test('has the same trace every time, line by line', async () => {
    for (const seed of [1, 2, 3, 7, 50]) {
      const [first, second] = [await simulate({ seed, trace: true }), await simulate({ seed, trace: true })]
      expect(first.trace.length).toBeGreaterThan(50)
      expect(second).toEqual(first)
    }
  })

  test('is another world than the next one', async () => {
    const [one, two] = [await simulate({ seed: 1, trace: true }), await simulate({ seed: 2, trace: true })]
    expect(one.trace).not.toEqual(two.trace)
  })

  test('lives the same life with and without its trace', async () => {
    const [traced, silent] = [await simulate({ seed: 5, trace: true }), await simulate({ seed: 5 })]
    expect(silent).toEqual({ ...traced, trace: [] })
  })

  test('can be made to look harder at one kind of fault', async () => {
    const calm = await simulate({
      seed: 9,
      mode: 'safety',
      change: (drawn) => ({ ...drawn, nemesis: { ...drawn.nemesis, killEveryMs: 1_000 } }),
    })
    expect(calm.mode).toBe('safety')
    expect(calm.faults.get('process killed')).toBeGreaterThan(5)
  })
})
