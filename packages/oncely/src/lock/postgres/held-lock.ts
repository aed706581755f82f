import { type Clock, LeaseLost, type Lock, type SqlClosed, timedOut, withTimeout } from '../../core/index.ts'

export interface HeldLockParts {
  readonly clock: Clock
  readonly leaseMs: number
  readonly probeMs: number
  /** Monotonic time before the statement that locked was sent. */
  readonly startedMs: number
  /** One statement in the lock's transaction; rejects when the transaction or its connection is gone. */
  readonly probe: () => Promise<void>
  /** The end of the lock's transaction. */
  readonly closed: () => Promise<SqlClosed<undefined>>
}

/**
 *   held ──release()──▶ released
 *     └──lease over on our clock, or a statement failed──▶ lost
 *
 * The probe between renewals asks whether the connection lives. It restarts the server's idle timeout, but not the lease on our own
 * clock, which ends the transaction when nobody renews.
 */
export class HeldLock implements Lock {
  // A value handed out before its transaction is committed may come again after a crash of the server.
  readonly token = null
  /** How the transaction is to end; settles once. */
  readonly ending: Promise<'release' | 'lost'>
  readonly #parts: HeldLockParts
  readonly #controller = new AbortController()
  #state: 'held' | 'released' | 'lost' = 'held'
  #end: (how: 'release' | 'lost') => void = () => {}
  #deadlineMs: number
  #stopLease: () => void = () => {}
  #stopProbe: () => void = () => {}
  /** Statements of one connection, one after the other. */
  #last: Promise<unknown> = Promise.resolve()
  #releasing: Promise<'released' | 'lost'> | undefined

  constructor(parts: HeldLockParts) {
    this.#parts = parts
    this.ending = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#deadlineMs = parts.startedMs + parts.leaseMs
    this.#armLease()
    this.#armProbe()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  async renew(): Promise<'renewed' | 'lost'> {
    const { clock, leaseMs } = this.#parts
    if (!this.#alive()) return 'lost'
    const sentMs = clock.monotonicMs()
    const answered = await withTimeout(clock, this.#deadlineMs - sentMs, this.#ask()).catch(() => timedOut)
    if (answered === timedOut) this.#lose('its connection did not answer')
    if (!this.#alive()) return 'lost'
    this.#deadlineMs = sentMs + leaseMs
    this.#armLease()
    return 'renewed'
  }

  release(): Promise<'released' | 'lost'> {
    this.#releasing ??= this.#release()
    return this.#releasing
  }

  async #release(): Promise<'released' | 'lost'> {
    if (!this.#alive()) return 'lost'
    this.#stop('released')
    const { clock, closed } = this.#parts
    const leftMs = this.#deadlineMs - clock.monotonicMs()
    const close = this.#last.then(() => {
      this.#end('release')
      return closed()
    })
    // A COMMIT that the server answers proves that the session, and so the lock, lived until then.
    const result = await withTimeout(clock, leftMs, close).catch(() => undefined)
    return typeof result === 'object' && result.ended !== 'rolled-back' ? 'released' : 'lost'
  }

  /** Also looks at the clock: after a pause of the process its timers may not have fired yet. */
  #alive(): boolean {
    if (this.#state === 'held' && this.#parts.clock.monotonicMs() >= this.#deadlineMs) this.#lose('its lease ran out')
    return this.#state === 'held'
  }

  #ask(): Promise<void> {
    const asked = this.#last.then(() => this.#parts.probe())
    this.#last = asked.catch(() => {})
    return asked
  }

  #armLease(): void {
    this.#stopLease()
    const { clock } = this.#parts
    this.#stopLease = clock.after(this.#deadlineMs - clock.monotonicMs(), () => this.#lose('its lease ran out'), 'background')
  }

  #armProbe(): void {
    const { clock, probeMs } = this.#parts
    const look = (): void => {
      this.#ask().then(
        () => {
          if (this.#state === 'held') this.#armProbe()
        },
        () => this.#lose('its connection is gone'),
      )
    }
    this.#stopProbe = clock.after(probeMs, look, 'background')
  }

  #stop(state: 'released' | 'lost'): void {
    this.#state = state
    this.#stopLease()
    this.#stopProbe()
  }

  #lose(why: string): void {
    if (this.#state !== 'held') return
    this.#stop('lost')
    this.#end('lost')
    // Its failure is how a lost connection ends.
    this.#parts.closed().catch(() => {})
    this.#controller.abort(new LeaseLost(`The lock is lost: ${why}. Somebody else may hold it by now; stop, and acquire it again.`))
  }
}
