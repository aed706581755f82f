import type { Engine } from './engine.ts'
import { ConfigurationError } from './errors.ts'
import { adoptCall, callFunction, type FunctionCall, type HandlerContext, type RunResult } from './function-call.ts'
import type { OperationDefinition } from './operation.ts'
import type { Bind } from './record.ts'

/** What an import from a table of one's own came to. */
export interface AdoptedCounts {
  readonly adopted: number
  readonly present: number
  readonly absent: number
  readonly running: number
  readonly mismatch: number
}

/** One operation: declared once, used the same way from HTTP, a function call or a queue. */
export class Operation<Input, Output, Tx, B extends Bind> {
  readonly definition: OperationDefinition
  readonly engine: Engine<Tx>

  constructor(definition: OperationDefinition, engine: Engine<Tx>) {
    this.definition = definition
    this.engine = engine
  }

  /**
   * Runs the handler once for this key, or answers what is recorded. Throws what the handler throws (then nothing was applied,
   * or the record is uncertain), and the typed error of a call that is wrong.
   */
  async run<Value extends Output>(
    call: FunctionCall<Input>,
    handler: (context: HandlerContext<Input, Tx, B>) => Promise<Value> | Value,
  ): Promise<RunResult<Value>> {
    return callFunction(this.engine, this.definition, call, handler as (context: never) => Promise<Value> | Value)
  }

  /**
   * Imports from the table of `adopt`: asks it for each call and keeps what it has; nothing runs. Safe to repeat, also while calls
   * are served. Answers how often the table said what; `present` were there already.
   *
   * @throws StoreUnavailable when the store does not answer; begin again.
   */
  async adopt(calls: Iterable<FunctionCall<Input>> | AsyncIterable<FunctionCall<Input>>): Promise<AdoptedCounts> {
    const counts = { adopted: 0, present: 0, absent: 0, running: 0, mismatch: 0, unavailable: 0 }
    for await (const call of calls) counts[await adoptCall(this.engine, this.definition, call)]++
    const { unavailable: _, ...counted } = counts
    return counted
  }

  /**
   * The same inside a transaction that you opened. The answer is final only after *your* commit; a roll-back of yours undoes the
   * claim with the effect. When the handler throws, its rows and the claim are undone and the error is thrown on.
   */
  async within<Value extends Output>(
    tx: Tx,
    call: FunctionCall<Input>,
    handler: (context: HandlerContext<Input, Tx, 'transaction'>) => Promise<Value> | Value,
  ): Promise<RunResult<Value>> {
    if (this.definition.bind !== 'transaction') {
      throw new ConfigurationError(
        `Operation "${this.definition.name}" is bound to "${this.definition.bind}"; within() needs bind: 'transaction'.`,
      )
    }
    return callFunction(this.engine, this.definition, call, handler as (context: never) => Promise<Value> | Value, { tx })
  }
}
