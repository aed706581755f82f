import fc from 'fast-check'
import { VirtualTime } from 'oncely/sim'
import { describe, expect, test } from 'vitest'

describe('virtual time', () => {
  test('runs events by their moment, then in the order in which they were scheduled', () => {
    const moments = fc.array(fc.nat(20), { maxLength: 60 })
    fc.assert(
      fc.property(moments, (delays) => {
        const time = new VirtualTime()
        const ran: { atMs: number; index: number }[] = []
        for (const [index, atMs] of delays.entries()) {
          time.schedule(atMs, () => {
            expect(time.nowMs).toBe(atMs)
            ran.push({ atMs, index })
          })
        }
        while (time.step());
        const expected = delays.map((atMs, index) => ({ atMs, index })).sort((a, b) => a.atMs - b.atMs || a.index - b.index)
        expect(ran).toEqual(expected)
      }),
    )
  })

  test('a cancelled event never runs, and a past moment is now', () => {
    const time = new VirtualTime()
    const ran: string[] = []
    const cancel = time.schedule(5, () => ran.push('cancelled'))
    time.schedule(10, () => {
      ran.push('ten')
      time.schedule(3, () => ran.push(`late at ${time.nowMs}`))
    })
    cancel()
    while (time.step());
    expect(ran).toEqual(['ten', 'late at 10'])
  })

  test('a step does not go beyond its limit', () => {
    const time = new VirtualTime()
    time.schedule(10, () => {})
    expect(time.step(9)).toBe(false)
    expect(time.nowMs).toBe(0)
    expect(time.step(10)).toBe(true)
    expect(time.nowMs).toBe(10)
    expect(time.step()).toBe(false)
  })
})
