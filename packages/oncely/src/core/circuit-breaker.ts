import { type Clock, timedOut, withTimeout } from './clock.ts'

/**
 * Keeps a slow or dead helper from slowing down those who can do without it.
 *
 *   closed ──failures in a row──▶ open (nothing is called) ──after a pause──▶ one call as a probe, which nobody waits for
 *      ▲                             ▲                                            │
 *      └────────── it was answered ──┼────────────────────────────────────────────┤
 *                                    └──────────────────────────── it failed ─────┘
 */
export class CircuitBreaker {
  readonly #clock: Clock
  readonly #timeoutMs: number
  #failures = 0
  #closedAgainMs = 0

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  get isOpen(): boolean {
    return this.#failures >= failuresMax
  }

  /** The answer; undefined when there was none in time, and at once while it is open. `opened` hears of the failure that opens it. */
  async call<T>(work: () => Promise<T>, opened: (error: unknown) => void): Promise<T | undefined> {
    if (!this.isOpen) return this.#attempt(work, opened)
    if (this.#clock.monotonicMs() >= this.#closedAgainMs) {
      this.#pause()
      void this.#attempt(work, opened)
    }
    return undefined
  }

  async #attempt<T>(work: () => Promise<T>, opened: (error: unknown) => void): Promise<T | undefined> {
    let failure: unknown
    try {
      const answer = await withTimeout(this.#clock, this.#timeoutMs, work())
      if (answer !== timedOut) {
        this.#failures = 0
        return answer
      }
      failure = timedOut
    } catch (error) {
      failure = error
    }
    this.#failures++
    if (this.isOpen) this.#pause()
    if (this.#failures === failuresMax) opened(failure)
    return undefined
  }

  #pause(): void {
    this.#closedAgainMs = this.#clock.monotonicMs() + pauseMs
  }
}

const failuresMax = 3
const pauseMs = 1_000
