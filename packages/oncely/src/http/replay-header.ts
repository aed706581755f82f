import { ConfigurationError } from '../core/index.ts'
import type { HeaderLine } from './header-line.ts'

/**
 * Response headers that are stored with an outcome and come back with its replay. The first response carries everything that
 * its handler set; this list is about the stored frame.
 */
export const replayedHeaders: readonly string[] = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'etag',
  'last-modified',
  'link',
  'location',
  'vary',
]

/** Credentials and challenges: storing them would hand one caller's secret to whoever replays. */
const secretHeader = /^(set-cookie2?|authorization|authentication-info|www-authenticate|proxy-.*)$|token|secret/

/** Belong to one connection, one message or one moment; each response gets its own (RFC 9110 §7.6.1, RFC 9112 §6). */
const freshHeader =
  /^(connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-length|date|age|(x-)?(request|correlation|trace)-?id|traceparent|tracestate|server-timing|(x-)?ratelimit(-.*)?|retry-after|idempotent-replayed|idempotency-.*)$/

/**
 * The names that a route stores: the list above and the route's own.
 *
 * @throws ConfigurationError when the route names a header that must never be stored, or that each response makes anew.
 */
export function storedHeaderNames(own: readonly string[] = []): ReadonlySet<string> {
  const names = own.map((name) => name.toLowerCase())
  for (const name of names) {
    if (secretHeader.test(name))
      throw new ConfigurationError(`replayHeaders names "${name}", which can carry a credential and is never stored. Remove it.`)
    if (freshHeader.test(name))
      throw new ConfigurationError(
        `replayHeaders names "${name}", which belongs to one message and is made anew for each response. Remove it.`,
      )
  }
  return new Set([...replayedHeaders, ...names])
}

/** The lines that are stored, in their order. Names are in lower case. */
export function storedHeaders(lines: readonly HeaderLine[], names: ReadonlySet<string>): readonly HeaderLine[] {
  return lines.filter(([name]) => names.has(name))
}
