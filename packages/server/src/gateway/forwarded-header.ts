import { headerValues } from 'oncely/http'

/** Fields of one connection: they end at each hop (RFC 9110 §7.6.1). `Expect` is answered by the gateway itself. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** What the gateway tells the upstream about an attempt. A client that sends one of them is not believed. */
const scopePrefix = 'oncely-'

/** CGI and its heirs (WSGI, Rack, PHP) read `Oncely_Key` and `Oncely-Key` as one variable (RFC 3875 §4.1.18). */
function isScope(name: string): boolean {
  return name.replaceAll('_', '-').startsWith(scopePrefix)
}

/** Fields that a client must not have removed by naming them in `Connection`. */
const endToEnd: ReadonlySet<string> = new Set([
  'authorization',
  'content-length',
  'content-type',
  'cookie',
  'host',
  'idempotency-key',
  'via',
])

/** The names that a message's `Connection` fields declare to be of this hop. */
function connectionNames(headers: readonly string[]): ReadonlySet<string> {
  return new Set(headerValues(headers, 'connection').flatMap((value) => value.split(',').map((name) => name.trim().toLowerCase())))
}

/** The field that a client tries to have removed although the upstream or the gateway decides on it. */
export function strippedEndToEnd(headers: readonly string[], caller: readonly string[]): string | undefined {
  return [...connectionNames(headers)].find((name) => endToEnd.has(name) || caller.includes(name) || name.startsWith('x-forwarded-'))
}

/** A request's end-to-end lines, names and values in turn, without what the gateway sets itself. */
export function requestLines(headers: readonly string[], keepLength: boolean): string[] {
  const named = connectionNames(headers)
  const lines: string[] = []
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase()
    if (hopByHop.has(name) || named.has(name) || name === 'host' || name === 'via' || isScope(name)) continue
    if (name === 'content-length' && !keepLength) continue
    if (name === 'x-forwarded-for' || name === 'x-forwarded-host' || name === 'x-forwarded-proto') continue
    lines.push(headers[at] as string, headers[at + 1] as string)
  }
  return lines
}

/** A response's end-to-end lines in lower case. `layer` also drops the words that only the gateway may say. */
export function responseLines(headers: readonly string[], layer: boolean): (readonly [string, string])[] {
  const named = connectionNames(headers)
  const lines: (readonly [string, string])[] = []
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase()
    if (hopByHop.has(name) || named.has(name) || isScope(name)) continue
    if (layer && (name === 'content-length' || name === 'idempotent-replayed' || name.startsWith('idempotency-'))) continue
    lines.push([name, headers[at + 1] as string])
  }
  return lines
}
