import {
  type Clock,
  type EncodedValue,
  type EngineParts,
  encodeValue,
  type HeldClaim,
  insist,
  type Outcome,
  type OwnerAnswer,
  type Random,
  type SettledPoint,
  type StepHistory,
  type StepIntent,
  type StepStore,
  ValueNotStorable,
} from '../core/index.ts'

/** Writes recovery points for one attempt; every write proves that the attempt is still the newest. */
export class StepWriter {
  readonly clock: Clock
  readonly random: Random
  readonly effectTimeoutMs: number
  readonly deriveKey: (name: string) => string
  readonly #sealing: { readonly id: Uint8Array; readonly encrypt: boolean }
  readonly #parts: EngineParts
  readonly #held: HeldClaim
  readonly #steps: StepStore<never>
  /** The store's time, less the monotonic clock, as read with the history: never later than the truth. */
  #storeAheadMs = 0

  constructor(
    parts: EngineParts,
    held: HeldClaim,
    steps: StepStore<never>,
    own: { readonly effectTimeoutMs: number; readonly encrypt: boolean; readonly deriveKey: (name: string) => string },
  ) {
    this.clock = parts.clock
    this.random = parts.random
    this.effectTimeoutMs = own.effectTimeoutMs
    this.deriveKey = own.deriveKey
    this.#sealing = { id: held.claim.ownership.id, encrypt: own.encrypt }
    this.#parts = parts
    this.#held = held
    this.#steps = steps
  }

  get signal(): AbortSignal {
    return this.#held.lease.signal
  }

  check(): void {
    this.#held.lease.check()
  }

  renew(): Promise<void> {
    return this.#held.lease.renewNow()
  }

  /** What this life of the record has left behind. */
  async history(): Promise<StepHistory | undefined> {
    const { id } = this.#held.claim.ownership
    const history = await this.#insist('recovery points', () => this.#steps.read(id, this.#held.claim.createdAtMs))
    // Taken after the answer, so that a remote key seems to end too early rather than too late.
    if (history !== undefined) this.#storeAheadMs = history.nowMs - this.clock.monotonicMs()
    return history
  }

  /** A time of the store on the monotonic clock. */
  monotonicOf(storeMs: number): number {
    return storeMs - this.#storeAheadMs
  }

  async start(start: { readonly version: number; readonly payload: Uint8Array; readonly input: Outcome }): Promise<void> {
    await this.#held.lease.begin()
    await this.#owned('a start', () => this.#steps.start(this.#held.claim.ownership, start))
  }

  /** Renews the lease, then stores the intent under the token: nothing comes between that and the call. */
  async intend(intent: StepIntent): Promise<void> {
    await this.renew()
    await this.#owned('an intent', () => this.#steps.intend(this.#held.claim.ownership, intent))
    this.check()
  }

  async settle(point: Omit<SettledPoint, 'value'>, value: unknown): Promise<void> {
    const sealed = point.state === 'done' ? this.seal(value) : undefined
    await this.settleSealed({ ...point, value: sealed })
  }

  async settleSealed(point: SettledPoint): Promise<void> {
    await this.#owned('a recovery point', () => this.#steps.settle(this.#held.claim.ownership, point))
  }

  async quarantine(reason: string): Promise<void> {
    const { ownership } = this.#held.claim
    const answer = await this.#insist('a quarantine', () => this.#steps.quarantine(ownership, { reason }))
    if (answer === 'lost') throw this.#held.lease.lose('another attempt holds the record')
    this.#held.lease.settle()
  }

  seal(value: unknown): Outcome {
    return this.sealed(encodeValue(value))
  }

  /** Encrypted where the operation's outcome is. */
  sealed(encoded: EncodedValue): Outcome {
    const { responseBytesMax } = this.#parts.limits
    if (encoded.bytes.length > responseBytesMax)
      throw new ValueNotStorable(
        `A step's value has ${encoded.bytes.length} bytes, more than limits.responseBytesMax ${responseBytesMax}; return what the next steps need, or raise the limit.`,
      )
    return this.#parts.outcomes.seal(encoded, this.#sealing)
  }

  async #owned(what: string, write: () => Promise<OwnerAnswer>): Promise<void> {
    this.check()
    if ((await this.#insist(what, write)) === 'lost') throw this.#held.lease.lose('another attempt holds the record')
  }

  #insist<T>(what: string, call: () => Promise<T>): Promise<T> {
    return insist(this.#parts, this.#parts.limits.storeTimeoutMs, what, call)
  }
}
