import type { AdoptionStep } from './adoption-step.ts'
import type { AttemptContext, anonymous, byPayload, Call, Execution, Work } from './attempt.ts'
import { codecIds, decodeValue, encodeRejectedValue, encodeValue } from './codec.ts'
import type { Engine } from './engine.ts'
import { contextWith } from './engine-parts.ts'
import { InvalidInput } from './errors.ts'
import type { OperationDefinition } from './operation.ts'
import type { Outbox } from './outbox.ts'
import type { Bind } from './record.ts'
import { type RecordSummary, unsettled } from './store.ts'

/** How a function calls an operation. */
export interface FunctionCall<Input> {
  /** The verified caller's stable id, or `anonymous`. */
  readonly principal: string | typeof anonymous
  readonly actor?: string
  /** One new key for each intent; `byPayload` where the operation has a `payloadKey`. */
  readonly key: string | typeof byPayload
  /** The payload: fingerprinted as given, then validated by the operation's schema. */
  readonly input: Input
  readonly traceId?: string
  /** Asked again before every replay. */
  readonly authorizeReplay?: (record: RecordSummary) => boolean | Promise<boolean>
}

/** What a handler called through `run` or `within` gets: the same context as everywhere, and the validated input. */
export type HandlerContext<Input, Tx, B extends Bind> = AttemptContext & { readonly input: Input } & (B extends 'transaction'
    ? { readonly tx: Tx; readonly outbox: Outbox }
    : unknown)

/**
 * The answer of `run`: a union instead of exceptions. `retryAfterMs` is a hint; every retry carries the same key.
 */
export type RunResult<Output> =
  /** Ran now; the value is recorded. `settled: false` while another region may still win over it. */
  | { readonly status: 'done'; readonly value: Output; readonly attempt: number; readonly settled?: false }
  /** Ran before; the value is the recorded one. */
  | { readonly status: 'replayed'; readonly value: Output; readonly settled?: false }
  /** The handler rejected for good, now or before. */
  | { readonly status: 'rejected'; readonly value: unknown; readonly replayed: boolean }
  /** Ran before, but its value was too large to store or must be given once only. */
  | { readonly status: 'not-stored' }
  | { readonly status: 'in-progress'; readonly retryAfterMs: number }
  | { readonly status: 'mismatch' }
  | { readonly status: 'uncertain'; readonly record: string }
  | { readonly status: 'quarantined'; readonly record: string }
  | { readonly status: 'expired' }
  | { readonly status: 'forbidden' }
  /** Ran now and the effect stands, but the record does not have it; `value` is there where the policy answers. */
  | { readonly status: 'unrecorded'; readonly value: Output | undefined; readonly retryAfterMs: number }
  /** Ran without protection. */
  | { readonly status: 'unprotected'; readonly value: Output }
  | { readonly status: 'unavailable'; readonly retryAfterMs: number; readonly reason: string; readonly cause: unknown }

/** Validates by the operation's schema; throws `InvalidInput` with one line an issue, without the values. */
export async function validateInput(operation: OperationDefinition, input: unknown): Promise<unknown> {
  if (operation.input === undefined) return input
  const result = await operation.input['~standard'].validate(input)
  if (result.issues === undefined) return result.value
  const issues = result.issues.map(
    ({ message, path = [] }) => `/${path.map((step) => String(typeof step === 'object' ? step.key : step)).join('/')}: ${message}`,
  )
  throw new InvalidInput(`The input of "${operation.name}" does not fit its schema: ${issues.join('; ')}.`, issues)
}

/** How a function's values are stored: as JSON or bytes, and nothing it returns is a failure. */
export function functionWork<Output, Tx>(run: Work<Output, Tx>['run']): Work<Output, Tx> {
  return { run, encode: encodeValue, encodeRejection: encodeRejectedValue, judge: () => 'complete' }
}

/** A function's call as the engine takes it. */
export function engineCallOf<Input>(
  { principal, actor, key, traceId, authorizeReplay, ...call }: FunctionCall<Input>,
  input: unknown,
): Call {
  const facts: Call['facts'] = { body: call.input === undefined ? { kind: 'none' } : { kind: 'value', value: call.input } }
  return { principal, actor, key, traceId, authorizeReplay, input, facts }
}

/** Runs one function call through the engine; in the caller's own transaction where `tx` is given. */
export async function callFunction<Input, Output, Tx>(
  engine: Engine<Tx>,
  operation: OperationDefinition,
  call: FunctionCall<Input>,
  handler: (context: never) => Promise<Output> | Output,
  within?: { readonly tx: Tx },
): Promise<RunResult<Output>> {
  const input = await validateInput(operation, call.input)
  const work = functionWork<Output, Tx>(async (context, tx, outbox) =>
    (handler as (context: unknown) => Promise<Output> | Output)(
      contextWith(context, operation.bind === 'transaction' ? { input, tx, outbox } : { input }),
    ),
  )
  const engineCall = engineCallOf(call, input)
  return runResult(
    within === undefined
      ? await engine.execute(operation, engineCall, work)
      : await engine.executeWithin(operation, within.tx, engineCall, work),
  )
}

/** Takes the value of one call over from the table of `adopt`, and runs nothing. */
export async function adoptCall<Input, Tx>(
  engine: Engine<Tx>,
  operation: OperationDefinition,
  call: FunctionCall<Input>,
): Promise<AdoptionStep['word']> {
  const input = await validateInput(operation, call.input)
  const work = functionWork<unknown, Tx>((): never => {
    throw new TypeError('an import runs nothing')
  })
  const { word, execution } = await engine.adopt(operation, engineCallOf(call, input), work)
  if (word === 'unavailable' && execution.status === 'unavailable') throw execution.cause
  return word
}

/** What a function's caller is told. */
export function runResult<Output>(execution: Execution<Output>): RunResult<Output> {
  switch (execution.status) {
    case 'done':
      return { status: 'done', value: execution.value, attempt: execution.attempt, ...unsettled(execution) }
    case 'rejected':
      return { status: 'rejected', value: execution.value, replayed: false }
    case 'replayed': {
      const { stored } = execution
      if (stored.codec === codecIds.notStored) return { status: 'not-stored' }
      const value = decodeValue(stored)
      return stored.codec === codecIds.jsonRejection
        ? { status: 'rejected', value, replayed: true }
        : { status: 'replayed', value: value as Output, ...unsettled(execution.summary) }
    }
    case 'in-progress':
      return { status: 'in-progress', retryAfterMs: execution.retryAfterMs }
    case 'uncertain':
    case 'quarantined':
      return { status: execution.status, record: execution.record }
    case 'mismatch':
    case 'expired':
    case 'forbidden':
      return { status: execution.status }
    case 'unrecorded':
      return { status: 'unrecorded', value: execution.answer ? execution.value : undefined, retryAfterMs: execution.retryAfterMs }
    case 'unprotected':
      return { status: 'unprotected', value: execution.value }
    case 'unavailable':
      return { status: 'unavailable', retryAfterMs: execution.retryAfterMs, reason: execution.reason, cause: execution.cause }
    case 'failed':
      throw new TypeError('a function call is never judged failed')
    default:
      return execution satisfies never
  }
}
