import type { SharedOutcome } from './attempt.ts'
import { type Clock, sleep } from './clock.ts'
import type { Refusal } from './engine-parts.ts'
import { sameBytes } from './outcome.ts'

/**
 * The requests of one process that carry the same record: one leads and asks the store, the others share what it learns.
 *
 *   claiming ──▶ refused   the store's word goes to every follower with the same payload; another payload asks for itself
 *            ──▶ running   a follower answers at once (in progress) or waits for the end; another payload asks the store
 *   running  ──▶ settled   with an outcome: followers replay it; without one (released, rolled back): one of them leads
 *
 * A share dies with its lease. It holds no connection, and it never hands a leader's exception to a follower.
 */
export class Crowd {
  readonly #flights = new Map<string, Flight>()
  readonly #clock: Clock
  #waiters = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get waiters(): number {
    return this.#waiters
  }

  /** The flight that leads this record now; undefined when the caller may lead. */
  find(id: string): Flight | undefined {
    const flight = this.#flights.get(id)
    if (flight === undefined || this.#clock.monotonicMs() < flight.deadlineMs) return flight
    this.#flights.delete(id)
    return undefined
  }

  /** Makes the caller the leader. It must call `settle` in the end, whatever happens. */
  lead(id: string, plain: Uint8Array): Flight {
    const flight = new Flight(plain, (ended) => {
      if (this.#flights.get(id) === ended) this.#flights.delete(id)
    })
    this.#flights.set(id, flight)
    return flight
  }

  /** A flight that nobody joins: its payload is not the one that leads. */
  aside(plain: Uint8Array): Flight {
    return new Flight(plain, () => {})
  }

  /** Waits for the news, at most `limitMs`, ended early by `signal`. */
  async wait<T>(news: Promise<T>, limitMs: number, signal: AbortSignal): Promise<T | undefined> {
    this.#waiters++
    const stop = new AbortController()
    try {
      return await Promise.race([news, sleep(this.#clock, limitMs, AbortSignal.any([signal, stop.signal])).then(() => undefined)])
    } finally {
      stop.abort()
      this.#waiters--
    }
  }
}

/** One leader's way from its claim to its end. */
export class Flight {
  readonly plain: Uint8Array
  /** Resolves when the leader knows whether it runs. */
  readonly decided: Promise<void>
  /** Resolves with the outcome, or with undefined when the record is free (or unknown) again. */
  readonly settled: Promise<SharedOutcome | undefined>
  state: 'claiming' | 'running' | 'refused' | 'settled' = 'claiming'
  /** Monotonic time at which nobody may rely on this flight any more. */
  deadlineMs: number = Number.POSITIVE_INFINITY
  refusal: Refusal | undefined
  /** The attempt that runs; empty before. */
  attemptId = ''
  /** Its number among the record's attempts; 0 before. */
  attempt = 0
  #decide: () => void = () => {}
  #settle: (shared: SharedOutcome | undefined) => void = () => {}
  readonly #end: (flight: Flight) => void

  constructor(plain: Uint8Array, end: (flight: Flight) => void) {
    this.plain = plain
    this.#end = end
    this.decided = new Promise((resolve) => {
      this.#decide = resolve
    })
    this.settled = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** Whether a request with this payload may share the flight. */
  carries(plain: Uint8Array): boolean {
    return sameBytes(this.plain, plain)
  }

  run(deadlineMs: number, attemptId = '', attempt = 1): void {
    if (this.state === 'settled') return
    this.attemptId = attemptId
    this.attempt = attempt
    this.state = 'running'
    this.deadlineMs = deadlineMs
    this.#decide()
  }

  refuse(refusal: Refusal): void {
    if (this.state !== 'claiming') return
    this.state = 'refused'
    this.refusal = refusal
    this.#end(this)
    this.#decide()
  }

  settle(shared: SharedOutcome | undefined): void {
    if (this.state !== 'refused') this.state = 'settled'
    this.#end(this)
    this.#decide()
    this.#settle(shared)
  }
}
