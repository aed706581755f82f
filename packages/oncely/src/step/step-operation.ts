import {
  type AbandonedRun,
  ConfigurationError,
  type Engine,
  encodeValue,
  engineCallOf,
  type FunctionCall,
  functionWork,
  type OncelyRecord,
  type OperationDefinition,
  type ResumableOperation,
  type RunResult,
  runResult,
  type StepHandler,
  type TransactionalStore,
  validateInput,
  type Work,
} from '../core/index.ts'
import { resumedCall } from './resumed-call.ts'
import { type Beginning, StepRun } from './step-run.ts'
import { withSteps } from './step-transaction.ts'

/** The handlers of an operation by version, and the ways into it: a call, and the completer. */
export class HandledOperation<Tx> implements ResumableOperation {
  readonly definition: OperationDefinition
  readonly #engine: Engine<Tx>
  readonly #handlers = new Map<number, StepHandler<never, unknown, Tx>>()

  constructor(definition: OperationDefinition, engine: Engine<Tx>) {
    this.definition = definition
    this.#engine = engine
  }

  define(handler: StepHandler<never, unknown, never>, options: { readonly version?: number } = {}): this {
    const { name } = this.definition
    const { version = this.definition.version } = options
    if (!Number.isInteger(version) || version < 1 || version > this.definition.version)
      throw new ConfigurationError(
        `Operation "${name}": a handler is defined for version ${String(version)}; it must be a whole number from 1 to the operation's version ${this.definition.version}.`,
      )
    if (this.#handlers.has(version))
      throw new ConfigurationError(`Operation "${name}" has two handlers for version ${version}; define one.`)
    this.#handlers.set(version, handler as unknown as StepHandler<never, unknown, Tx>)
    return this
  }

  async run(call: FunctionCall<never>): Promise<RunResult<unknown>> {
    const { name, version } = this.definition
    if (!this.#handlers.has(version))
      throw new ConfigurationError(`Operation "${name}" has no handler for its version ${version}; call define() before run().`)
    const input = await validateInput(this.definition, call.input)
    // An input that would not come back equal is refused before anything runs.
    const encoded = encodeValue(input)
    const { outcomes } = this.#engine.parts
    const { encrypt } = this.definition
    const work = this.#work((payload, id) => ({ payload, input: outcomes.seal(encoded, { id, encrypt }) }))
    return runResult(await this.#engine.execute(this.definition, engineCallOf(call, input), work))
  }

  /** Goes on with an operation whose owner is gone. What becomes of it is told by events; a failure is left to the next look. */
  async resume({ id, createdAtMs }: AbandonedRun): Promise<void> {
    const { parts } = this.#engine
    const record = await parts.store.read(id)
    if (record === undefined || record.createdAtMs !== createdAtMs || !mayResume(record)) return
    const history = await withSteps(parts.store as TransactionalStore<Tx>).steps.read(id, createdAtMs)
    if (history === undefined) return
    const prepared = resumedCall(parts, this.definition, record, history)
    await this.#engine.resume(
      prepared,
      this.#work(() => undefined),
    )
  }

  #work(beginning: (payload: Uint8Array, id: Uint8Array) => Beginning | undefined): Work<unknown, Tx> {
    const { parts } = this.#engine
    return functionWork<unknown, Tx>(async (context, _tx, _outbox, held) => {
      if (held === undefined)
        throw new ConfigurationError(`Operation "${this.definition.name}" is bound to steps and runs under a claim only.`)
      const store = withSteps(parts.store as TransactionalStore<Tx>)
      return new StepRun<Tx>(parts, this.definition, held, context, store).value(
        this.#handlers,
        beginning(held.payload, held.claim.ownership.id),
      )
    })
  }
}

function mayResume(record: OncelyRecord): boolean {
  return record.bind === 'steps' && (record.state === 'running' || record.state === 'released')
}
