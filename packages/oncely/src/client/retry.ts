import { ClientError } from './client-error.ts'
import type { ClientPlatform } from './platform.ts'

/** When and how often a request is sent again. All of it with the same key. */
export interface RetryOptions {
  /** Most attempts of one call, the first included; 1 sends once, with a key all the same. Default 5. */
  readonly attemptsMax?: number
  /** Longest time from the call to the last attempt's answer. Default 30 000. */
  readonly deadlineMs?: number
  /** Longest wait for the answer of one attempt, up to its headers. Default 10 000. */
  readonly attemptTimeoutMs?: number
  /** The first pause is drawn from 0 to this; the bound doubles with each attempt. Default 200. */
  readonly backoffMs?: number
  /** Where the doubling ends. Default 5 000. */
  readonly backoffMsMax?: number
  /** A longer `Retry-After` is taken as this. Default 30 000. */
  readonly retryAfterMsMax?: number
  /** Retries that all calls of this fetch may have ahead of their successes; a server in trouble is not buried. Default 100. */
  readonly budgetMax?: number
}

const presets: Readonly<Required<RetryOptions>> = {
  attemptsMax: 5,
  deadlineMs: 30_000,
  attemptTimeoutMs: 10_000,
  backoffMs: 200,
  backoffMsMax: 5_000,
  retryAfterMsMax: 30_000,
  budgetMax: 100,
}

/** Timers of browsers and Node hold 31 bits. */
const boundMax = 2_147_483_647

/** The presets with the caller's own values in their place; refuses what is no option and what is out of range. */
export function checkRetry(own: RetryOptions = {}): Required<RetryOptions> {
  const merged: Record<string, number> = { ...presets }
  for (const [name, value] of Object.entries(own)) {
    if (value === undefined) continue
    const min = name === 'attemptsMax' || name === 'deadlineMs' || name === 'attemptTimeoutMs' ? 1 : 0
    if (!(name in presets) || !Number.isInteger(value) || value < min || value > boundMax) {
      throw new ClientError(
        'ONCELY_CONFIGURATION',
        name in presets
          ? `retry.${name} is ${String(value)}; it must be a whole number from ${min} to ${boundMax}.`
          : `retry.${name} is not an option; the options are ${Object.keys(presets).join(', ')}.`,
      )
    }
    merged[name] = value
  }
  return merged as unknown as Required<RetryOptions>
}

/**
 * The pause before the next attempt: full jitter under a doubling, capped bound, on top of what the server asked for, so that
 * clients which were sent away together do not come back together.
 */
export function pauseMs(
  retry: Required<RetryOptions>,
  attempt: number,
  retryAfterMs: number | undefined,
  platform: ClientPlatform,
): number {
  const bound = Math.min(retry.backoffMsMax, retry.backoffMs * 2 ** (attempt - 1))
  return Math.min(retryAfterMs ?? 0, retry.retryAfterMsMax) + platform.fraction() * bound
}
