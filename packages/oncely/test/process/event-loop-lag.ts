import { readFileSync } from 'node:fs'

/**
 * The longest time in milliseconds for which a timer of 5 ms was late between the call and `stop()`, without the time for which
 * this thread was ready to run and the machine gave it no processor.
 */
export function measureLag(): { stop(): number } {
  let worstMs = 0
  let last = performance.now()
  let lastWaitedMs = waitedForProcessorMs()
  const timer = setInterval(() => {
    const now = performance.now()
    const waitedMs = waitedForProcessorMs()
    worstMs = Math.max(worstMs, now - last - 5 - (waitedMs - lastWaitedMs))
    last = now
    lastWaitedMs = waitedMs
  }, 5)
  return {
    stop: () => {
      clearInterval(timer)
      return worstMs
    },
  }
}

/** The second number of Linux's schedstat: nanoseconds on a run queue. Elsewhere nothing is taken off. */
function waitedForProcessorMs(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}
