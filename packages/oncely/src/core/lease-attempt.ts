import type { Disposition, Execution, SharedOutcome, Work } from './attempt.ts'
import { AttemptEnd } from './attempt-end.ts'
import { codecIds, type EncodedValue } from './codec.ts'
import type { Flight } from './crowd.ts'
import { type Acquired, attemptContext, type EngineParts, reasonOf, type Step, type Tell, unprotectedContext } from './engine-parts.ts'
import { EffectAmbiguous, LeaseLost, StoreUnavailable } from './errors.ts'
import { Lease } from './lease.ts'
import type { Prepared } from './preparation.ts'
import { isRejection } from './rejection.ts'
import { type ClaimAnswer, type ClaimRequest, type CompleteAnswer, type RecordSummary, unsettled } from './store.ts'
import { bounded, insist } from './store-call.ts'
import { compareFingerprint, summarize } from './transition.ts'

/**
 * An attempt under a lease: claim first, outcome after.
 *
 *   claim ──acquired──▶ handler ──value──▶ complete
 *                              └─throws or fails──▶ release (no attempt began) or seal (effects may have started)
 */
export class LeaseAttempt {
  readonly #parts: EngineParts
  readonly #tell: Tell
  readonly #held = new Map<Lease, Prepared>()

  constructor(parts: EngineParts, tell: Tell) {
    this.#parts = parts
    this.#tell = tell
  }

  async run<R>(prepared: Prepared, work: Work<R, never>, flight: Flight, share: (shared: SharedOutcome) => void): Promise<Step<R>> {
    const { clock } = this.#parts
    const sentMs = clock.monotonicMs()
    const request = { ...prepared.request, attemptId: this.#parts.random.uuid() }
    let answer: ClaimAnswer
    try {
      answer = await this.claim(request)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      if (prepared.operation.policy.onStoreDown !== 'open') return { kind: 'refused', refusal: { word: 'unavailable', cause: error } }
      return { kind: 'ended', execution: await this.runUnprotected(prepared, work, error) }
    }
    if (answer.word !== 'acquired') return { kind: 'refused', refusal: answer }
    this.#tell(answer.takeover ? 'taken-over' : 'claimed', prepared, answer.attempt, '')
    const lease = new Lease({
      store: this.#parts.store,
      clock,
      ownership: answer.ownership,
      leaseMs: request.leaseMs,
      storeTimeoutMs: this.#parts.limits.storeTimeoutMs,
      sentMs,
      begun: answer.begunAttempt !== 0,
      onDeadline: (deadlineMs) => flight.run(deadlineMs, request.attemptId, answer.attempt),
    })
    if (lease.lapsed) return this.#refuseLate(answer, lease)
    this.#held.set(lease, prepared)
    try {
      return await this.#handle(prepared, work, answer, lease, share)
    } finally {
      lease.stop()
      this.#held.delete(lease)
    }
  }

  /** The process stood still while its claim was answered: somebody else may hold the record by now, so the handler never starts. */
  #refuseLate<R>({ ownership }: Acquired, lease: Lease): Step<R> {
    const cause = lease.lose('the answer of the claim came too late')
    const { store, limits } = this.#parts
    const reason = 'the claim was answered too late'
    void insist(this.#parts, limits.storeTimeoutMs, 'a release', () => store.release(ownership, { reason, declared: true })).catch(() => {})
    return { kind: 'refused', refusal: { word: 'unavailable', cause } }
  }

  /** Runs without a claim, because the store is down and the policy says that the effect matters more than its protection. */
  async runUnprotected<R>(prepared: Prepared, work: Work<R, never>, cause: unknown): Promise<Execution<R>> {
    this.#tell('unprotected', prepared, 0, 'store', cause)
    try {
      return { status: 'unprotected', value: await work.run(unprotectedContext(prepared, new AttemptEnd()), undefined) }
    } catch (error) {
      if (isRejection(error)) return { status: 'rejected', value: error.value, record: prepared.idHex, attempt: 0 }
      throw error
    }
  }

  /** Claims within the store's time limit. A claim whose answer is lost is asked again under the same attempt id. */
  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    try {
      return await insist(
        this.#parts,
        this.#parts.limits.storeTimeoutMs,
        'a claim',
        () => this.#parts.store.claim(request),
        (error) => error.applied === 'no',
      )
    } catch (error) {
      if (error instanceof StoreUnavailable && error.applied === 'unknown') void this.#abandon(request)
      throw error
    }
  }

  /** Tells every running handler to stop and settles its record, as the process is about to end. */
  async giveUpAll(reason: unknown): Promise<void> {
    const held = [...this.#held]
    await Promise.all(
      held.map(([lease, { operation }]) => {
        lease.abort(reason)
        return lease.settled ? undefined : this.#settle(lease, 'the process was shut down', false, operation.bind === 'steps')
      }),
    )
  }

  async #handle<R>(
    prepared: Prepared,
    work: Work<R, never>,
    claim: Acquired,
    lease: Lease,
    share: (shared: SharedOutcome) => void,
  ): Promise<Step<R>> {
    const record = prepared.idHex
    const context = attemptContext(prepared, claim, () => lease.begin(), lease)
    let value: R
    try {
      value = await work.run(context, undefined, undefined, { claim, payload: prepared.plain, lease })
    } catch (error) {
      if (!isRejection(error)) {
        if (!lease.settled) await this.#giveUp(prepared, claim, lease, reasonOf(error), false)
        if (error instanceof EffectAmbiguous) return this.whatStands(prepared)
        // Our own news to the handler is no failure of the handler's: the caller is told what stands.
        if (error instanceof LeaseLost && lease.signal.reason === error) return this.whatStands(prepared)
        throw error
      }
      const encoded = await this.#encoded(prepared, claim, lease, () => work.encodeRejection(error.value))
      return this.#complete<R>(
        prepared,
        claim,
        lease,
        encoded,
        { status: 'rejected', value: error.value, record, attempt: claim.attempt, ...unsettled(claim) },
        share,
      )
    }
    const judged = work.judge(value)
    if (judged !== 'complete') {
      const disposition = await this.#giveUp(prepared, claim, lease, judged, judged === 'not-applied')
      return ended({ status: 'failed', value, disposition, record })
    }
    const encoded = await this.#encoded(prepared, claim, lease, () => work.encode(value))
    return this.#complete<R>(
      prepared,
      claim,
      lease,
      encoded,
      { status: 'done', value, record, attempt: claim.attempt, ...unsettled(claim) },
      share,
    )
  }

  /** A value that cannot be stored is a bug of the handler: the effect may stand, so the record is settled before it is thrown. */
  async #encoded(prepared: Prepared, claim: Acquired, lease: Lease, encode: () => EncodedValue): Promise<EncodedValue> {
    try {
      return storable(prepared, this.#parts, encode())
    } catch (error) {
      await this.#giveUp(prepared, claim, lease, reasonOf(error), false)
      throw error
    }
  }

  async #complete<R>(
    prepared: Prepared,
    claim: Acquired,
    lease: Lease,
    encoded: EncodedValue,
    execution: Execution<R>,
    share: (shared: SharedOutcome) => void,
  ): Promise<Step<R>> {
    const { store, limits, outcomes } = this.#parts
    const outcome = outcomes.seal(encoded, sealing(prepared))
    let answer: CompleteAnswer
    try {
      answer = await insist(this.#parts, limits.storeTimeoutMs, 'a completion', () => store.complete(lease.ownership, outcome))
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      this.#tell('unrecorded', prepared, claim.attempt, 'store', error)
      const answers = prepared.operation.policy.onUnrecorded === 'answer'
      const value = 'value' in execution ? (execution.value as R) : undefined
      return ended({ status: 'unrecorded', value, answer: answers, retryAfterMs: 1_000, record: prepared.idHex })
    }
    if (answer === 'done') {
      this.#tell('completed', prepared, claim.attempt, '')
      share({ outcome, summary: summaryOf(prepared, claim) })
      return ended(execution)
    }
    this.#tell(answer === 'conflict' ? 'outcome-conflict' : 'lease-lost', prepared, claim.attempt, answer)
    return this.whatStands(prepared)
  }

  /**
   * After a lost claim: the outcome that stands, or that a repeat will learn it, or doubt. A record that was freed meanwhile may
   * answer another payload now, so what stands is told like to any duplicate.
   */
  async whatStands<R>(prepared: Prepared): Promise<Step<R>> {
    const { store, clock, limits } = this.#parts
    const record = prepared.idHex
    const found = await bounded(clock, limits.storeTimeoutMs, 'a read', () => store.read(prepared.id)).catch(() => undefined)
    switch (found?.state) {
      case 'completed':
        if (compareFingerprint(found.fingerprint, prepared.request) !== 'same') return { kind: 'refused', refusal: { word: 'mismatch' } }
        return { kind: 'refused', refusal: { word: 'replay', record: summarize(found), outcome: found.outcome } }
      case 'running':
        return ended({ status: 'in-progress', retryAfterMs: 1_000, record })
      case 'quarantined':
        return ended({ status: 'quarantined', summary: summarize(found), record })
      // Somebody said "not applied" while this attempt may have applied it: a repeat could be a second effect.
      case 'released':
      case 'uncertain':
      case undefined:
        return ended({ status: 'uncertain', summary: found && summarize(found), record })
      default:
        return found satisfies never
    }
  }

  async #giveUp(prepared: Prepared, claim: Acquired, lease: Lease, reason: string, declared: boolean): Promise<Disposition> {
    const { rerunnable, policy } = prepared.operation
    const disposition = await this.#settle(lease, reason, declared, rerunnable || policy.onLostLease === 'takeover')
    this.#tell(disposition === 'uncertain' ? 'sealed' : 'released', prepared, claim.attempt, reason)
    return disposition
  }

  /**
   * Frees the key where nothing can have been applied, lets the lease lapse where the attempt may be repeated (its payload stays
   * compared), else seals it. The store decides what began, not this process.
   */
  async #settle(lease: Lease, reason: string, declared: boolean, repeatable = false): Promise<'released' | 'repeatable' | 'uncertain'> {
    const { store, limits } = this.#parts
    try {
      if (!lease.begun || declared) {
        const answer = await insist(this.#parts, limits.storeTimeoutMs, 'a release', () =>
          store.release(lease.ownership, { reason, declared }),
        )
        if (answer === 'done') return 'released'
        if (answer === 'lost') return 'uncertain'
      }
      if (repeatable) {
        await insist(this.#parts, limits.storeTimeoutMs, 'a lapse', () => store.renew(lease.ownership, { leaseMs: 1 }))
        return 'repeatable'
      }
      await insist(this.#parts, limits.storeTimeoutMs, 'a seal', () => store.seal(lease.ownership, { reason }))
      return 'uncertain'
    } catch (error) {
      // The record keeps running until its lease ends; the next claim then decides by whether the attempt began.
      if (error instanceof StoreUnavailable) return repeatable ? 'repeatable' : lease.begun ? 'uncertain' : 'released'
      throw error
    }
  }

  /** Frees a claim that may have been granted without anybody knowing: its handler never ran. */
  async #abandon(request: ClaimRequest): Promise<void> {
    const { store } = this.#parts
    try {
      const answer = await insist(this.#parts, request.leaseMs, 'a claim', () => store.claim(request))
      if (answer.word === 'acquired')
        await insist(this.#parts, request.leaseMs, 'a release', () =>
          store.release(answer.ownership, { reason: 'the claim was given up unanswered', declared: true }),
        )
    } catch {
      // The store stayed away for a whole lease: the next claim takes over, or finds the record uncertain.
    }
  }
}

const encoder = new TextEncoder()

function ended<R>(execution: Execution<R>): Step<R> {
  return { kind: 'ended', execution }
}

/** The value as it is stored: whole, or as the fact that it was not stored, with the reason. */
export function storable(prepared: Prepared, parts: Pick<EngineParts, 'limits'>, encoded: EncodedValue): EncodedValue {
  if (prepared.operation.store === 'nothing') return { codec: codecIds.notStored, bytes: encoder.encode('no-store') }
  if (encoded.bytes.length <= parts.limits.responseBytesMax) return encoded
  return { codec: codecIds.notStored, bytes: encoder.encode('oversize') }
}

/** Under which record and how the call's outcome is sealed. */
export function sealing({ id, operation }: Prepared): { readonly id: Uint8Array; readonly encrypt: boolean } {
  return { id, encrypt: operation.encrypt }
}

/** The record as its own completion leaves it, for duplicates in this process. */
export function summaryOf(prepared: Prepared, claim: Acquired): RecordSummary {
  const { id, token, attemptId } = claim.ownership
  return {
    id,
    state: 'completed',
    operation: prepared.operation.name,
    actor: prepared.actor,
    token,
    attemptId,
    attempt: claim.attempt,
    createdAtMs: claim.createdAtMs,
    completedAtMs: 0,
    reason: '',
    ...unsettled(claim),
  }
}
