import { Rejection, ValueNotStorable } from '../core/index.ts'
import type { HeaderLine } from './header-line.ts'

/** A whole response: what is sent, stored and replayed. Made by `reply`. */
export interface HttpResponse {
  readonly status: number
  /** Names in lower case; one pair a line, so that several lines of one field stay several. */
  readonly headers: readonly HeaderLine[]
  readonly body: Uint8Array
}

/** The headers of a reply; an array makes one line of each element. */
export type ReplyHeaders = Readonly<Record<string, string | number | readonly string[] | undefined>>

const encoder = new TextEncoder()
const empty = new Uint8Array(0)

/**
 * The answer of a handler. A string is sent as `text/plain`, bytes as `application/octet-stream`, undefined as an empty body,
 * anything else as JSON; a `content-type` among the headers wins. The bytes are made here, once: the replay sends the same.
 *
 * @throws RangeError for a status that is none, a header that cannot be sent; ValueNotStorable for a body that JSON cannot carry.
 */
export function reply(status: number, body?: unknown, headers?: ReplyHeaders): HttpResponse {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`reply: status ${String(status)} is not a final HTTP status; use a whole number from 200 to 599.`)
  }
  const lines: HeaderLine[] = []
  const bodiless = body === undefined || status === 204 || status === 304
  const [bytes, type] = bodiless ? [empty, undefined] : bodyOf(body)
  let typed = type === undefined
  if (headers !== undefined) {
    for (const [name, value] of Object.entries(headers)) {
      if (value === undefined) continue
      const lower = name.toLowerCase()
      typed ||= lower === 'content-type'
      if (typeof value === 'object') for (const line of value) lines.push(checkedLine(lower, line))
      else lines.push(checkedLine(lower, String(value)))
    }
  }
  if (!typed) lines.push(['content-type', type as string])
  return { status, headers: lines, body: bytes }
}

/**
 * The answer "no" for good: `throw reject(402, { code: 'declined' })`. In a transaction the rows are rolled back; the answer is
 * recorded and replayed. A status that is no outcome (5xx, 401, 429 and their like) is answered and recorded nowhere.
 */
export function reject(status: number, body?: unknown, headers?: ReplyHeaders): Rejection<HttpResponse> {
  return new Rejection(reply(status, body, headers))
}

/** Whether a value is a response. */
export function isHttpResponse(value: unknown): value is HttpResponse {
  if (typeof value !== 'object' || value === null) return false
  const { status, headers, body } = value as Partial<HttpResponse>
  return typeof status === 'number' && Array.isArray(headers) && body instanceof Uint8Array
}

function bodyOf(body: unknown): readonly [bytes: Uint8Array, type: string] {
  if (typeof body === 'string') return [encoder.encode(body), 'text/plain; charset=utf-8']
  if (body instanceof Uint8Array) return [body, 'application/octet-stream']
  const json = JSON.stringify(body) as string | undefined
  if (json === undefined) throw new ValueNotStorable(`reply: a ${typeof body} has no JSON form; pass data, a string, bytes or nothing.`)
  return [encoder.encode(json), 'application/json; charset=utf-8']
}

/** RFC 9110 §5.5 and §5.6.2. Found out before the answer is stored: what cannot be sent must not be replayed for a day. */
function checkedLine(name: string, value: string): HeaderLine {
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) throw new RangeError(`reply: ${JSON.stringify(name)} is not a header name.`)
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
    throw new RangeError(`reply: the value of ${name} has a character that no header can carry; encode it (a URL with encodeURI).`)
  }
  return [name, value]
}
