import { ConfigurationError } from 'oncely'

interface Bucket {
  tokens: number
  atMs: number
}

const callersMax = 10_000

/** So many requests a second and caller, and a burst of them: a token bucket each. Callers that were not heard of for longest are forgotten. */
export class RateLimit {
  readonly #perSecond: number
  readonly #burst: number
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, Bucket>()

  /** @throws ConfigurationError */
  constructor(options: { readonly perSecond: number; readonly burst: number; readonly nowMs?: () => number }) {
    const { perSecond, burst } = options
    for (const [name, value] of [
      ['rate', perSecond],
      ['burst', burst],
    ] as const)
      if (!Number.isInteger(value) || value < 1 || value > 1_000_000)
        throw new ConfigurationError(`--${name} is ${value}; it must be a whole number from 1 to 1000000.`)
    this.#perSecond = perSecond
    this.#burst = burst
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** 0 where the caller may go on, else how long it has to wait. */
  take(caller: string): number {
    const nowMs = this.#nowMs()
    const known = this.#buckets.get(caller)
    const bucket = known ?? { tokens: this.#burst, atMs: nowMs }
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((nowMs - bucket.atMs) * this.#perSecond) / 1_000)
    bucket.atMs = nowMs
    this.#buckets.delete(caller)
    this.#buckets.set(caller, bucket)
    if (this.#buckets.size > callersMax) this.#buckets.delete(this.#buckets.keys().next().value as string)
    if (bucket.tokens < 1) return Math.max(1, Math.ceil(((1 - bucket.tokens) * 1_000) / this.#perSecond))
    bucket.tokens--
    return 0
  }
}
