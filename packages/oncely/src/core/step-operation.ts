import type { AttemptContext } from './attempt.ts'
import type { Duration } from './duration.ts'
import type { Engine } from './engine.ts'
import type { EngineParts } from './engine-parts.ts'
import type { FunctionCall, RunResult } from './function-call.ts'
import type { OperationDefinition, ResolverVerdict } from './operation.ts'
import type { AbandonedRun, StepStore } from './step.ts'
import type { Store } from './store.ts'
import type { TransactionalStore } from './transaction.ts'

/** What the user's function of an effect gets. */
export interface EffectCall {
  /** To be sent to the other side: stable over attempts, another one for each step and record. */
  readonly key: string
  /** Aborted when the call takes too long or the claim is lost. */
  readonly signal: AbortSignal
  /** 1 for the first key; grows when a look-up has proven that the calls under the key before were not applied. */
  readonly generation: number
}

/** Asks the other side what became of the calls under a key; it must only read. */
export type EffectLookup<Value> = (call: EffectCall) => Promise<ResolverVerdict<Value>>

/** How an outside call is made safe. */
export interface EffectOptions<Value> {
  /** How long the other side knows the key. Nothing is sent under it again after that. */
  readonly remoteKeyLifetime: Duration
  /**
   * What follows a call whose fate is unknown (time-out, reset, an error after sending): send it again under the same key, look it
   * up, or leave it to an operator. There is no default.
   */
  readonly onAmbiguous: 'retry-with-key' | 'quarantine' | { readonly lookup: EffectLookup<Value> }
  /** With `retry-with-key`: where repeating ends, because the key has expired or the other side replays a stored failure. */
  readonly lookup?: EffectLookup<Value>
  /** Longest time for one call; default the policy's `effectTimeout`. */
  readonly timeout?: Duration
  /** Calls in one attempt; default 3. */
  readonly callsMax?: number
}

/** Takes an applied effect back when the operation is rejected later; an effect of its own, with a key of its own. */
export interface EffectUndo<Value> extends EffectOptions<void> {
  readonly call: (call: EffectCall & { readonly value: Value }) => Promise<void> | void
}

/** The steps of one attempt. Sequential: a step begins when the one before has ended, unless they are declared parallel. */
export interface Step<Tx> {
  /**
   * Runs `run` in a transaction that commits its rows with the recovery point: exactly once. The network has no place in it.
   *
   * @throws whatever `run` throws: rolled back, and the attempt is over.
   */
  transaction<Value>(
    name: string,
    run: (tx: Tx) => Promise<Value> | Value,
    options?: { readonly undo?: (tx: Tx, value: Value) => Promise<void> | void },
  ): Promise<Value>
  /** Calls the outside: at least once, always under a key that was stored before. What the function returns is final. */
  effect<Value>(
    name: string,
    options: EffectOptions<Value> & { readonly undo?: EffectUndo<Value> },
    run: (call: EffectCall) => Promise<Value> | Value,
  ): Promise<Value>
  /** Runs branches side by side; each gets steps of its own. Waits for all of them, also when one fails. */
  parallel<Branches extends readonly ((step: Step<Tx>) => Promise<unknown>)[]>(
    branches: Branches,
  ): Promise<{ readonly [Index in keyof Branches]: Awaited<ReturnType<Branches[Index]>> }>
}

/** What the handler of steps gets. It may be run again from its start, so between steps it only computes. */
export type StepContext<Input, Tx> = AttemptContext & { readonly input: Input; readonly step: Step<Tx>; readonly version: number }

export type StepHandler<Input, Output, Tx> = (context: StepContext<Input, Tx>) => Promise<Output>

/** An operation bound to steps. */
export interface StepOperation<Input, Output, Tx> {
  readonly definition: OperationDefinition
  /** Sets the handler of the operation's version, or of an older one whose operations still have to be finished. */
  define(handler: StepHandler<Input, Output, Tx>, options?: { readonly version?: number }): this
  /** Runs the operation for this key, goes on where an earlier attempt ended, or answers what is recorded. */
  run(call: FunctionCall<Input>): Promise<RunResult<Output>>
}

/** How often the completer looks, how much it takes, and how long it leaves a failing operation alone. */
export interface CompleterOptions {
  /** Default 5 seconds. */
  readonly everyMs?: number
  /** Operations resumed at once; default 10. */
  readonly batchMax?: number
  /** The wait after an attempt, doubled by each: from 1 second up to 5 minutes. */
  readonly backoffMs?: number
  readonly backoffMaxMs?: number
}

/** The machinery of steps, handed to an instance by its entry point. */
export interface StepRuntime {
  operation<Tx>(definition: OperationDefinition, engine: Engine<Tx>): ResumableOperation
  /** Resumes what has lost its owner until it is stopped; `stop` waits for what runs. */
  complete(parts: EngineParts, operations: ReadonlyMap<string, ResumableOperation>, options: CompleterOptions): { stop(): void }
}

/** An operation as the completer sees it. */
export interface ResumableOperation extends StepOperation<never, unknown, never> {
  resume(run: AbandonedRun): Promise<void>
}

/** The recovery points of a store, or undefined when it keeps none. */
export function stepsOf<Tx>(store: Store): StepStore<Tx> | undefined {
  return (store as Partial<TransactionalStore<Tx>>).steps
}
