import { type Clock, type Random, sleep } from '../../core/index.ts'
import { isBusy } from './sqlite-error.ts'

/** What waiting needs. */
export interface Patience {
  readonly clock: Clock
  readonly random: Random
}

/** What an attempt answers while a lock is taken. */
export const busy: unique symbol = Symbol('oncely.sqlite.busy')

/** Short, because a process that waits gets in only between two commits of the others. */
const pauseMsMax = 8

/**
 * Tries until the lock is free or `deadlineMs` (monotonic) has come, then answers `busy`. It pauses on the clock and never inside
 * SQLite, so that the event loop goes on while another process holds the file.
 */
export async function patiently<T>(
  { clock, random }: Patience,
  deadlineMs: number,
  attempt: () => T | typeof busy,
): Promise<T | typeof busy> {
  for (let round = 0; ; round++) {
    const result = unlessBusy(attempt)
    if (result !== busy) return result
    const leftMs = deadlineMs - clock.monotonicMs()
    if (leftMs <= 0) return busy
    const pauseMs = Math.min(pauseMsMax, 2 ** round) * (0.5 + random.fraction() / 2)
    await sleep(clock, Math.min(pauseMs, leftMs))
  }
}

function unlessBusy<T>(attempt: () => T | typeof busy): T | typeof busy {
  try {
    return attempt()
  } catch (error) {
    if (isBusy(error)) return busy
    throw error
  }
}
