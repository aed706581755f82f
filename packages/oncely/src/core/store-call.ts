import { type Clock, sleep, timedOut, withTimeout } from './clock.ts'
import { StoreUnavailable } from './errors.ts'
import type { Random } from './random.ts'

/** One call of the store, bounded in time: a store that does not answer is unavailable, and never hangs a request. */
export async function bounded<T>(clock: Clock, limitMs: number, what: string, call: () => Promise<T>): Promise<T> {
  const answer = await withTimeout(clock, limitMs, call())
  if (answer !== timedOut) return answer
  throw new StoreUnavailable(
    `The store did not answer ${what} within ${Math.round(limitMs)} ms; raise limits.storeTimeoutMs, or look at the store.`,
    { applied: 'unknown' },
  )
}

/**
 * Repeats a call that is safe to repeat (its attempt id makes it so) until it is answered or `limitMs` is over. An outage that
 * surely changed nothing ends it at once when `giveUpAtOnce` says so.
 */
export async function insist<T>(
  parts: { readonly clock: Clock; readonly random: Random },
  limitMs: number,
  what: string,
  call: () => Promise<T>,
  giveUp: (error: StoreUnavailable) => boolean = () => false,
): Promise<T> {
  const deadlineMs = parts.clock.monotonicMs() + limitMs
  for (let round = 0; ; round++) {
    const leftMs = deadlineMs - parts.clock.monotonicMs()
    try {
      // Half of what is left, so that an answer lost on the way leaves time to ask again.
      return await bounded(parts.clock, Math.max(1, leftMs / 2), what, call)
    } catch (error) {
      const pauseMs = Math.min(1_000, 20 * 2 ** round) * (0.5 + parts.random.fraction() / 2)
      if (!(error instanceof StoreUnavailable) || giveUp(error) || parts.clock.monotonicMs() + pauseMs >= deadlineMs - 1) throw error
      await sleep(parts.clock, pauseMs)
    }
  }
}
