import { type Item, parseItem } from 'structured-headers'
import { checkKey, type Limits } from '../core/index.ts'

/** Why an `Idempotency-Key` field is refused with 400. */
export type MalformedKey =
  /** More than one field line. */
  | 'repeated'
  /** Not an RFC 9651 item; a list. */
  | 'syntax'
  /** An item with parameters. */
  | 'parameters'
  /** An item of another type than String. */
  | 'not-a-string'
  | Exclude<ReturnType<typeof checkKey>, 'ok'>

export type ParsedIdempotencyKey =
  | { readonly kind: 'absent' }
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'malformed'; readonly reason: MalformedKey }

export interface IdempotencyKeyOptions extends Pick<Limits, 'keyBytesMin' | 'keyBytesMax'> {
  /** `strict` takes the quoted form of the draft only; `lenient` takes a bare value too, which most clients send. */
  readonly syntax: 'lenient' | 'strict'
}

/**
 * Visible ASCII without quotes, comma and semicolon, which would be a string, a list or parameters; and not beginning with the
 * mark of a byte sequence, boolean, date, display string or inner list. White space around it belongs to the field line.
 */
const BARE_KEY = /^[ \t]*((?![:?@%(])[!#-&(-+\--:<-~]+)[ \t]*$/

/**
 * Reads the key from the lines of the `Idempotency-Key` field, each line by itself: a server that joins repeated lines turns
 * two keys into one list. In lenient syntax `abc` and `"abc"` are the same key.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header-07 §2.1, RFC 9651 §4.2.
 */
export function parseIdempotencyKey(lines: readonly string[], options: IdempotencyKeyOptions): ParsedIdempotencyKey {
  const [line, ...others] = lines
  if (line === undefined) return { kind: 'absent' }
  if (others.length > 0) return malformed('repeated')
  if (/^[ \t]*$/.test(line)) return malformed('empty')
  const bare = options.syntax === 'lenient' ? BARE_KEY.exec(line)?.[1] : undefined
  const item = bare === undefined ? readItem(line) : { key: bare }
  if ('reason' in item) return malformed(item.reason)
  const check = checkKey(item.key, options)
  return check === 'ok' ? { kind: 'key', key: item.key } : malformed(check)
}

function readItem(line: string): { key: string } | { reason: MalformedKey } {
  let item: Item
  try {
    item = parseItem(line)
  } catch {
    // The parser has several classes for what a client may write; all of them mean that the line is no item.
    return { reason: 'syntax' }
  }
  const [value, parameters] = item
  if (typeof value !== 'string') return { reason: 'not-a-string' }
  return parameters.size > 0 ? { reason: 'parameters' } : { key: value }
}

function malformed(reason: MalformedKey): ParsedIdempotencyKey {
  return { kind: 'malformed', reason }
}
