import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NodeTime } from '../../src/etcd/node-time.ts'

/** A node whose clock stood at `wallMs` when this process's monotonic clock stood at 0, asked at `sentMs`. */
function sighting(wallMs: number, sentMs: number, thereMs = 5, backMs = 5) {
  const dateMs = Math.floor((wallMs + sentMs + thereMs) / 1_000) * 1_000
  return { dateMs, sentMs, receivedMs: sentMs + thereMs + backMs }
}

describe("the nodes' time", () => {
  test('is unknown before the first answer, and without a Date', () => {
    const time = new NodeTime()
    expect(time.bounds(0)).toBeUndefined()
    time.sight('a', { dateMs: Number.NaN, sentMs: 0, receivedMs: 1 })
    expect(time.bounds(0)).toBeUndefined()
  })

  test('lies within the bounds, whatever answers came, and the doubt shrinks with them', () => {
    const answers = fc.array(fc.record({ sentMs: fc.integer({ min: 0, max: 60_000 }), thereMs: fc.nat(300), backMs: fc.nat(300) }), {
      minLength: 1,
    })
    fc.assert(
      fc.property(fc.integer({ min: 1_700_000_000_000, max: 1_700_000_999_999 }), answers, (wallMs, asked) => {
        const time = new NodeTime()
        const inOrder = [...asked].sort((a, b) => a.sentMs - b.sentMs)
        for (const { sentMs, thereMs, backMs } of inOrder) time.sight('a', sighting(wallMs, sentMs, thereMs, backMs))
        const { earliestMs = Number.NaN, latestMs = Number.NaN } = time.bounds(70_000) ?? {}
        expect(earliestMs).toBeLessThanOrEqual(wallMs + 70_000)
        expect(latestMs).toBeGreaterThanOrEqual(wallMs + 70_000)
        expect(latestMs - earliestMs).toBeLessThanOrEqual(1_000 + 600 + 2 * 70)
      }),
    )
  })

  test('many answers leave a few milliseconds of doubt', () => {
    const time = new NodeTime()
    for (let sentMs = 0; sentMs < 3_000; sentMs += 37) time.sight('a', sighting(1_700_000_000_400, sentMs, 1, 1))
    const { earliestMs = 0, latestMs = 0 } = time.bounds(3_000) ?? {}
    expect(latestMs - earliestMs).toBeLessThan(60)
  })

  test('nodes that disagree are all within the bounds', () => {
    const time = new NodeTime()
    time.sight('a', sighting(1_700_000_000_000, 0))
    time.sight('b', sighting(1_700_000_030_000, 10))
    const { earliestMs = 0, latestMs = 0 } = time.bounds(20) ?? {}
    expect(earliestMs).toBeLessThanOrEqual(1_700_000_000_020)
    expect(latestMs).toBeGreaterThanOrEqual(1_700_000_030_020)
  })

  test('a clock that was set counts from its next answer on', () => {
    const time = new NodeTime()
    time.sight('a', sighting(1_700_000_000_000, 0))
    time.sight('a', sighting(1_700_000_500_000, 100))
    expect(time.bounds(100)?.earliestMs).toBeGreaterThan(1_700_000_498_000)
    time.sight('a', sighting(1_700_000_000_000, 200))
    expect(time.bounds(200)?.latestMs).toBeLessThan(1_700_000_003_000)
  })

  test('a node that has been silent for ten minutes has no say', () => {
    const time = new NodeTime()
    time.sight('a', sighting(1_700_000_000_000, 0))
    time.sight('b', sighting(1_700_000_030_000, 590_000))
    expect(time.bounds(599_000)?.earliestMs).toBeLessThan(1_700_000_600_000)
    expect(time.bounds(601_000)?.earliestMs).toBeGreaterThan(1_700_000_620_000)
  })
})
