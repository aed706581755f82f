import type { IncomingMessage } from 'node:http'
import { ConfigurationError } from 'oncely'

/** There is no room for another body now; nothing of it was read. */
export class BodyBudgetSpent extends Error {
  override readonly name: string = 'BodyBudgetSpent'
}

/** Bounds the bodies that are held at once: one is small, and many callers are many bodies. */
export class BodyBudget {
  #bytesMax: number
  #bodyBytesMax: number
  #held = 0

  /** @throws ConfigurationError where not even one body would fit. */
  constructor(bytesMax: number, bodyBytesMax: number) {
    this.#bytesMax = BodyBudget.checked(bytesMax, bodyBytesMax)
    this.#bodyBytesMax = bodyBytesMax
  }

  /** @throws ConfigurationError where not even one body would fit. */
  static checked(bytesMax: number, bodyBytesMax: number): number {
    if (!Number.isSafeInteger(bytesMax) || bytesMax < bodyBytesMax)
      throw new ConfigurationError(
        `heldBytesMax is ${String(bytesMax)}; it must be a whole number of at least bodyBytesMax (${bodyBytesMax}), or that body never fits.`,
      )
    return bytesMax
  }

  /** Sets other bounds; what is held stays held. */
  change(bytesMax: number, bodyBytesMax: number): void {
    this.#bytesMax = bytesMax
    this.#bodyBytesMax = bodyBytesMax
  }

  /**
   * Keeps room for the body of a request before any of it is read, and answers how to give it back. A body that does not say its
   * length is counted as the longest one.
   *
   * @throws BodyBudgetSpent
   */
  reserve({ headers }: IncomingMessage): () => void {
    const length = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : this.#bodyBytesMax
    // What is longer is refused by its length alone.
    const bytes = length > this.#bodyBytesMax ? 0 : length
    if (this.#held + bytes > this.#bytesMax) throw new BodyBudgetSpent(`bodies of ${this.#held} bytes are held; no room for ${bytes} more`)
    this.#held += bytes
    return () => {
      this.#held -= bytes
    }
  }
}
