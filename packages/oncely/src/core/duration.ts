import { ConfigurationError } from './errors.ts'

/** A duration: milliseconds, or a number with its unit (`'250ms'`, `'30s'`, `'5m'`, `'24h'`, `'30d'`). */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The duration in whole milliseconds; refuses what is negative, not finite or without a known unit. */
export function parseDuration(name: string, duration: Duration): number {
  const match = typeof duration === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration) : undefined
  const value = typeof duration === 'number' ? duration : match ? Number(match[1]) * (unitMs[match[2] as string] as number) : Number.NaN
  if (!Number.isFinite(value) || value < 0 || Math.round(value) > Number.MAX_SAFE_INTEGER) {
    throw new ConfigurationError(
      `${name} is ${JSON.stringify(duration)}; write milliseconds as a number, or a number with ms, s, m, h or d, such as '24h'.`,
    )
  }
  return Math.round(value)
}

/** The shortest exact spelling, for messages: `90000` is `90s`. */
export function formatDuration(durationMs: number): string {
  const unit =
    (['d', 'h', 'm', 's'] as const).find((candidate) => durationMs > 0 && durationMs % (unitMs[candidate] as number) === 0) ?? 'ms'
  return `${durationMs / (unitMs[unit] as number)}${unit}`
}
