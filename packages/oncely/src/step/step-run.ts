import {
  type AttemptContext,
  type ConfigurationError,
  contextWith,
  type EffectOptions,
  type EffectUndo,
  type EngineParts,
  encodeRejectedValue,
  type HeldClaim,
  isRejection,
  LeaseLost,
  type OperationDefinition,
  type Outcome,
  Rejection,
  type Step,
  type StepHandler,
  type StepStore,
  StepVersionMissing,
  sameBytes,
  type TransactionalStore,
} from '../core/index.ts'
import { checkEffect, EffectAttempt } from './effect-attempt.ts'
import { mismatch, Parked } from './step-error.ts'
import { RecordedSteps, rejectionPath } from './step-history.ts'
import { StepScope } from './step-scope.ts'
import { StepTransaction } from './step-transaction.ts'
import { StepWriter } from './step-writer.ts'

/** What an operation begins with. */
export interface Beginning {
  readonly payload: Uint8Array
  readonly input: Outcome
}

interface Undo {
  readonly path: string
  readonly name: string
  run(): Promise<void>
}

/**
 * One attempt at an operation of steps: the handler from its start, with every recorded step answered from its recovery point.
 *
 *   handler ──returns──▶ everything recorded was asked for ──▶ the record is completed by the lease attempt
 *      ├─rejects──▶ the decision is stored (where something can be undone) ──▶ undos, newest first ──▶ the rejection is the outcome
 *      ├─a step fails──▶ the attempt is over; a repeat or the completer goes on after the last recovery point
 *      └─a step is parked──▶ the record is quarantined
 *
 * The first failure of a step stands, whatever the handler makes of it: nothing is decided on what is not known.
 */
export class StepRun<Tx> {
  readonly #parts: EngineParts
  readonly #definition: OperationDefinition
  readonly #id: Uint8Array
  readonly #context: AttemptContext
  readonly #writer: StepWriter
  readonly #transaction: StepTransaction<Tx>
  readonly #undos: Undo[] = []
  #recorded: RecordedSteps
  #beginning: (Beginning & { readonly version: number }) | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(
    parts: EngineParts,
    definition: OperationDefinition,
    held: HeldClaim,
    context: AttemptContext,
    store: TransactionalStore<Tx> & { readonly steps: StepStore<Tx> },
  ) {
    this.#parts = parts
    this.#definition = definition
    this.#id = held.claim.ownership.id
    this.#context = context
    const own = {
      effectTimeoutMs: definition.policy.effectTimeoutMs,
      encrypt: definition.encrypt,
      deriveKey: (name: string) => context.deriveKey(name),
    }
    this.#writer = new StepWriter(parts, held, store.steps as StepStore<never>, own)
    this.#transaction = new StepTransaction(parts, definition, held, store, this.#writer)
    this.#recorded = new RecordedSteps(undefined, (stored) => parts.outcomes.open(stored, this.#id))
  }

  /** The handler's value, or its rejection after every undo. */
  async value<Output>(handlers: ReadonlyMap<number, StepHandler<never, unknown, Tx>>, beginning: Beginning | undefined): Promise<Output> {
    try {
      return (await this.#value(handlers, beginning)) as Output
    } catch (error) {
      if (!(error instanceof Parked)) throw error
      await this.#writer.quarantine(error.reason)
      throw error.told
    }
  }

  async #value(handlers: ReadonlyMap<number, StepHandler<never, unknown, Tx>>, given: Beginning | undefined): Promise<unknown> {
    // Also in the first attempt: a record that an operator released counts its attempts anew.
    const history = await this.#writer.history()
    const version = history?.version ?? this.#definition.version
    const handler = handlers.get(version)
    if (handler === undefined)
      throw new Parked(
        `no handler of version ${version}`,
        new StepVersionMissing(
          `An operation of "${this.#definition.name}" began under version ${version}, for which no handler is defined here. Define it beside the newer one with define(handler, { version: ${version} }), then release the record.`,
        ),
      )
    if (history === undefined && given === undefined) throw new LeaseLost('The recovery points of this operation are gone.')
    if (history !== undefined && given !== undefined && !sameBytes(history.payload, given.payload))
      throw mismatch('The record was released, and its next call carries another payload than its recorded steps.')
    this.#recorded = new RecordedSteps(history, (stored) => this.#parts.outcomes.open(stored, this.#id))
    if (history === undefined && given !== undefined) this.#beginning = { ...given, version }
    const input = this.#recorded.valueOf(history?.input ?? given?.input)
    const scope = this.#scope('')
    const ended = await this.#ended(handler, { input, version, step: scope.step })
    await scope.close((error) => this.#fail(error))
    if (this.#failure !== undefined && !isRejection(this.#failure.error)) throw this.#failure.error
    const { rejection } = this.#recorded
    if (this.#failure === undefined && rejection === undefined && ended.word === 'value') {
      const left = this.#recorded.unmet()
      if (left !== undefined) throw left
      return ended.value
    }
    const error = this.#failure?.error ?? (ended.word === 'threw' ? ended.error : undefined)
    if (rejection === undefined && !isRejection(error)) throw error
    return this.#reject(rejection === undefined ? (error as Rejection).value : this.#recorded.valueOf(rejection.value))
  }

  async #ended(
    handler: StepHandler<never, unknown, Tx>,
    own: { readonly input: unknown; readonly version: number; readonly step: Step<Tx> },
  ): Promise<{ readonly word: 'value'; readonly value: unknown } | { readonly word: 'threw'; readonly error: unknown }> {
    try {
      return { word: 'value', value: await handler(contextWith(this.#context, own) as never) }
    } catch (error) {
      return { word: 'threw', error }
    }
  }

  /** The decision stands before the first undo runs; whatever happens then, the operation ends in it. */
  async #reject(value: unknown): Promise<never> {
    const left = this.#recorded.unmet()
    if (left !== undefined) throw left
    if (this.#undos.length > 0 && this.#recorded.rejection === undefined) {
      const outcome = this.#writer.sealed(encodeRejectedValue(value))
      await this.#writer.settleSealed({ path: rejectionPath, kind: 'rejection', name: 'rejection', state: 'done', value: outcome })
    }
    for (const { path, name, run } of [...this.#undos].reverse()) {
      try {
        await run()
      } catch (error) {
        if (error instanceof Parked) throw error
        if (this.#goesOn(error)) throw error
        throw new Parked(`the undo of "${name}" at ${path} failed`, error as Error)
      }
    }
    throw new Rejection(value)
  }

  /** A failure of the undo's surroundings: the next attempt does it again, from its recovery point. */
  #goesOn(error: unknown): boolean {
    return (error as Partial<ConfigurationError> | undefined)?.retryable === true
  }

  #scope(prefix: string): StepScope<Tx> {
    return new StepScope<Tx>(prefix, {
      transaction: (path, name, run, undo) => this.#guarded(() => this.#localStep(path, name, run, undo)),
      effect: (path, name, options, run, undo) => this.#guarded(() => this.#remoteStep(path, name, options, run, undo)),
      branch: (inner) => this.#scope(inner),
      failed: (error) => this.#fail(error),
    })
  }

  /** Ends the attempt at the first failure: later steps get the same error. */
  async #guarded<R>(run: () => Promise<R>): Promise<R> {
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      return await run()
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  /** What is not known outweighs a decision. */
  #fail(error: unknown): void {
    const before = this.#failure?.error
    if (before === undefined || (isRejection(before) && !isRejection(error)) || (error instanceof Parked && !(before instanceof Parked)))
      this.#failure = { error }
  }

  async #localStep<Value>(
    path: string,
    name: string,
    run: (tx: Tx) => Promise<Value> | Value,
    undo: ((tx: Tx, value: Value) => Promise<void> | void) | undefined,
  ): Promise<Value> {
    const value = await this.#local(path, name, run)
    if (undo !== undefined)
      this.#undos.push({ path, name, run: () => this.#local(undoPath(path), `undo ${name}`, (tx) => undo(tx, value)) })
    return value
  }

  async #local<Value>(path: string, name: string, run: (tx: Tx) => Promise<Value> | Value): Promise<Value> {
    const point = this.#recorded.meet(path, 'transaction', name)
    if (point !== undefined) return this.#recorded.valueOf(point.value) as Value
    await this.#before(path)
    return this.#transaction.run(path, name, run)
  }

  async #remoteStep<Value>(
    path: string,
    name: string,
    options: EffectOptions<Value>,
    run: (call: never) => Promise<Value> | Value,
    undo: EffectUndo<Value> | undefined,
  ): Promise<Value> {
    // Refused before anything is called, not when it is needed.
    if (undo !== undefined) checkEffect(`undo ${name}`, undo, this.#definition.policy.effectTimeoutMs)
    const value = await this.#remote<Value>(path, name, options, run)
    if (undo !== undefined) {
      const call = async (given: object): Promise<void> => undo.call({ ...given, value } as never)
      this.#undos.push({ path, name, run: () => this.#remote<void>(undoPath(path), `undo ${name}`, undo, call) })
    }
    return value
  }

  async #remote<Value>(
    path: string,
    name: string,
    options: EffectOptions<Value>,
    run: (call: never) => Promise<Value> | Value,
  ): Promise<Value> {
    const checked = checkEffect(name, options, this.#definition.policy.effectTimeoutMs)
    const point = this.#recorded.meet(path, 'effect', name)
    if (point?.state === 'done') return this.#recorded.valueOf(point.value) as Value
    await this.#before(path)
    return new EffectAttempt<Value>(this.#writer, path, name, checked, run as never).value(point)
  }

  /** Before anything new is done: the start is stored, and no decision to reject stands. */
  async #before(path: string): Promise<void> {
    const { rejection } = this.#recorded
    if (rejection !== undefined && !path.startsWith('undo/')) throw new Rejection(this.#recorded.valueOf(rejection.value))
    this.#writer.check()
    if (this.#beginning === undefined) return
    const beginning = this.#beginning
    await this.#writer.start(beginning)
    this.#beginning = undefined
  }
}

function undoPath(path: string): string {
  return `undo/${path}`
}
