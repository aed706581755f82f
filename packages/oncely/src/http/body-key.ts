import { checkKey, type FingerprintBody } from '../core/index.ts'
import type { ParsedIdempotencyKey } from './idempotency-key.ts'
import type { HttpRoute } from './route.ts'

/**
 * The key of a request on a route that takes it from a field of its JSON body too. A key in both places must be the same one, by
 * whatever the header's syntax makes of it; a field that is not there leaves the header's answer.
 */
export function keyInBody<Tx>(
  route: HttpRoute<Tx>,
  pointer: string,
  body: FingerprintBody,
  inHeader: ParsedIdempotencyKey,
): ParsedIdempotencyKey {
  const value = body.kind === 'json' ? valueAt(body.bytes, pointer) : undefined
  if (value === undefined || inHeader.kind === 'malformed') return inHeader
  if (typeof value !== 'string') return { kind: 'malformed', reason: 'not-a-string' }
  const check = checkKey(value, route.keyOptions)
  if (check !== 'ok') return { kind: 'malformed', reason: check }
  return inHeader.kind === 'key' && inHeader.key !== value ? { kind: 'malformed', reason: 'repeated' } : { kind: 'key', key: value }
}

const decoder = new TextDecoder()

/** Undefined also for text that is no JSON: the fingerprint refuses that, and a repeated member, for every request alike. */
function valueAt(bytes: Uint8Array, pointer: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(decoder.decode(bytes))
  } catch {
    return undefined
  }
  for (const segment of pointer.slice(1).split('/')) {
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
