import { type AdoptionStep, adopt, declaredWork } from './adoption-step.ts'
import type { Call, Execution, SharedOutcome, Work } from './attempt.ts'
import { CacheTier } from './cache-tier.ts'
import { CallerBudget } from './caller-budget.ts'
import { type Clock, sleep } from './clock.ts'
import type { EncodedValue } from './codec.ts'
import { Crowd, type Flight } from './crowd.ts'
import { DuplicateCount } from './duplicate-count.ts'
import type { About, EngineParts, Refusal, Step } from './engine-parts.ts'
import { Draining, SecretMissing, StoreUnavailable } from './errors.ts'
import type { OncelyEventType } from './event.ts'
import { andThen, type Eventually } from './eventually.ts'
import { LeaseAttempt } from './lease-attempt.ts'
import type { OperationDefinition } from './operation.ts'
import { type Outcome, sameBytes } from './outcome.ts'
import { type Prepared, prepare, type Recall } from './preparation.ts'
import { RecentOutcomes } from './recent-outcome.ts'
import { resolveUncertain } from './resolution.ts'
import type { RecordSummary } from './store.ts'
import { isTransactional } from './transaction.ts'
import { TransactionAttempt } from './transaction-attempt.ts'
import { Unkeyed } from './unkeyed.ts'

/**
 * The way of a call: request → claim → handler → outcome → answer. This file decides who may run and what a duplicate is told;
 * how an effect is bound to its record is in `lease-attempt.ts` and `transaction-attempt.ts`.
 */
export class Engine<Tx> {
  readonly parts: EngineParts
  readonly crowd: Crowd
  readonly duplicates: DuplicateCount
  readonly recent: RecentOutcomes
  readonly unkeyed: Unkeyed<Tx>
  readonly cache: CacheTier | undefined
  readonly budget: CallerBudget | undefined
  readonly #lease: LeaseAttempt
  readonly #transaction: TransactionAttempt<Tx> | undefined
  readonly #recall: Recall
  readonly #shutdown = new AbortController()
  #running = 0
  #idle: (() => void)[] = []

  constructor(parts: EngineParts) {
    this.parts = parts
    this.crowd = new Crowd(parts.clock)
    this.duplicates = new DuplicateCount(parts.store, parts.clock, parts.limits)
    this.recent = new RecentOutcomes(parts.clock, parts.limits)
    this.#recall = (address) => this.recent.recall(address)
    const tell = this.tell.bind(this)
    this.cache = parts.cache === undefined ? undefined : new CacheTier({ ...parts, cache: parts.cache, tell })
    this.budget = parts.budget === undefined ? undefined : new CallerBudget(parts, parts.budget.limits, parts.budget.counter, tell)
    this.#lease = new LeaseAttempt(parts, tell)
    this.#transaction = isTransactional<Tx>(parts.store) ? new TransactionAttempt<Tx>(parts, parts.store, tell) : undefined
    this.unkeyed = new Unkeyed<Tx>(parts, this.#lease, this.#transaction, tell)
  }

  /**
   * Runs the call, or answers why not: at once where this process remembers the answer. Throws the typed error of a bad call, and
   * rejects with what the handler throws.
   */
  execute<R>(operation: OperationDefinition, call: Call, work: Work<R, Tx>): Eventually<Execution<R>> {
    const prepared = prepare(this.parts, operation, call, this.#recall)
    const { policy, phase } = operation
    if (phase === 'observe') {
      const observe = (): Promise<Execution<R>> => this.unkeyed.observe(prepared, work)
      return this.#admitted(prepared.idHex, observe, observe)
    }
    const unprotected =
      policy.onStoreDown === 'open' ? (cause: unknown) => this.#lease.runUnprotected(prepared, work as Work<R, never>, cause) : undefined
    const declared = declaredWork(prepared, work)
    const run = async (): Promise<Execution<R>> => (await this.#adopted(prepared, declared)) ?? this.#join(prepared, declared)
    const atOnce =
      call.authorizeReplay === undefined &&
      !this.#shutdown.signal.aborted &&
      this.#running < this.parts.limits.runningMax &&
      this.parts.opened()
    const remembered = atOnce ? this.#remembered<R>(prepared) : undefined
    return (
      remembered ?? this.#admitted(prepared.idHex, operation.adopt === undefined ? () => this.#join(prepared, declared) : run, unprotected)
    )
  }

  /** The answer that this process gave before, to the same payload; undefined where the record's own place has to be asked. */
  #remembered<R>(prepared: Prepared): Eventually<Execution<R>> | undefined {
    const recent = this.recent.find(prepared.idHex, prepared.plain)
    if (recent === undefined) return undefined
    if (recent === 'mismatch') return this.answer(prepared, { word: 'mismatch' })
    this.recent.recognize(prepared.idHex, prepared)
    return this.#replay(prepared, recent.summary, recent.stored)
  }

  /** Asks the table that is taken over from, and runs nothing. */
  async adopt<R>(operation: OperationDefinition, call: Call, work: Work<R, Tx>): Promise<AdoptionStep> {
    if (!this.parts.opened()) await this.parts.open()
    const prepared = prepare(this.parts, operation, call)
    return adopt(this.parts, prepared, declaredWork(prepared, work), this.tell.bind(this))
  }

  /** Goes on with an operation that somebody else began; the call was identified by its record. */
  async resume<R>(prepared: Prepared, work: Work<R, Tx>): Promise<Execution<R>> {
    return this.#admitted(prepared.idHex, () => this.#join(prepared, declaredWork(prepared, work)))
  }

  /** Runs the handler without a record: the route asks for no key, or the caller sent none where it may. */
  async executeUnkeyed<R>(operation: OperationDefinition, work: Work<R, Tx>): Promise<Execution<R>> {
    return this.#admitted('', () => this.unkeyed.run(operation, work))
  }

  /** Claims and completes inside a transaction of the user's; final only after the user's commit. */
  async executeWithin<R>(operation: OperationDefinition, tx: Tx, call: Call, work: Work<R, Tx>): Promise<Execution<R>> {
    const prepared = prepare(this.parts, operation, call)
    return this.#admitted(prepared.idHex, async () => {
      const declared = declaredWork(prepared, work)
      const adopted = await adopt(this.parts, prepared, declared, this.tell.bind(this))
      if (adopted.execution !== undefined) return adopted.execution
      const step = await (this.#transaction as TransactionAttempt<Tx>).within(prepared, tx, declared)
      if (step.kind === 'ended') return step.execution
      const { refusal } = step
      // It may be completed in this transaction only, which the user may still roll back, so nothing of it is kept.
      if (refusal.word === 'replay') return this.#replay(prepared, refusal.record, this.parts.outcomes.open(refusal.outcome, prepared.id))
      return this.answer(prepared, refusal)
    })
  }

  /** Takes nothing new, ends every wait, lets what runs finish within `limitMs`, then tells it to stop. */
  async drain(limitMs: number): Promise<void> {
    this.#shutdown.abort(new Draining())
    if (this.#running > 0) {
      const idle = new Promise<void>((resolve) => this.#idle.push(resolve))
      await Promise.race([idle, sleep(this.parts.clock, limitMs)])
    }
    await this.#lease.giveUpAll(new Draining())
    await this.duplicates.flush()
  }

  async #admitted<R>(
    record: string,
    run: () => Promise<Execution<R>>,
    whenDown?: (cause: unknown) => Promise<Execution<R>>,
  ): Promise<Execution<R>> {
    if (this.#shutdown.signal.aborted)
      return { status: 'unavailable', reason: 'draining', retryAfterMs: 1_000, cause: this.#shutdown.signal.reason, record }
    if (this.#running >= this.parts.limits.runningMax)
      return { status: 'unavailable', reason: 'running-max', retryAfterMs: 1_000, cause: undefined, record }
    this.#running++
    try {
      const down = this.parts.opened() ? undefined : await this.parts.open().then(() => undefined, onlyOutage)
      if (down === undefined) return await run()
      return whenDown === undefined
        ? { status: 'unavailable', reason: 'store', retryAfterMs: 1_000, cause: down, record }
        : await whenDown(down)
    } finally {
      this.#running--
      if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve()
    }
  }

  /** Asks the table that is taken over from, unless this process knows the answer already. */
  async #adopted<R>(prepared: Prepared, work: Work<R, Tx>): Promise<Execution<R> | undefined> {
    if (this.recent.find(prepared.idHex, prepared.plain) !== undefined) return undefined
    return (await adopt(this.parts, prepared, work, this.tell.bind(this))).execution
  }

  /** Leads the record's flight in this process, or shares it. */
  async #join<R>(prepared: Prepared, work: Work<R, Tx>): Promise<Execution<R>> {
    const { policy } = prepared.operation
    const remembered = this.#remembered<R>(prepared)
    if (remembered !== undefined) return remembered
    const arrivedMs = this.parts.clock.monotonicMs()
    const leftMs = (limitMs: number): number => arrivedMs + limitMs - this.parts.clock.monotonicMs()
    const waits = policy.onConcurrent === 'wait'
    for (let joined = 0; ; joined++) {
      const flight = this.crowd.find(prepared.idHex)
      if (flight === undefined) return this.#lead(prepared, work, arrivedMs, this.crowd.lead(prepared.idHex, prepared.plain))
      const same = flight.carries(prepared.plain)
      if (flight.state === 'claiming') {
        await this.crowd.wait(
          flight.decided,
          leftMs(Math.max(this.parts.limits.storeTimeoutMs, waits ? policy.waitMs : 0)),
          this.#shutdown.signal,
        )
        // A mismatch is final for its client. The first flight's claim may have been judged before this call came, so ask again.
        const heard = flight.refusal?.word === 'mismatch' ? same && joined > 0 : same || flight.refusal?.word === 'unavailable'
        if (flight.refusal !== undefined && heard) return this.answer(prepared, flight.refusal)
        if (flight.state === 'claiming') return this.answer(prepared, inProgress(flight, this.parts.clock))
        continue
      }
      // A store that cannot look into the open transaction would make another payload wait for its end: it runs here, so it counts.
      const hidden = prepared.operation.bind === 'transaction' && !this.parts.store.capabilities.seesOpenTransactions
      if (!same && hidden) return this.answer(prepared, { word: 'mismatch' })
      // What runs here may have ended in the store already: only the store tells another payload that it is one.
      if (!same) return this.#lead(prepared, work, arrivedMs, this.crowd.aside(prepared.plain))
      if (!waits || leftMs(policy.waitMs) <= 0 || this.crowd.waiters >= this.parts.limits.waitersMax || this.#shutdown.signal.aborted) {
        return this.answer(prepared, inProgress(flight, this.parts.clock))
      }
      const shared = await this.crowd.wait(flight.settled, leftMs(policy.waitMs), this.#shutdown.signal)
      if (shared !== undefined) return this.#replay(prepared, shared.summary, shared.outcome)
    }
  }

  async #lead<R>(prepared: Prepared, work: Work<R, Tx>, arrivedMs: number, flight: Flight): Promise<Execution<R>> {
    const { cache } = this
    let shared: SharedOutcome | undefined
    const endHint = cache?.hint(prepared, flight)
    try {
      const cached = cache === undefined ? undefined : await cache.find(prepared)
      if (cached !== undefined) {
        flight.refuse(cached)
        return await this.answer(prepared, cached)
      }
      const step = await this.#try(prepared, work, flight, arrivedMs, (completed) => {
        shared = completed
        if (completed.summary.settled === false) return
        cache?.publish(prepared, completed)
        this.recent.remember(
          prepared.idHex,
          { plain: flight.plain, stored: completed.outcome, summary: completed.summary },
          prepared.operation.policy,
        )
      })
      if (step.kind === 'ended') return step.execution
      flight.refuse(step.refusal)
      const answer = await this.answer<R>(prepared, step.refusal)
      cache?.publishReplay(prepared, step.refusal)
      return answer
    } finally {
      endHint?.()
      flight.settle(shared)
    }
  }

  /** Claims until there is a word to act on: a waiting policy polls a running record, a resolver may settle an uncertain one. */
  async #try<R>(
    prepared: Prepared,
    work: Work<R, Tx>,
    flight: Flight,
    arrivedMs: number,
    share: (shared: SharedOutcome) => void,
  ): Promise<Step<R>> {
    const { operation } = prepared
    const { clock, random } = this.parts
    const attempt = operation.bind === 'transaction' ? (this.#transaction as TransactionAttempt<Tx>) : this.#lease
    for (let round = 0; ; round++) {
      const place = await this.budget?.take(prepared)
      if (place?.word === 'spent') return { kind: 'refused', refusal: { ...place, word: 'over-budget' } }
      let step: Step<R>
      try {
        step = await attempt.run(prepared, work as Work<R, never>, flight, share)
      } finally {
        place?.giveBack({ newKey: flight.attempt === 1 })
      }
      if (step.kind === 'ended') return step
      const { refusal } = step
      if (refusal.word === 'uncertain' && refusal.resolve && operation.resolver !== undefined) {
        if (
          await resolveUncertain(this.parts, prepared, refusal.record, work, (type, reason, error) =>
            this.tell(type, prepared, refusal.record.attempt, reason, error),
          )
        )
          continue
      }
      const leftMs = arrivedMs + operation.policy.waitMs - clock.monotonicMs()
      const waits = refusal.word === 'in-progress' && operation.policy.onConcurrent === 'wait' && leftMs > 0
      if (!waits || this.#shutdown.signal.aborted || this.crowd.waiters >= this.parts.limits.waitersMax) return step
      const pauseMs = Math.min(leftMs, Math.min(500, 25 * 2 ** round) * (0.5 + random.fraction() / 2))
      await this.crowd.wait(new Promise<never>(() => {}), pauseMs, this.#shutdown.signal)
    }
  }

  /** What a duplicate is told. Every replay is authorised again, for its own caller. */
  async answer<R>(prepared: Prepared, refusal: Refusal): Promise<Execution<R>> {
    const record = prepared.idHex
    switch (refusal.word) {
      case 'replay':
        return this.#replayStored(prepared, refusal.record, refusal.outcome)
      case 'in-progress':
        this.#count(prepared, 'in-progress')
        return { status: 'in-progress', retryAfterMs: refusal.retryAfterMs, record }
      case 'mismatch':
        this.#count(prepared, 'mismatch')
        return { status: 'mismatch', record }
      case 'uncertain':
        this.#count(prepared, 'uncertain')
        return { status: 'uncertain', summary: refusal.record, record }
      case 'quarantined':
        this.#count(prepared, 'quarantined')
        return { status: 'quarantined', summary: refusal.record, record }
      case 'expired':
        this.#count(prepared, 'expired')
        return { status: 'expired', summary: refusal.record, record }
      case 'unreadable':
        this.tell('unavailable', prepared, 0, refusal.reason)
        return { status: 'unavailable', reason: refusal.reason, retryAfterMs: 5_000, cause: this.#unreadable(refusal.reason), record }
      case 'over-budget':
        this.#count(prepared, 'over-budget')
        return { status: 'unavailable', reason: 'over-budget', retryAfterMs: refusal.retryAfterMs, cause: undefined, record }
      case 'unavailable':
        this.tell('unavailable', prepared, 0, 'store', refusal.cause)
        return { status: 'unavailable', reason: 'store', retryAfterMs: 1_000, cause: refusal.cause, record }
      default:
        return refusal satisfies never
    }
  }

  async #replayStored<R>(prepared: Prepared, summary: RecordSummary, outcome: Outcome | undefined): Promise<Execution<R>> {
    const stored = this.parts.outcomes.open(outcome, prepared.id)
    if (summary.settled !== false)
      this.recent.remember(prepared.idHex, { plain: prepared.plain, stored, summary }, prepared.operation.policy)
    return this.#replay(prepared, summary, stored)
  }

  #replay<R>(prepared: Prepared, summary: RecordSummary, stored: EncodedValue): Eventually<Execution<R>> {
    const { operation, call } = prepared
    const otherActor = operation.policy.replayTo === 'actor' && !sameBytes(summary.actor, prepared.actor)
    const allowed = !otherActor && (call.authorizeReplay === undefined || call.authorizeReplay(summary))
    return andThen(allowed, (granted): Execution<R> => {
      this.#count(prepared, granted ? 'replayed' : 'forbidden')
      const { idHex: record } = prepared
      return granted ? { status: 'replayed', stored, summary, record } : { status: 'forbidden', record }
    })
  }

  #unreadable(reason: string): unknown {
    if (reason !== 'fingerprint-secret') return undefined
    return new SecretMissing(
      undefined,
      this.parts.secrets.map(({ id }) => id),
    )
  }

  #count(prepared: Prepared, reason: OncelyEventType): void {
    this.duplicates.add(prepared.id, prepared.idHex, prepared.operation.name, reason)
    this.tell(reason, prepared, 0, '')
  }

  tell(type: OncelyEventType, about: About, attempt: number, reason: string, error?: unknown): void {
    const { events } = this.parts
    if (events === undefined) return
    events({ type, operation: about.operation.name, record: about.idHex, client: about.client ?? '', attempt, reason, error })
  }
}

function inProgress(flight: Flight, clock: Clock): Refusal {
  const leftMs = flight.deadlineMs - clock.monotonicMs()
  return { word: 'in-progress', retryAfterMs: Number.isFinite(leftMs) ? Math.max(0, leftMs) : 1_000 }
}

/** A store that cannot be opened now is an expected answer; a store that must not be used is not. */
function onlyOutage(error: unknown): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error
  throw error
}
