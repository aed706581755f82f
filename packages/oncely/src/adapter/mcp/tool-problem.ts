import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { problemKinds } from '../../http/index.ts'

/** The problems that a tool call can have: names of the HTTP contract, so that a client knows them from anywhere. */
type ToolProblemName = Exclude<keyof typeof problemKinds, 'body-malformed' | 'body-too-large' | 'coding-unsupported'>

/** Why a call was not answered by its handler, in the result's structured content and in `_meta['oncely.dev/problem']`. */
export interface ToolProblem {
  readonly type: string
  readonly title: string
  readonly detail: string
  /** The same call can succeed later without a change. */
  readonly retryable: boolean
  /** A repeat must carry the same key. */
  readonly same_key: boolean
  /** A new key cannot make the effect happen twice. */
  readonly safe_new_key: boolean
  readonly retry_after_ms?: number | undefined
  readonly operation_state?: string | undefined
  readonly reason?: string | undefined
  readonly issues?: readonly string[] | undefined
  /** A short keyed hash that names the record in logs. */
  readonly record?: string | undefined
}

/** What one occurrence adds to its kind. */
export interface ToolProblemFacts extends Pick<ToolProblem, 'retry_after_ms' | 'operation_state' | 'reason' | 'issues' | 'record'> {
  readonly detail?: string
}

/** Where the words of the HTTP contract speak of header fields. */
const details: Partial<Record<ToolProblemName, string>> = {
  'key-malformed': 'Give the key as one short string, such as "8e03978e-40d5-43e8-bc93-6894a57f9324".',
  'in-progress': 'Repeat the same call with the same key after retry_after_ms.',
  'over-budget': 'Too many new keys. Nothing ran. Repeat the same call with the same key after retry_after_ms.',
  unrecorded: 'The call may have taken effect. Repeat it with the same key after retry_after_ms; a new key could make it happen twice.',
  unavailable: 'Nothing ran. Repeat the same call with the same key after retry_after_ms.',
}

export interface ToolProblemOptions {
  readonly problemBase: string
  readonly structured: boolean
}

/** A problem as the result of a tool: for the model as text, for programs as data. */
export function problemResult(
  name: ToolProblemName,
  { problemBase, structured }: ToolProblemOptions,
  facts: ToolProblemFacts = {},
): CallToolResult {
  const { title, detail, retryable, sameKey, safeNewKey } = problemKinds[name]
  const problem = {
    type: problemBase + name,
    title,
    detail: details[name] ?? detail,
    retryable,
    same_key: sameKey,
    safe_new_key: safeNewKey,
    ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)),
  } satisfies ToolProblem
  return {
    content: [{ type: 'text', text: JSON.stringify(problem) }],
    ...(structured ? { structuredContent: problem } : {}),
    isError: true,
    _meta: { 'oncely.dev/problem': problem },
  }
}
