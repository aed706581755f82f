import { ConfigurationError } from './errors.ts'

/** Every bound of the library, with its unit in the name. Each is checked when an instance is constructed. */
export interface Limits {
  /** Shortest and longest key accepted, in bytes of UTF-8. */
  readonly keyBytesMin: number
  readonly keyBytesMax: number
  /** Largest request body that is fingerprinted, after decoding; a larger one is refused before anything runs. */
  readonly bodyBytesMax: number
  /** Largest response that is stored; the first caller gets a larger one whole, a retry learns that it was not stored. */
  readonly responseBytesMax: number
  /** Messages that one attempt may send through the outbox, in number and in bytes of payload and headers. */
  readonly outboxMessagesMax: number
  readonly outboxBytesMax: number
  /** Deepest nesting of a JSON body. */
  readonly jsonDepthMax: number
  /** Duplicates of one record that may wait for its outcome in one process. */
  readonly waitersMax: number
  /** Records that may run in one process at once. */
  readonly runningMax: number
  /** Outcomes of the last minute that are answered from this process, in number and in bytes; 0 asks the store every time. */
  readonly recentOutcomesMax: number
  readonly recentBytesMax: number
  /** Longest wait for one answer of the store. */
  readonly storeTimeoutMs: number
  /** Longest wait for one answer of the cache; three in a row that take longer, and it is left alone for a second. */
  readonly cacheTimeoutMs: number
  /** How long counts of duplicates are gathered before they are written. */
  readonly auditFlushMs: number
  /** Longest time `drain()` waits for what runs. */
  readonly drainMs: number
}

interface Bound {
  readonly preset: number
  readonly min: number
  readonly max: number
}

/** The presets and the range each limit may be set to. */
export const limitBounds: Readonly<Record<keyof Limits, Bound>> = {
  keyBytesMin: { preset: 1, min: 1, max: 255 },
  keyBytesMax: { preset: 255, min: 1, max: 4096 },
  bodyBytesMax: { preset: 1_048_576, min: 0, max: 268_435_456 },
  responseBytesMax: { preset: 1_048_576, min: 0, max: 67_108_864 },
  outboxMessagesMax: { preset: 1_000, min: 1, max: 100_000 },
  outboxBytesMax: { preset: 4_194_304, min: 1, max: 67_108_864 },
  jsonDepthMax: { preset: 128, min: 1, max: 10_000 },
  waitersMax: { preset: 100, min: 0, max: 100_000 },
  runningMax: { preset: 10_000, min: 1, max: 1_000_000 },
  recentOutcomesMax: { preset: 10_000, min: 0, max: 10_000_000 },
  recentBytesMax: { preset: 16_777_216, min: 0, max: 1_073_741_824 },
  storeTimeoutMs: { preset: 5_000, min: 1, max: 600_000 },
  cacheTimeoutMs: { preset: 50, min: 1, max: 5_000 },
  auditFlushMs: { preset: 1_000, min: 1, max: 60_000 },
  drainMs: { preset: 10_000, min: 0, max: 3_600_000 },
}

/** The presets with the caller's own values in their place; refuses a value outside its range. */
export function checkLimits(own: Partial<Limits> = {}): Limits {
  const names = Object.keys(limitBounds) as (keyof Limits)[]
  const unknown = Object.keys(own).find((name) => !Object.hasOwn(limitBounds, name))
  if (unknown !== undefined) throw new ConfigurationError(`limits.${unknown} is not a limit; the limits are ${names.join(', ')}.`)
  const checked = Object.fromEntries(
    names.map((name) => [name, checkBound(`limits.${name}`, own[name], limitBounds[name])]),
  ) as unknown as Limits
  if (checked.keyBytesMin > checked.keyBytesMax) {
    throw new ConfigurationError(
      `limits.keyBytesMin is ${checked.keyBytesMin}, more than limits.keyBytesMax ${checked.keyBytesMax}; lower the first or raise the second.`,
    )
  }
  return checked
}

/** The value, or the preset when none is given; refuses what is not a whole number inside the bound. */
export function checkBound(name: string, value: number | undefined, bound: Bound): number {
  if (value === undefined) return bound.preset
  if (!Number.isInteger(value) || value < bound.min || value > bound.max) {
    throw new ConfigurationError(
      `${name} is ${String(value)}; it must be a whole number from ${bound.min} to ${bound.max} (preset ${bound.preset}).`,
    )
  }
  return value
}
