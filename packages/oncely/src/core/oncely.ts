import type { anonymous } from './attempt.ts'
import { checkBudget } from './budget.ts'
import { type EncodedValue, encodeValue } from './codec.ts'
import { Operation } from './declared-operation.ts'
import { Engine } from './engine.ts'
import { type ErasureParts, type ErasureReceipt, erasePrincipal, isGenuineReceipt } from './erasure.ts'
import { ConfigurationError, Unsupported } from './errors.ts'
import { type Forecast, forecastGrowth } from './forecast.ts'
import { toHex } from './hex.ts'
import type { BindOf, OncelyOptions, Platform, StartOptions, StepsOf } from './instance-options.ts'
import { recordId } from './key.ts'
import { holdingStore } from './legal-hold.ts'
import { checkBound, checkLimits, type Limits } from './limits.ts'
import { defineOperation, type OperationDefinition, type OperationOptions, type Phase } from './operation.ts'
import type { OutboxSink, OutboxStats, OutboxStore, Relay, RelayOptions } from './outbox.ts'
import type { Outcome } from './outcome.ts'
import { OutcomeSeal } from './outcome-seal.ts'
import { principalDigest, principalText } from './preparation.ts'
import type { OncelyRecord } from './record.ts'
import { checkSecrets } from './secret.ts'
import { type ResumableOperation, type StepOperation, type StepRuntime, stepsOf } from './step-operation.ts'
import type { Hold, HoldTarget, ResolveAnswer, Store, StoreInfo, StoreStats, SweepAnswer, TrailEntry } from './store.ts'
import { bounded } from './store-call.ts'
import { checkSurvives } from './survival.ts'
import { Sweeper } from './sweeper.ts'
import { isTransactional } from './transaction.ts'

/** Idempotency for the operations of one application. Made by `createOncely`. */
export class Oncely<Tx> {
  readonly namespace: string
  readonly store: Store
  readonly limits: Limits
  /** The background sweeper that `start` starts: `pause`, `resume` and `progress`. */
  readonly sweeper: Sweeper
  readonly #engine: Engine<Tx>
  readonly #platform: Platform
  readonly #phase: Phase
  readonly #encrypt: boolean
  readonly #outcomes: OutcomeSeal
  readonly #operations = new Map<string, OperationDefinition>()
  #info: Promise<StoreInfo> | undefined
  /** How many operations the open store was checked against. */
  #checked = 0
  readonly #resumable = new Map<string, ResumableOperation>()
  #relay: Relay | undefined
  #stopCompleter: () => void = () => {}

  constructor(platform: Platform, options: OncelyOptions) {
    if (typeof options.namespace !== 'string' || !/^[\x20-\x7e]{1,128}$/.test(options.namespace)) {
      throw new ConfigurationError(
        `namespace is ${JSON.stringify(options.namespace)}; it must be 1 to 128 printable ASCII characters, such as 'payments-api'.`,
      )
    }
    this.namespace = options.namespace
    this.store = options.store
    this.limits = checkLimits(options.limits)
    this.#platform = platform
    this.sweeper = new Sweeper(platform.clock, (batchMax) => this.#sweepBatch(batchMax))
    this.#phase = options.phase ?? 'enforce'
    this.#encrypt = options.encrypt ?? false
    const { store, limits, namespace } = this
    const secrets = checkSecrets(options.secrets ?? [])
    if (options.cache !== undefined && secrets.length === 0)
      throw new ConfigurationError(
        `The cache "${options.cache.name}" is given without secrets: whoever can write to it could make up answers. Add secrets: [{ id: 1, key }].`,
      )
    this.#outcomes = new OutcomeSeal({ ...platform, secrets })
    if (this.#encrypt) this.#checkEncryption('This instance')
    this.#engine = new Engine<Tx>({
      ...platform,
      store,
      limits,
      namespace,
      secrets,
      outcomes: this.#outcomes,
      owner: options.owner ?? '',
      events: options.events,
      cache: options.cache,
      watchNetwork: options.development === true ? platform.watchNetwork : undefined,
      budget: options.budget === undefined ? undefined : { limits: checkBudget(options.budget), counter: options.budget.counter },
      opened: () => this.#checked === this.#operations.size,
      open: () => this.open(),
      messagesWritten: () => this.#relay?.wake(),
    })
  }

  /** Declares an operation; what is unsafe or cannot work is refused here. */
  operation<Input = unknown, Output = unknown, const B extends BindOf<Tx> = BindOf<Tx>>(
    name: string,
    options: OperationOptions<Input, Output, B>,
  ): Operation<Input, Output, Tx, B>
  operation<Input = unknown, Output = unknown, const B extends StepsOf<Tx> = StepsOf<Tx>>(
    name: string,
    options: OperationOptions<Input, Output, B>,
  ): StepOperation<Input, Output, Tx>
  operation(name: string, options: object): never {
    if (this.#operations.has(name)) throw new ConfigurationError(`Operation "${name}" is declared twice; declare it once and share it.`)
    const definition = defineOperation(name, options as OperationOptions<never, never>, {
      phase: this.#phase,
      encrypt: this.#encrypt,
      transactional: isTransactional(this.store),
      steps: this.#platform.steps !== undefined && stepsOf(this.store) !== undefined,
    })
    if (definition.encrypt) this.#checkEncryption(`Operation "${name}"`)
    this.#operations.set(name, definition)
    if (definition.bind === 'steps') {
      const resumable = (this.#platform.steps as StepRuntime).operation(definition, this.#engine)
      this.#resumable.set(name, resumable)
      return resumable as never
    }
    return new Operation(definition, this.#engine) as never
  }

  /** The operations declared so far, with every default filled in. */
  get operations(): readonly OperationDefinition[] {
    return [...this.#operations.values()]
  }

  /** Opens the store and checks that it survives what each policy needs; the first call of an operation does it too. */
  async open(): Promise<StoreInfo> {
    const { clock } = this.#platform
    this.#info ??= bounded(clock, this.limits.storeTimeoutMs, 'its opening', () => this.store.open()).catch((error: unknown) => {
      this.#info = undefined
      throw error
    })
    const info = await this.#info
    if (this.#engine.cache?.epoch.known === undefined) this.#engine.cache?.epoch.set(info.instanceId)
    const operations = [...this.#operations.values()]
    for (const { name, policy, phase } of operations) if (phase !== 'observe') checkSurvives(name, policy, this.store.name, info)
    this.#checked = operations.length
    return info
  }

  /** Opens the store and starts the background work asked for. */
  async start(options: StartOptions = {}): Promise<void> {
    await this.open()
    const { completer = false } = options
    if (completer !== false && this.#platform.steps !== undefined) {
      this.#stopCompleter()
      const running = this.#platform.steps.complete(this.#engine.parts, this.#resumable, completer === true ? {} : completer)
      this.#stopCompleter = () => running.stop()
    }
    if (options.relay !== undefined) await this.#startRelay(options.relay, options.relayOptions ?? {})
    if (options.sweeper !== true) return
    const everyMs = checkBound('sweepEveryMs', options.sweepEveryMs, { preset: 60_000, min: 1, max: 86_400_000 })
    const batchMax = checkBound('sweepBatchMax', options.sweepBatchMax, { preset: sweepBatchMax, min: 1, max: sweepBatchMax })
    this.sweeper.start(everyMs, batchMax)
  }

  /** Takes nothing new, lets what runs finish (at most `limits.drainMs`), writes what is counted. The store stays open. */
  async drain(): Promise<void> {
    this.sweeper.stop()
    this.#stopCompleter()
    const relay = this.#relay
    this.#relay = undefined
    await Promise.all([this.#engine.drain(this.limits.drainMs), relay?.stop(this.limits.drainMs)])
  }

  async #startRelay(sinks: readonly OutboxSink[], options: RelayOptions): Promise<void> {
    const { startRelay, clock, random } = this.#platform
    const store = this.outbox
    if (store === undefined || startRelay === undefined)
      throw new ConfigurationError(
        `start({ relay }) needs a store with an outbox (PostgreSQL, MySQL, SQLite); the store "${this.store.name}" keeps none.`,
      )
    if (this.#relay !== undefined) throw new ConfigurationError('The relay runs already; call start({ relay }) once, with every sink.')
    const { owner, events } = this.#engine.parts
    this.#relay = await startRelay({ store, sinks, clock, random, owner, storeTimeoutMs: this.limits.storeTimeoutMs, events, options })
  }

  /** The store's outbox, for operators: what waits, what is parked, and how to try it again. */
  get outbox(): OutboxStore<Tx> | undefined {
    return isTransactional<Tx>(this.store) ? this.store.outbox : undefined
  }

  /** Removes one batch of records that have outlived their own policy. */
  async sweep(): Promise<SweepAnswer> {
    return this.#sweepBatch(sweepBatchMax)
  }

  async #sweepBatch(batchMax: number): Promise<SweepAnswer> {
    const swept = await this.store.sweep({ batchMax })
    await this.store.inbox?.sweep({ batchMax, marksMs: inboxMarksMs })
    return swept
  }

  /** The id under which the store keeps the record of a caller's key; for operators, who know the caller and the key. */
  recordId(address: { readonly principal: string | typeof anonymous; readonly key: string; readonly operation?: string }): Uint8Array {
    const { namespace } = this
    return recordId({ ...address, namespace, principal: principalText(address.principal) }, this.#platform.hasher)
  }

  /** The record of an id, as an operator sees it. */
  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    return this.store.read(id)
  }

  /**
   * What a completed record answers, decrypted; undefined when there is no such record or its outcome has aged away. For an operator
   * who may see it: it bypasses `replayTo` and `authorizeReplay`. `decodeValue` reads what `run` stored.
   *
   * @throws OutcomeCorrupt when its bytes changed, SecretMissing when its secret is gone.
   */
  async outcome(id: Uint8Array): Promise<EncodedValue | undefined> {
    const record = await this.store.read(id)
    return record?.state === 'completed' && record.outcome !== undefined ? this.#outcomes.open(record.outcome, id) : undefined
  }

  /** Which duplicates arrived, which execution committed, and why each other one did not; oldest first. */
  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    await this.#engine.duplicates.flush()
    return this.store.trail(id)
  }

  /**
   * Decides an uncertain or quarantined record by hand: it was applied, with this value, or it was not. The decision counts only
   * while the record is as it was read.
   */
  async resolve(
    record: OncelyRecord,
    decision: { readonly applied: boolean; readonly value?: unknown; readonly by: string; readonly reason: string },
  ): Promise<ResolveAnswer> {
    if (record.state !== 'uncertain' && record.state !== 'quarantined')
      throw new ConfigurationError(`The record is ${record.state}; only an uncertain or quarantined one is resolved by hand.`)
    checkSaid('A resolution', decision)
    const verdict = decision.applied
      ? ({ applied: true, outcome: this.#sealed(record, encodeValue(decision.value)) } as const)
      : ({ applied: false } as const)
    const answer = await this.store.resolve(record.id, {
      expected: { state: record.state, token: record.token },
      verdict,
      by: decision.by,
      reason: decision.reason,
    })
    // Nothing but a hint of a second can lie there: an unsettled record has published no outcome.
    await this.#engine.cache?.erase(record.id).catch(() => {})
    return answer
  }

  /**
   * Erases a record, whatever its state; its key is new again, and its trail says who did it.
   *
   * @throws StoreUnavailable also when the store erased it and the cache did not confirm; erase again then.
   */
  async forget(id: Uint8Array, reason: string): Promise<boolean> {
    try {
      const erased = await this.store.forget(id, { reason })
      await this.#engine.cache?.erase(id)
      return erased
    } finally {
      // In the end: a duplicate that was answered meanwhile has been remembered.
      this.#engine.recent.forget(toHex(id))
    }
  }

  /**
   * Erases the records of a principal that have ended and are not held, and answers with a receipt. A key that is erased is new
   * again. What runs or is in doubt is kept and counted: erase again once it has ended. Other processes may answer an erased
   * outcome from their memory for a minute more.
   *
   * @throws Unsupported on a store that cannot find records by their principal; StoreUnavailable also when the cache did not confirm.
   */
  async erase(request: {
    readonly principal: string | typeof anonymous
    readonly by: string
    readonly reason: string
  }): Promise<ErasureReceipt> {
    checkSaid('An erasure', request)
    return erasePrincipal(this.#erasureParts(), this.#principalDigest(request.principal), request)
  }

  /** Whether an erasure receipt was made with one of this instance's secrets and not changed since. */
  isGenuineReceipt(receipt: ErasureReceipt): boolean {
    return isGenuineReceipt(receipt, this.#erasureParts())
  }

  /**
   * Places a legal hold on a record, or on every record of a principal, also those to come: it is neither swept nor erased, and its
   * key stays used. Answers false when it was in force already.
   *
   * @throws Unsupported on a store that knows no legal hold.
   */
  async hold(target: HoldRequest, said: { readonly by: string; readonly reason: string }): Promise<boolean> {
    checkSaid('A legal hold', said)
    return holdingStore(this.store).hold(this.#holdTarget(target), { ...said, held: true })
  }

  /** Lifts a legal hold: what it covered goes by its own policy again. Answers false when there was none. */
  async liftHold(target: HoldRequest, said: { readonly by: string; readonly reason: string }): Promise<boolean> {
    checkSaid('Lifting a legal hold', said)
    return holdingStore(this.store).hold(this.#holdTarget(target), { ...said, held: false })
  }

  /** The legal holds in force, oldest first; principals as digests. */
  async holds(): Promise<readonly Hold[]> {
    return holdingStore(this.store).holds()
  }

  #holdTarget(target: HoldRequest): HoldTarget {
    return 'record' in target ? target : { principal: this.#principalDigest(target.principal) }
  }

  #principalDigest(principal: string | typeof anonymous): Uint8Array {
    if (principal === '') throw new ConfigurationError('The principal is empty; pass the caller as it stands in the calls.')
    return principalDigest({ hasher: this.#platform.hasher, namespace: this.namespace }, principalText(principal))
  }

  #erasureParts(): ErasureParts {
    const { clock, hasher } = this.#platform
    return {
      store: this.store,
      hasher,
      secrets: this.#engine.parts.secrets,
      nowMs: () => clock.nowMs(),
      forgetCopies: async (id) => {
        this.#engine.recent.forget(toHex(id))
        await this.#engine.cache?.erase(id)
      },
    }
  }

  #sealed({ id, operation }: OncelyRecord, value: EncodedValue): Outcome {
    return this.#outcomes.seal(value, { id, encrypt: this.#operations.get(operation)?.encrypt ?? this.#encrypt })
  }

  #checkEncryption(what: string): void {
    const { obstacle } = this.#outcomes
    if (obstacle !== undefined) throw new ConfigurationError(`${what} has encrypt: true, but ${obstacle}.`)
  }

  /**
   * How the store will grow over the next days, if the past goes on.
   *
   * @throws Unsupported on a store that keeps no history of its growth.
   */
  async forecast(days = 30): Promise<Forecast> {
    const { store } = this
    if (store.usage === undefined) throw new Unsupported(`The store ${store.name} keeps no history of its growth; use postgres.`)
    return forecastGrowth(await store.usage(), checkBound('days', days, { preset: 30, min: 1, max: 3_650 }))
  }

  /** What the store holds; with its outbox, where it keeps one. */
  async stats(): Promise<StoreStats & { readonly outbox?: OutboxStats }> {
    const [stats, outbox] = await Promise.all([this.store.stats(), this.outbox?.stats()])
    return outbox === undefined ? stats : { ...stats, outbox }
  }
}

const sweepBatchMax = 5_000

/** How long the marks of a message that never came back are kept; a broker that redelivers later counts its attempts anew. */
const inboxMarksMs = 30 * 86_400_000
/** What a legal hold is placed on. */
export type HoldRequest = { readonly record: Uint8Array } | { readonly principal: string | typeof anonymous }

function checkSaid(what: string, { by, reason }: { readonly by: string; readonly reason: string }): void {
  if (by === '' || reason === '') throw new ConfigurationError(`${what} needs "by" and "reason": both are kept.`)
}
