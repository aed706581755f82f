import type { anonymous, RecordSummary } from '../core/index.ts'
import { headerValues } from './header-line.ts'

/** Who calls, as the route resolved it; undefined where it could not. */
export type Principal = string | typeof anonymous | undefined

/** A request's body as bytes, or why there are none. */
export type RequestBody =
  /** Every byte as it came over the wire, content encoding included; empty where there is no body. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** More than may be fingerprinted. */
  | { readonly kind: 'too-large'; readonly bytesMax: number }
  /** The client went away before its body was complete. */
  | { readonly kind: 'incomplete' }
  /** Something consumed the body before its bytes were captured. */
  | { readonly kind: 'not-captured'; readonly fix: string }

/** What an adapter tells about one request: the only thing that differs between frameworks on the way in. */
export interface RequestFacts {
  /** In upper case. */
  readonly method: string
  /** The route's pattern, such as `/payments/:id`. */
  readonly route: string
  /** What the pattern's parameters matched. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** The query as it was sent, without its `?`; undefined where there is none. */
  readonly query?: string | undefined
  /** Names and values in turn, one pair a field line, as they arrived (Node's `rawHeaders`). */
  readonly headers: readonly string[]
  /** The key where it is not in a header: the id that a message brings along. */
  readonly key?: string | undefined
  /** Called after the key was accepted; answers the same when it is called again. */
  body(): RequestBody | Promise<RequestBody>
  /** What the framework's parser made of the body; undefined where none ran. */
  readonly parsed?: unknown
  /** Called for a request with a key only. */
  principal(): Principal | Promise<Principal>
  /** Who acts for the principal. */
  actor?(): string | undefined
  /** Default: the one of the `traceparent` field. */
  readonly traceId?: string | undefined
  /** Asked again before every replay; false answers 403. */
  readonly authorizeReplay?: ((record: RecordSummary) => boolean | Promise<boolean>) | undefined
}

/** The trace id of a W3C `traceparent` field, for the audit trail. */
export function traceIdOf(headers: readonly string[]): string | undefined {
  const [line] = headerValues(headers, 'traceparent')
  return line === undefined ? undefined : /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(line)?.[1]
}
