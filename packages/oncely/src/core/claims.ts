import type { Call } from './attempt.ts'
import { decodeValue, encodeValue } from './codec.ts'
import { formatDuration } from './duration.ts'
import type { Engine } from './engine.ts'
import { InvalidInput } from './errors.ts'
import type { OperationDefinition } from './operation.ts'
import { sameBytes } from './outcome.ts'
import { prepare } from './preparation.ts'
import type { ClaimAnswer, CompleteAnswer, OwnerAnswer, Ownership, RecordSummary, ReleaseAnswer } from './store.ts'
import { insist } from './store-call.ts'

/** What a claim by an owner elsewhere is answered with. Only `acquired` may run. */
export type RemoteClaim =
  | {
      readonly word: 'acquired'
      readonly ownership: Ownership
      readonly attempt: number
      readonly takeover: boolean
      /** Whether effects count as started. */
      readonly begun: boolean
      readonly leaseMs: number
      /** The key for a downstream service, the same on each attempt of the record. */
      readonly derivedKey: string
    }
  | { readonly word: 'replay'; readonly record: RecordSummary; readonly value: unknown }
  | { readonly word: 'forbidden' }
  | { readonly word: 'uncertain'; readonly record: RecordSummary }
  | Extract<ClaimAnswer, { readonly word: 'in-progress' | 'mismatch' | 'quarantined' | 'expired' | 'unreadable' }>

/** What a claim by an owner elsewhere decides itself. */
export interface RemoteClaimOptions {
  /** Random, chosen by the owner: the same one again is the same claim, so a lost answer can be asked for again. */
  readonly attemptId: string
  /** Default: the lease of the policy. */
  readonly leaseMs?: number | undefined
  /** `explicit`: effects start with `begin`; default as the operation says. */
  readonly begin?: 'at-claim' | 'explicit' | undefined
}

/**
 * The steps of an attempt one at a time, for an owner in another process. What an engine does between them is the owner's: it renews in
 * time, stops when a step answers `lost`, and completes, releases or seals in the end. Who holds the ownership may write, and nobody else.
 */
export class Claims {
  readonly #definition: OperationDefinition
  readonly #engine: Engine<never>

  constructor(operation: { readonly definition: OperationDefinition; readonly engine: Engine<never> }) {
    this.#definition = operation.definition
    this.#engine = operation.engine
  }

  /** Claims the key, or answers what is recorded. Throws the typed error of a bad call, and `StoreUnavailable`. */
  async claim(call: Call, { attemptId, leaseMs, begin }: RemoteClaimOptions): Promise<RemoteClaim> {
    const { parts } = this.#engine
    const { policy, name } = this.#definition
    const prepared = prepare(parts, this.#definition, call)
    const lease = leaseMs ?? policy.leaseMs
    if (lease < 1_000 || lease >= policy.retentionMs) {
      const bound = `from ${formatDuration(1_000)} to below ${formatDuration(policy.retentionMs)}, the retention of its policy`
      throw new InvalidInput(`The lease is ${lease} ms; it must be ${bound}.`, ['leaseMs is out of its range'])
    }
    if (!parts.opened()) await parts.open()
    const begun = begin === undefined ? prepared.request.begun : begin === 'at-claim'
    const request = { ...prepared.request, begun, attemptId, leaseMs: lease }
    const answer = await this.#insist('a claim', () => parts.store.claim(request))
    if (answer.word === 'acquired') {
      const { ownership, attempt, takeover, begunAttempt } = answer
      this.#engine.tell(takeover ? 'taken-over' : 'claimed', prepared, attempt, '')
      const derivedKey = prepared.deriveKey('downstream')
      return { word: 'acquired', ownership, attempt, takeover, begun: begun || begunAttempt !== 0, leaseMs: lease, derivedKey }
    }
    const forbidden = answer.word === 'replay' && policy.replayTo === 'actor' && !sameBytes(answer.record.actor, prepared.actor)
    const word = forbidden ? 'forbidden' : answer.word
    if (word === 'unreadable') this.#engine.tell('unavailable', prepared, 0, word)
    else {
      const reason = word === 'replay' ? 'replayed' : word
      this.#engine.duplicates.add(prepared.id, prepared.idHex, name, reason)
      this.#engine.tell(reason, prepared, 0, '')
    }
    if (forbidden) return { word: 'forbidden' }
    if (answer.word === 'replay') {
      return { word: 'replay', record: answer.record, value: decodeValue(parts.outcomes.open(answer.outcome, prepared.id)) }
    }
    return answer
  }

  /** Prolongs the lease from now; with `begun`, also persists that effects may start. `lost`: stop, another attempt may run. */
  async renew(ownership: Ownership, change: { readonly leaseMs?: number | undefined; readonly begun?: boolean }): Promise<OwnerAnswer> {
    const { policy } = this.#definition
    const leaseMs = change.leaseMs ?? policy.leaseMs
    return this.#insist('a renewal', () => this.#store.renew(ownership, { leaseMs, ...(change.begun === true ? { begun: true } : {}) }))
  }

  /** Stores the outcome: JSON data, bytes, or undefined. `conflict`: it was completed with another before, which stands. */
  async complete(ownership: Ownership, value: unknown): Promise<CompleteAnswer> {
    const outcome = this.#engine.parts.outcomes.seal(encodeValue(value), { id: ownership.id, encrypt: this.#definition.encrypt })
    return this.#insist('a completion', () => this.#store.complete(ownership, outcome))
  }

  /** Frees the key: proven not applied. `begun`: effects may have started and nothing was declared, so seal it. */
  async release(ownership: Ownership, change: { readonly reason: string; readonly declared: boolean }): Promise<ReleaseAnswer> {
    return this.#insist('a release', () => this.#store.release(ownership, change))
  }

  /** Says that it may have been applied; nothing runs again until it is resolved. */
  async seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    return this.#insist('a seal', () => this.#store.seal(ownership, change))
  }

  get #store(): Engine<never>['parts']['store'] {
    return this.#engine.parts.store
  }

  /** Each step is safe to ask again: its token and attempt id make it so. */
  #insist<T>(what: string, call: () => Promise<T>): Promise<T> {
    const { parts } = this.#engine
    return insist(parts, parts.limits.storeTimeoutMs, what, call, (error) => error.applied === 'no')
  }
}
