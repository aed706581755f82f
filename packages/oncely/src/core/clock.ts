/**
 * Everything the library knows about time. Wall time is for records of a store without a clock of its own; waits, leases held
 * by this process and time-outs use the monotonic clock, which no operator can set back.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number
  /** Calls `run` once after `delayMs`; the returned function cancels it. A `background` timer does not keep the process alive. */
  after(delayMs: number, run: () => void, kind?: 'background'): () => void
}

/** Waits `delayMs` on the given clock; ends early, without an error, when `signal` is aborted. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const finish = (): void => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }
    const cancel = clock.after(delayMs, finish)
    const stop = (): void => {
      cancel()
      finish()
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** What `within` answers when the work took longer than it may. */
export const timedOut: unique symbol = Symbol('oncely.timed-out')

/** Settles with the work, or with `timedOut` after `limitMs`; the work itself goes on and its late failure is swallowed. */
export async function withTimeout<T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<T | typeof timedOut> {
  let cancel: () => void = () => {}
  const limit = new Promise<typeof timedOut>((resolve) => {
    cancel = clock.after(limitMs, () => resolve(timedOut))
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    cancel()
    work.catch(() => {})
  }
}
