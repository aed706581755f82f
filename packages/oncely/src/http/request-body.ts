import type { FingerprintBody } from '../core/index.ts'
import { codingsOf, decodeContent } from './content-coding.ts'
import { headerValues } from './header-line.ts'

/** A body as the fingerprint takes it, or why the request is refused. */
export type ReadBody = { readonly ok: true; readonly body: FingerprintBody } | { readonly ok: false; readonly reason: UnreadableReason }

export type UnreadableReason = 'unsupported-coding' | 'malformed-coding' | 'too-large'

/**
 * What a body counts as: JSON by its members (`application/json`, `…+json`), `multipart/*` by its parts, anything else by its
 * bytes. Content codings are undone first, so that a compressed and a plain retry are the same request; an unknown coding is
 * refused, because its bytes would never match. `bytesMax` bounds the decoded body too.
 */
export function readRequestBody(bytes: Uint8Array, headers: readonly string[], bytesMax: number): ReadBody | Promise<ReadBody> {
  if (bytes.length === 0) return noBody
  if (bytes.length > bytesMax) return { ok: false, reason: 'too-large' }
  const [contentType = ''] = headerValues(headers, 'content-type')
  const codings = codingsOf(headerValues(headers, 'content-encoding'))
  if (codings.length === 0) return { ok: true, body: asBody(bytes, contentType) }
  return decodeContent(bytes, codings, bytesMax).then((decoded) =>
    decoded.ok ? { ok: true, body: asBody(decoded.bytes, contentType) } : decoded,
  )
}

const noBody: ReadBody = { ok: true, body: { kind: 'none' } }

function asBody(bytes: Uint8Array, contentType: string): FingerprintBody {
  const kind = kindOf(contentType)
  return kind === 'multipart' ? { kind, bytes, boundary: boundaryOf(contentType) } : { kind, bytes }
}

type Kind = 'json' | 'multipart' | 'bytes'

/** Clients send few content types and many requests. Bounded, as a client chooses what is in it. */
const kinds = new Map<string, Kind>()
const kindsMax = 100

function kindOf(contentType: string): Kind {
  const known = kinds.get(contentType)
  if (known !== undefined) return known
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  // Each multipart body has a boundary of its own: remembering it would only push the others out.
  if (mediaType.startsWith('multipart/')) return 'multipart'
  const kind = mediaType === 'application/json' || mediaType.endsWith('+json') ? 'json' : 'bytes'
  if (kinds.size >= kindsMax) kinds.clear()
  if (contentType.length <= 100) kinds.set(contentType, kind)
  return kind
}

/** RFC 2045 §5.1; empty where there is none, which the fingerprint refuses. */
function boundaryOf(contentType: string): string {
  const match = /;\s*boundary=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/i.exec(contentType)
  return match?.[1]?.replaceAll(/\\(.)/g, '$1') ?? match?.[2] ?? ''
}
