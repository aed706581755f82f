import { type Clock, sleep, timedOut, withTimeout } from './clock.ts'
import { LeaseLost } from './errors.ts'
import type { Lock } from './lock.ts'

/** What an engine does for a lock that this process holds. Each call may reject when the engine gave no answer. */
export interface LeasedLockParts {
  readonly clock: Clock
  readonly token: bigint | null
  /** How long the lock is surely held after a renewal was sent. */
  readonly leaseMs: number
  /** Monotonic time before the request that locked was sent. */
  readonly startedMs: number
  renew(): Promise<'renewed' | 'lost'>
  release(): Promise<'released' | 'lost'>
  /** The lock is lost, or was not released for certain: frees what is left of it in the engine, without anybody waiting. */
  abandon(): void
  /** Asks between renewals whether the lock is still held; with `proofMs`, that long without an answer counts as lost. */
  readonly probe?: { readonly everyMs: number; readonly proofMs?: number; ask(): Promise<'held' | 'lost'> }
}

const retryMs = 50

/**
 * A lock whose lease this process counts on its own clock; for providers.
 *
 *   held ──release()──▶ released
 *     └──lease over on our clock, an answer that says so, or no proof of the session for too long──▶ lost
 */
export class LeasedLock implements Lock {
  readonly token: bigint | null
  readonly #parts: LeasedLockParts
  readonly #controller = new AbortController()
  #state: 'held' | 'released' | 'lost' = 'held'
  #deadlineMs: number
  #proofEndMs: number
  #stopLease: () => void = () => {}
  #stopProbe: () => void = () => {}
  #releasing: Promise<'released' | 'lost'> | undefined

  constructor(parts: LeasedLockParts) {
    this.#parts = parts
    this.token = parts.token
    this.#deadlineMs = parts.startedMs + parts.leaseMs
    this.#proofEndMs = parts.startedMs + (parts.probe?.proofMs ?? Number.POSITIVE_INFINITY)
    this.#arm()
    this.#armProbe()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  async renew(): Promise<'renewed' | 'lost'> {
    const { clock, leaseMs } = this.#parts
    while (this.#alive()) {
      const sentMs = clock.monotonicMs()
      const answer = await withTimeout(clock, this.#endMs() - sentMs, this.#parts.renew()).catch(() => 'unanswered' as const)
      if (!this.#alive()) break
      if (answer === 'lost') this.#lose('the engine says so')
      else if (answer === 'renewed') {
        this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + leaseMs)
        this.#proven(sentMs)
        this.#arm()
        return 'renewed'
      } else if (answer !== timedOut) await sleep(clock, Math.min(retryMs, Math.max(0, this.#endMs() - clock.monotonicMs())))
    }
    return 'lost'
  }

  release(): Promise<'released' | 'lost'> {
    this.#releasing ??= this.#release()
    return this.#releasing
  }

  /** Asks the engine now; for an engine that tells of changes. */
  async look(): Promise<void> {
    const { clock, probe } = this.#parts
    if (probe === undefined || !this.#alive()) return
    const sentMs = clock.monotonicMs()
    const answer = await probe.ask().catch(() => 'unanswered' as const)
    if (!this.#alive()) return
    if (answer === 'lost') this.#lose('the engine says so')
    else if (answer === 'held') this.#proven(sentMs)
  }

  async #release(): Promise<'released' | 'lost'> {
    if (!this.#alive()) return 'lost'
    this.#stop('released')
    const { clock } = this.#parts
    const leftMs = this.#endMs() - clock.monotonicMs()
    const answer = await withTimeout(clock, leftMs, this.#parts.release()).catch(() => timedOut)
    if (answer === 'released') return answer
    this.#parts.abandon()
    return 'lost'
  }

  /** Also looks at the clock: after a pause of the process its timers may not have fired yet. */
  #alive(): boolean {
    const nowMs = this.#parts.clock.monotonicMs()
    if (nowMs >= this.#deadlineMs) this.#lose('its lease ran out')
    else if (nowMs >= this.#proofEndMs) this.#lose('its session gave no sign of life')
    return this.#state === 'held'
  }

  #endMs(): number {
    return Math.min(this.#deadlineMs, this.#proofEndMs)
  }

  #proven(sentMs: number): void {
    const proofMs = this.#parts.probe?.proofMs
    if (proofMs === undefined) return
    this.#proofEndMs = Math.max(this.#proofEndMs, sentMs + proofMs)
    this.#arm()
  }

  #arm(): void {
    this.#stopLease()
    const { clock } = this.#parts
    const leftMs = Math.max(0, this.#endMs() - clock.monotonicMs())
    this.#stopLease = clock.after(leftMs, () => void (this.#alive() && this.#arm()), 'background')
  }

  #armProbe(): void {
    const { clock, probe } = this.#parts
    if (probe === undefined) return
    const look = (): void => {
      // A question that gets no answer does not keep the next one from being asked.
      void this.look()
      if (this.#state === 'held') this.#armProbe()
    }
    this.#stopProbe = clock.after(probe.everyMs, look, 'background')
  }

  #stop(state: 'released' | 'lost'): void {
    this.#state = state
    this.#stopLease()
    this.#stopProbe()
  }

  #lose(why: string): void {
    if (this.#state !== 'held') return
    this.#stop('lost')
    this.#parts.abandon()
    this.#controller.abort(new LeaseLost(`The lock is lost: ${why}. Somebody else may hold it by now; stop, and acquire it again.`))
  }
}
