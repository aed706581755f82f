import type { Clock } from '../../src/core/index.ts'
import type { ManualClock } from '../../src/testing/manual-clock.ts'

/** The timers set on the clock from now on, each as `delay` or `delay background`. */
export function timersOf(clock: ManualClock): string[] {
  const timers: string[] = []
  const after = clock.after.bind(clock)
  Object.assign(clock, {
    after: (...[delayMs, run, kind]: Parameters<Clock['after']>) => {
      timers.push(kind === undefined ? String(delayMs) : `${delayMs} ${kind}`)
      return after(delayMs, run)
    },
  })
  return timers
}
