import type { Clock } from '../core/index.ts'

/** The process's own clock. */
export const nodeClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, run, kind) => {
    const timer = setTimeout(run, delayMs)
    if (kind === 'background') timer.unref()
    return () => clearTimeout(timer)
  },
}
