import { type Clock, sleep } from './clock.ts'
import { ConfigurationError, isOncelyError, TransactionConflict } from './errors.ts'
import { checkBound } from './limits.ts'
import type { Random } from './random.ts'

export interface OptimisticOptions {
  /** How often the transaction runs at most, the first time included. */
  readonly attemptsMax?: number
  /** Longest pause before the second attempt; it doubles with each further one, up to a second, and a random part of it is waited. */
  readonly pauseMs?: number
  /** Errors besides `TransactionConflict` after which nothing was committed and the whole transaction may run again. */
  readonly isConflict?: (error: unknown) => boolean
}

const longestPauseMs = 1_000

/** `optimistic` over a given clock and randomness. */
export async function retryOptimistic<R>(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  transaction: (attempt: number) => Promise<R>,
  options: OptimisticOptions,
): Promise<R> {
  const attemptsMax = checkBound('attemptsMax', options.attemptsMax, { preset: 5, min: 1, max: 100 })
  const pauseMs = checkBound('pauseMs', options.pauseMs, { preset: 10, min: 0, max: longestPauseMs })
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction(attempt)
    } catch (error) {
      const conflict = (isOncelyError(error) && error.code === 'ONCELY_TRANSACTION_CONFLICT') || (options.isConflict?.(error) ?? false)
      if (!conflict || attempt === attemptsMax) throw error
      await sleep(clock, Math.min(longestPauseMs, pauseMs * 2 ** (attempt - 1)) * random.fraction())
    }
  }
}

/**
 * Checks a compare-and-set: the statement `UPDATE … WHERE id = … AND version = …` changed its one row.
 *
 * @param count how many rows the statement changed, as the driver says.
 * @throws TransactionConflict when it changed none: somebody else changed the row since it was read. Let it pass, so that the
 *   transaction is rolled back.
 * @throws ConfigurationError when it changed several, or the driver does not say: the statement does not name one row.
 */
export function expectVersion(count: number | null): void {
  if (count === 1) return
  if (count === 0)
    throw new TransactionConflict('The row has another version than the one that was read; nothing of this transaction may be kept.')
  throw new ConfigurationError(`The compare-and-set changed ${String(count)} rows; it must name one row by its key, and its version.`)
}
