import type { Clock } from '../core/index.ts'

interface Timer {
  readonly dueMs: number
  readonly run: () => void
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>()
  readonly #startMs: number
  #elapsedMs = 0
  #offsetMs = 0

  /** `startMs`: the wall time it starts at, in milliseconds since the Unix epoch. */
  constructor(startMs: number = Date.UTC(2025, 0, 1)) {
    this.#startMs = startMs
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs + this.#offsetMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, run: () => void): () => void {
    const timer: Timer = { dueMs: this.#elapsedMs + Math.max(0, delayMs), run }
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.size
  }

  /**
   * Moves both times forward by `ms` and fires what falls due, in order and each at its own time. What a timer wakes up runs
   * before the next one fires, as far as it waits for promises and not for real I/O.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms
    await settle()
    for (let timer = this.#earliest(endMs); timer !== undefined; timer = this.#earliest(endMs)) {
      this.#timers.delete(timer)
      this.#elapsedMs = timer.dueMs
      timer.run()
      await settle()
    }
    this.#elapsedMs = endMs
    await settle()
  }

  /** Sets the wall time forward or back (negative), as an operator or a time server does; timers and the monotonic time do not move. */
  setBy(ms: number): void {
    this.#offsetMs += ms
  }

  #earliest(limitMs: number): Timer | undefined {
    let found: Timer | undefined
    for (const timer of this.#timers) if (timer.dueMs <= limitMs && (found === undefined || timer.dueMs < found.dueMs)) found = timer
    return found
  }
}

/** One turn of the event loop, which every waiting promise gets to use first. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
