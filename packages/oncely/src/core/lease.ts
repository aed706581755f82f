import { type Clock, timedOut, withTimeout } from './clock.ts'
import { LeaseLost, StoreUnavailable } from './errors.ts'
import type { Ownership, Store } from './store.ts'

/**
 * A held lease: renewed at a third of its length, and given up before the store could give it to somebody else.
 *
 *   held ──renewed──▶ held
 *        ──the store says `lost`, or no renewal got through before the margin──▶ lost (the signal is aborted)
 *        ──stop──▶ stopped
 *
 * The deadline counts from before the write was sent, on the monotonic clock, so it is never later than the store's.
 */
export class Lease {
  readonly ownership: Ownership
  readonly #store: Store
  readonly #clock: Clock
  readonly #leaseMs: number
  readonly #storeTimeoutMs: number
  readonly #abort = new AbortController()
  readonly #onDeadline: (deadlineMs: number) => void
  #deadlineMs: number
  #begun: boolean
  #cancelRenewal: () => void = () => {}
  #cancelDeadline: () => void = () => {}
  #stopped = false
  #settled = false

  constructor(parts: {
    readonly store: Store
    readonly clock: Clock
    readonly ownership: Ownership
    readonly leaseMs: number
    readonly storeTimeoutMs: number
    readonly sentMs: number
    readonly begun: boolean
    readonly onDeadline: (deadlineMs: number) => void
  }) {
    this.ownership = parts.ownership
    this.#store = parts.store
    this.#clock = parts.clock
    this.#leaseMs = parts.leaseMs
    this.#storeTimeoutMs = Math.min(parts.storeTimeoutMs, parts.leaseMs)
    this.#begun = parts.begun
    this.#onDeadline = parts.onDeadline
    this.#deadlineMs = 0
    this.#held(parts.sentMs)
  }

  /** Aborted with `LeaseLost`, or with the drain's reason. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether effects may have started, as far as this process knows. */
  get begun(): boolean {
    return this.#begun
  }

  /** The moment until which nobody else can have been granted the record, on the monotonic clock. */
  get deadlineMs(): number {
    return this.#deadlineMs
  }

  /**
   * True when somebody else may have been granted the record. A process that stood still runs its late timers after its messages,
   * so whoever is about to start an effect asks the clock instead of the signal.
   */
  get lapsed(): boolean {
    return this.#clock.monotonicMs() >= this.#deadlineMs - this.#marginMs
  }

  /**
   * Persists that effects may start. A lost claim and an unknown answer both throw; after an unknown one the record counts as
   * begun. It throws too when the lease lapsed before the effect could start.
   */
  async begin(): Promise<void> {
    if (this.#abort.signal.aborted) throw this.#abort.signal.reason
    if (this.lapsed) throw this.lose('no renewal got through in time')
    if (this.#begun) return
    const sentMs = this.#clock.monotonicMs()
    try {
      const answer = await withTimeout(
        this.#clock,
        this.#storeTimeoutMs,
        this.#store.renew(this.ownership, { leaseMs: this.#leaseMs, begun: true }),
      )
      if (answer === 'done') {
        this.#begun = true
        this.#held(sentMs)
        if (this.lapsed) throw this.lose('the answer to begin() came too late')
        return
      }
      if (answer === timedOut)
        throw new StoreUnavailable(
          `begin() was not answered within ${this.#storeTimeoutMs} ms; whether effects count as started is unknown, so none may start.`,
          { applied: 'unknown' },
        )
    } catch (error) {
      this.#begun = true
      throw error
    }
    throw this.lose('another attempt holds the record')
  }

  /** Prolongs the lease and compares the token, now. Throws when the claim is lost, or when that is not known. */
  async renewNow(): Promise<void> {
    this.check()
    const sentMs = this.#clock.monotonicMs()
    const answer = await withTimeout(this.#clock, this.#storeTimeoutMs, this.#store.renew(this.ownership, { leaseMs: this.#leaseMs }))
    if (answer === timedOut)
      throw new StoreUnavailable(`The lease was not renewed within ${this.#storeTimeoutMs} ms, so no effect may start.`, {
        applied: 'unknown',
      })
    if (answer === 'lost') throw this.lose('another attempt holds the record')
    this.#held(sentMs)
    this.check()
  }

  /** Throws when somebody else may have been granted the record. */
  check(): void {
    if (this.#abort.signal.aborted) throw this.#abort.signal.reason
    if (this.lapsed) throw this.lose('no renewal got through in time')
  }

  /** The record was moved on by other means, such as a quarantine. */
  settle(): void {
    this.#settled = true
    this.stop()
  }

  get settled(): boolean {
    return this.#settled
  }

  /** Ends the renewals; the lease itself ends in the store. */
  stop(): void {
    this.#stopped = true
    this.#cancelRenewal()
    this.#cancelDeadline()
  }

  /** Tells the handler to stop. */
  lose(reason: string): LeaseLost {
    const lost = new LeaseLost(`The lease of this attempt is lost: ${reason}. Stop; its late writes change nothing.`)
    this.abort(lost)
    return lost
  }

  abort(reason: unknown): void {
    // Whoever relied on this lease asks the store from now on.
    if (!this.#stopped) this.#onDeadline(this.#clock.monotonicMs())
    this.stop()
    if (!this.#abort.signal.aborted) this.#abort.abort(reason)
  }

  get #marginMs(): number {
    return this.#leaseMs / 10
  }

  #held(sentMs: number): void {
    if (this.#stopped) return
    this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + this.#leaseMs)
    this.#onDeadline(this.#deadlineMs)
    this.#cancelRenewal()
    this.#cancelDeadline()
    const nowMs = this.#clock.monotonicMs()
    this.#cancelRenewal = this.#clock.after(Math.max(0, sentMs + this.#leaseMs / 3 - nowMs), () => void this.#renew(), 'background')
    this.#cancelDeadline = this.#clock.after(
      Math.max(0, this.#deadlineMs - this.#marginMs - nowMs),
      () => this.lose('no renewal got through in time'),
      'background',
    )
  }

  async #renew(): Promise<void> {
    const sentMs = this.#clock.monotonicMs()
    try {
      const answer = await withTimeout(this.#clock, this.#storeTimeoutMs, this.#store.renew(this.ownership, { leaseMs: this.#leaseMs }))
      if (this.#stopped) return
      if (answer === 'done') return this.#held(sentMs)
      if (answer === 'lost') {
        this.lose('another attempt holds the record')
        return
      }
    } catch {
      // An outage of the store: the deadline decides, until then the renewal is tried again.
    }
    if (!this.#stopped) this.#cancelRenewal = this.#clock.after(this.#leaseMs / 20, () => void this.#renew(), 'background')
  }
}
