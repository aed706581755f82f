import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import type { CallToolResult, ServerNotification, ServerRequest } from '@modelcontextprotocol/sdk/types.js'
import { Rejection } from '../../core/index.ts'
import type { CallerOptions } from '../../http/index.ts'

/** What the SDK tells a tool about its call: the session, the request's id, the verified token, the signal of a cancellation. */
export type ToolExtra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** A tool as `registerTool` takes it, for tools that have an `inputSchema`. */
export type ToolCallback = (args: Record<string, unknown>, extra: ToolExtra) => Promise<CallToolResult>

/** Options of a tool. */
export interface ToolOptions extends CallerOptions<ToolExtra> {
  /**
   * The argument that carries the key: the model makes one for each intent and repeats it in a retry. It is required then, and no part
   * of the input. Without it the key is made of the session's id and the request's: a request that the transport delivers twice runs
   * once, and a model that calls again runs it again.
   */
  readonly keyArgument?: string
  /** The tool declares an `outputSchema`: clients check the structured content of errors against it too, so problems have none. */
  readonly outputSchema?: boolean
  /** The base of the `type` URIs of problems; ends with a slash. */
  readonly problemBase?: string
}

/** The key of a call, or why there is none. */
export type ToolKey = { readonly kind: 'key'; readonly key: string } | { readonly kind: 'missing' } | { readonly kind: 'malformed' }

export function toolKey(args: Record<string, unknown>, extra: ToolExtra, keyArgument: string | undefined): ToolKey {
  if (keyArgument !== undefined) {
    const key = args[keyArgument]
    if (key === undefined || key === null || key === '') return { kind: 'missing' }
    return typeof key === 'string' ? { kind: 'key', key } : { kind: 'malformed' }
  }
  if (extra.sessionId === undefined) return { kind: 'missing' }
  // The id 1 and the id "1" are two requests.
  return { kind: 'key', key: JSON.stringify([extra.sessionId, extra.requestId]) }
}

/**
 * The answer "no" for good: `throw reject({ content: [{ type: 'text', text: 'Declined.' }] })`. In a transaction the rows are rolled
 * back; the answer is recorded, and replayed as the error that it is.
 */
export function reject(result: CallToolResult): Rejection<CallToolResult> {
  return new Rejection({ ...result, isError: true })
}

/** A recorded value as a result. One that was recorded through another entry point, or by hand, is given as its data. */
export function toolResult(value: unknown): CallToolResult {
  if (typeof value === 'object' && value !== null && Array.isArray((value as { content?: unknown }).content)) return value as CallToolResult
  return { content: value === undefined ? [] : [{ type: 'text', text: JSON.stringify(value) }] }
}
