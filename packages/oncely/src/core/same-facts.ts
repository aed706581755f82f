import type { Call } from './attempt.ts'
import type { FingerprintBody } from './fingerprint.ts'
import { sameBytes } from './outcome.ts'

/** True when both calls say the same, byte for byte. False where that is not cheap to see: then their digests are compared. */
export function sameFacts(a: Call['facts'], b: Call['facts']): boolean {
  return (
    a.method === b.method &&
    a.route === b.route &&
    a.query === b.query &&
    sameParameters(a.parameters, b.parameters) &&
    sameHeaders(a.headers, b.headers) &&
    sameBody(a.body, b.body)
  )
}

function sameParameters(a: Call['facts']['parameters'], b: Call['facts']['parameters']): boolean {
  if (a === undefined || b === undefined) return a === b
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && a[name] === b[name])
}

function sameHeaders(a: Call['facts']['headers'], b: Call['facts']['headers']): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.length === b.length && a.every(([name, value], at) => b[at]?.[0] === name && b[at]?.[1] === value)
}

function sameBody(a: FingerprintBody, b: FingerprintBody): boolean {
  switch (a.kind) {
    case 'none':
      return b.kind === 'none'
    case 'json':
    case 'bytes':
      return b.kind === a.kind && sameBytes(a.bytes, b.bytes)
    // A boundary differs with each attempt, and a value has no bytes yet.
    case 'multipart':
    case 'value':
      return false
    default:
      return a satisfies never
  }
}

/** The facts with bytes of their own: whoever handed the body in may write over it later. */
export function keptFacts(facts: Call['facts']): Call['facts'] {
  const { body } = facts
  return 'bytes' in body ? { ...facts, body: { ...body, bytes: new Uint8Array(body.bytes) } } : facts
}

/** The memory that a call's facts hold, roughly. */
export function bytesOfFacts({ body }: Call['facts']): number {
  return 'bytes' in body ? body.bytes.length : 0
}
