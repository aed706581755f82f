import { SimRandom } from 'oncely/sim'
import { describe, expect, test } from 'vitest'

const take = <T>(count: number, draw: () => T): T[] => Array.from({ length: count }, draw)

describe('seeded randomness', () => {
  test('one seed gives the same numbers and ids every time', () => {
    const [first, second] = [new SimRandom(7), new SimRandom(7)]
    expect(take(50, () => first.fraction())).toEqual(take(50, () => second.fraction()))
    expect(take(5, () => first.uuid())).toEqual(take(5, () => second.uuid()))
  })

  test('two seeds give others', () => {
    expect(new SimRandom(7).uuid()).not.toBe(new SimRandom(8).uuid())
  })

  test('ids are UUIDs of version 4 and do not repeat', () => {
    const random = new SimRandom('ids')
    const ids = take(2_000, () => random.uuid())
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('fractions fill [0, 1) evenly', () => {
    const random = new SimRandom('even')
    const tenths = new Array<number>(10).fill(0)
    for (const fraction of take(20_000, () => random.fraction())) (tenths[Math.floor(fraction * 10)] as number)++
    expect(tenths).toHaveLength(10)
    for (const count of tenths) expect(Math.abs(count - 2_000)).toBeLessThan(200)
  })

  test('whole numbers reach both ends, and chances follow their probability', () => {
    const random = new SimRandom('ends')
    expect([...new Set(take(200, () => random.integer(1, 3)))].sort()).toEqual([1, 2, 3])
    expect(take(100, () => random.chance(0))).not.toContain(true)
    expect(take(100, () => random.chance(1))).not.toContain(false)
    const hits = take(10_000, () => random.chance(0.2)).filter(Boolean).length
    expect(Math.abs(hits - 2_000)).toBeLessThan(200)
  })

  test('draws from one fork do not shift those of another', () => {
    const [disturbed, calm] = [new SimRandom(1), new SimRandom(1)]
    take(10, () => disturbed.fork('a').fraction())
    disturbed.fraction()
    expect(disturbed.fork('b').uuid()).toBe(calm.fork('b').uuid())
    expect(calm.fork('a').uuid()).not.toBe(calm.fork('b').uuid())
  })
})
