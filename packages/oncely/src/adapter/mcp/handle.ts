import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import {
  type Bind,
  ConfigurationError,
  Draining,
  type FunctionCall,
  fromHex,
  type HandlerContext,
  InvalidInput,
  KeyInvalid,
  keyHint,
  type Operation,
  PrincipalMissing,
  type RunResult,
} from '../../core/index.ts'
import { callerFacts, defaultProblemBase } from '../../http/index.ts'
import { type ToolCallback, type ToolExtra, type ToolOptions, toolKey, toolResult } from './tool-call.ts'
import { problemResult, type ToolProblemOptions } from './tool-problem.ts'

/**
 * A tool of a Model Context Protocol server that runs its handler once for each key. The result is stored before it is sent; a replay
 * is the same result with `_meta['oncely.dev/replayed']`. What the layer answers itself is a result with `isError`, and says whether
 * a repeat can help and under which key.
 *
 * Errors that the handler throws are thrown on after the record is settled: the SDK makes error results of them. So does a tool that
 * is set up wrong (`PrincipalMissing`).
 *
 * @example server.registerTool('create-payment', { inputSchema: { idempotency_key: z.string(), amount: z.number() } }, handle(createPayment, { principal: (extra) => extra.authInfo?.clientId, keyArgument: 'idempotency_key' }, async ({ tx, input }) => ({ content: [], structuredContent: await insertPayment(tx, input) })))
 * @throws ConfigurationError for options that cannot work.
 */
export function handle<Input, Output, Tx, B extends Bind>(
  operation: Operation<Input, Output, Tx, B>,
  options: ToolOptions,
  handler: (context: HandlerContext<Input, Tx, B>, extra: ToolExtra) => Promise<CallToolResult> | CallToolResult,
): ToolCallback {
  const { name } = operation.definition
  const { problemBase = defaultProblemBase, keyArgument } = options
  if (!/^https?:\/\/.+\/$/.test(problemBase)) {
    throw new ConfigurationError(
      `Tool of "${name}": problemBase is ${JSON.stringify(problemBase)}; it must be an absolute URL that ends with a slash.`,
    )
  }
  const problems: ToolProblemOptions = { problemBase, structured: options.outputSchema !== true }
  return async (args, extra) => {
    const key = toolKey(args, extra, keyArgument)
    if (key.kind === 'missing') return problemResult('key-missing', problems, { detail: howToSend(keyArgument) })
    if (key.kind === 'malformed') return problemResult('key-malformed', problems, { reason: 'not-a-string' })
    const caller = callerFacts(options, extra)
    const principal = await caller.principal()
    if (principal === undefined || principal === '') throw new PrincipalMissing(name)
    const actor = caller.actor?.()
    const { authorizeReplay } = caller
    const call: FunctionCall<Input> = {
      principal,
      key: key.key,
      input: inputOf(args, keyArgument) as Input,
      ...(actor === undefined ? {} : { actor }),
      ...(authorizeReplay === undefined ? {} : { authorizeReplay }),
    }
    let entered = false
    try {
      const result = await (operation as Operation<Input, unknown, Tx, B>).run(call, async (context) => {
        entered = true
        return handler(context, extra)
      })
      return resultOf(result, problems, hintOf(operation))
    } catch (error) {
      if (entered) throw error
      if (error instanceof InvalidInput) return problemResult('input-invalid', problems, { issues: error.issues })
      if (error instanceof KeyInvalid) return problemResult('key-malformed', problems, { detail: error.message })
      if (error instanceof Draining) return problemResult('unavailable', problems, { reason: 'draining', retry_after_ms: 1_000 })
      throw error
    }
  }
}

/** The result for each word of a call. */
function resultOf(run: RunResult<unknown>, problems: ToolProblemOptions, hint: (record: string) => string): CallToolResult {
  switch (run.status) {
    case 'done':
    case 'unprotected':
      return toolResult(run.value)
    case 'replayed':
      return replayed(toolResult(run.value))
    case 'rejected':
      return refused(run.replayed ? replayed(toolResult(run.value)) : toolResult(run.value))
    case 'unrecorded':
      return run.value === undefined ? problemResult('unrecorded', problems, { retry_after_ms: run.retryAfterMs }) : toolResult(run.value)
    case 'in-progress':
      return problemResult('in-progress', problems, { retry_after_ms: run.retryAfterMs, operation_state: 'running' })
    case 'unavailable':
      if (run.reason === 'over-budget') return problemResult('over-budget', problems, { retry_after_ms: run.retryAfterMs })
      return problemResult('unavailable', problems, { retry_after_ms: run.retryAfterMs, reason: run.reason })
    case 'uncertain':
    case 'quarantined':
      return problemResult(run.status, problems, { operation_state: run.status, record: hint(run.record) })
    case 'not-stored':
      return problemResult('result-not-stored', problems, { operation_state: 'completed' })
    case 'forbidden':
      return problemResult('replay-forbidden', problems)
    case 'mismatch':
    case 'expired':
      return problemResult(run.status, problems)
    default:
      return run satisfies never
  }
}

function refused(result: CallToolResult): CallToolResult {
  return { ...result, isError: true }
}

function replayed(result: CallToolResult): CallToolResult {
  return { ...result, _meta: { ...result._meta, 'oncely.dev/replayed': true } }
}

/** The arguments without the key, which is no part of what is asked for. */
function inputOf(args: Record<string, unknown>, keyArgument: string | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(args).filter(([name]) => name !== keyArgument))
}

function hintOf({ engine }: Pick<Operation<unknown, unknown, unknown, Bind>, 'engine'>): (record: string) => string {
  const { hasher, secrets } = engine.parts
  return (record) => keyHint(hasher, secrets[0]?.key, fromHex(record))
}

function howToSend(keyArgument: string | undefined): string {
  return keyArgument === undefined
    ? 'The transport has no sessions, and the tool declares no argument for a key. Nothing ran.'
    : `Give the argument "${keyArgument}": one new key for each intent, the same key on each retry of it. Nothing ran.`
}
