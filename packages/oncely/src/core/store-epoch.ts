import type { Clock } from './clock.ts'

/**
 * Which database the store is, as read less than a minute ago. While it cannot be read, the last one stands: completed answers
 * are served while the store is down.
 */
export class StoreEpoch {
  readonly #clock: Clock
  readonly #read: () => Promise<string>
  #value: string | undefined
  #readMs = Number.NEGATIVE_INFINITY
  #failing = false
  #reading: Promise<void> | undefined

  constructor(clock: Clock, read: () => Promise<string>) {
    this.#clock = clock
    this.#read = read
  }

  set(value: string): void {
    this.#value = value
    this.#readMs = this.#clock.monotonicMs()
    this.#failing = false
  }

  get known(): string | undefined {
    return this.#value
  }

  /** Undefined before the store was opened. Waits only for a first reading that is overdue. */
  async current(): Promise<string | undefined> {
    const ageMs = this.#clock.monotonicMs() - this.#readMs
    if (this.#value === undefined || ageMs < refreshMs) return this.#value
    this.#reading ??= this.#refresh()
    if (ageMs >= ageMaxMs && !this.#failing) await this.#reading
    return this.#value
  }

  async #refresh(): Promise<void> {
    const sentMs = this.#clock.monotonicMs()
    try {
      this.set(await this.#read())
      this.#readMs = sentMs
    } catch {
      this.#failing = true
    } finally {
      this.#reading = undefined
    }
  }
}

const refreshMs = 30_000
const ageMaxMs = 60_000
