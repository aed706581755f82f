import { ManualClock } from 'oncely/testing'
import { expect, test } from 'vitest'

test('stands still until it is moved', async () => {
  const clock = new ManualClock(5_000)
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([5_000, 0])
  await clock.advance(250)
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([5_250, 250])
})

test('fires what falls due in order, each at its own time', async () => {
  const clock = new ManualClock()
  const fired: [string, number][] = []
  const note = (name: string) => () => fired.push([name, clock.monotonicMs()])
  clock.after(30, note('third'))
  clock.after(10, note('first'))
  clock.after(10, note('second'))
  clock.after(31, note('later'))
  await clock.advance(30)
  expect(fired).toEqual([
    ['first', 10],
    ['second', 10],
    ['third', 30],
  ])
  expect(clock.pending).toBe(1)
})

test('fires what a timer or a promise behind it sets within the same time', async () => {
  const clock = new ManualClock()
  const fired: number[] = []
  const tick = async (): Promise<void> => {
    fired.push(clock.monotonicMs())
    await Promise.resolve()
    if (fired.length < 5) clock.after(10, () => void tick())
  }
  clock.after(10, () => void tick())
  await clock.advance(35)
  expect(fired).toEqual([10, 20, 30])
  await clock.advance(100)
  expect(fired).toEqual([10, 20, 30, 40, 50])
})

test('forgets a cancelled timer, and takes a negative delay for none', async () => {
  const clock = new ManualClock()
  const fired: string[] = []
  const cancel = clock.after(10, () => fired.push('cancelled'))
  clock.after(-5, () => fired.push('at once'))
  cancel()
  cancel()
  await clock.advance(10)
  expect(fired).toEqual(['at once'])
})

test('can be set back without touching timers or the monotonic time', async () => {
  const clock = new ManualClock(100_000)
  const fired: number[] = []
  clock.after(10, () => fired.push(clock.nowMs()))
  clock.setBy(-60_000)
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([40_000, 0])
  await clock.advance(10)
  expect(fired).toEqual([40_010])
})
