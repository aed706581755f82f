import type { ClientPlatform } from '../../src/client/platform.ts'

/**
 * Time that passes only in pauses, which end at once and are noted. The timer set right before something is sent is the attempt's
 * own: it fires when the test says so.
 */
export interface TestPlatform {
  readonly platform: ClientPlatform
  readonly fetch: typeof globalThis.fetch
  /** For what sends without `fetch`: the timer set last is the attempt's own. */
  sending(): void
  /** The pauses so far, in milliseconds. */
  readonly pausesMs: number[]
  /** Lets no further pause end; resolves when the next one begins. */
  holdPauses(): Promise<void>
  /** Lets the time of the running attempts end. */
  timeOut(): void
  /** Every draw from now on. */
  draw(fraction: number): void
  /** The clocks go on. */
  passMs(ms: number): void
}

interface Timer {
  readonly delayMs: number
  readonly run: () => void
}

export const startMs: number = Date.UTC(2026, 0, 1)

export function testPlatform(): TestPlatform {
  const pausesMs: number[] = []
  const attempts = new Set<Timer>()
  const pauses = new Set<Timer>()
  let newest: Timer | undefined
  let elapsedMs = 0
  let keys = 0
  let fraction = 0.5
  let held: (() => void) | undefined
  const platform: ClientPlatform = {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    after: (delayMs, run) => {
      const timer = { delayMs, run }
      newest = timer
      pauses.add(timer)
      setImmediate(() => {
        if (!pauses.has(timer)) return
        pausesMs.push(delayMs)
        if (held) return held()
        elapsedMs += delayMs
        run()
      })
      return () => {
        pauses.delete(timer)
        attempts.delete(timer)
      }
    },
    fraction: () => fraction,
    uuid: () => `key-${++keys}`,
  }
  const sending = (): void => {
    if (newest !== undefined && pauses.delete(newest)) attempts.add(newest)
  }
  return {
    platform,
    fetch: (input, init) => {
      sending()
      return globalThis.fetch(input, init)
    },
    sending,
    pausesMs,
    holdPauses: () =>
      new Promise((resolve) => {
        held = resolve
      }),
    timeOut: () => {
      for (const { delayMs, run } of attempts) {
        elapsedMs += delayMs
        run()
      }
    },
    draw: (next) => {
      fraction = next
    },
    passMs: (ms) => {
      elapsedMs += ms
    },
  }
}
