/** Parts of one body beyond which it is refused. */
export const MULTIPART_PARTS_MAX = 1_000
/** Bytes of one part's header block beyond which the body is refused. */
export const MULTIPART_HEADER_BYTES_MAX = 16_384
/** RFC 2046 §5.1.1. */
const BOUNDARY_LENGTH_MAX = 70

/** Why a body does not read as `multipart/*`. */
export type MultipartRefusal =
  /** The boundary is empty, longer than 70 characters or not made of the characters that RFC 2046 allows. */
  | 'multipart-boundary'
  /** A delimiter is missing or followed by something else than a line end, or a header line has no colon. */
  | 'multipart-syntax'
  /** More than 1,000 parts, or more than 16 KiB of headers in one. */
  | 'multipart-limit'

export interface MultipartPart {
  /** Names in lower case; values as written, one character a byte, without white space around them. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** A view of the body. */
  readonly content: Uint8Array
}

export type Multipart =
  | { readonly ok: true; readonly parts: readonly MultipartPart[] }
  | { readonly ok: false; readonly reason: MultipartRefusal; readonly offset: number }

const CR = 0x0d
const LF = 0x0a
const DASH = 0x2d
const SPACE = 0x20
const TAB = 0x09
const LINE_END = Uint8Array.of(CR, LF)
const NOWHERE = -1

/**
 * The parts of a `multipart/*` body in their order (RFC 2046 §5.1, RFC 7578). What stands before the first and after the last
 * delimiter is no part. Strict about line ends and delimiters: a body that two parsers could read differently is refused.
 */
export function readMultipart(body: Uint8Array, boundary: string): Multipart {
  if (!isBoundary(boundary)) return { ok: false, reason: 'multipart-boundary', offset: 0 }
  const delimiter = Uint8Array.from(`\r\n--${boundary}`, (character) => character.charCodeAt(0))
  const parts: MultipartPart[] = []
  // The first delimiter may open the body, without the line end that belongs to every other one.
  let lineAt = startsWith(body, delimiter.subarray(2), 0) ? 0 : afterLineEnd(indexOf(body, delimiter, 0))
  for (;;) {
    if (lineAt === NOWHERE) return { ok: false, reason: 'multipart-syntax', offset: body.length }
    const afterDelimiter = lineAt + delimiter.length - 2
    if (body[afterDelimiter] === DASH && body[afterDelimiter + 1] === DASH) return { ok: true, parts }
    let headersAt = afterDelimiter
    while (isBlank(body[headersAt])) headersAt++
    if (!startsWith(body, LINE_END, headersAt)) return { ok: false, reason: 'multipart-syntax', offset: headersAt }
    if (parts.length === MULTIPART_PARTS_MAX) return { ok: false, reason: 'multipart-limit', offset: lineAt }

    const head = readHeaders(body, headersAt + 2)
    if (!head.ok) return head
    // From the line end before the content: it is the delimiter's own where a part has headers only.
    lineAt = afterLineEnd(indexOf(body, delimiter, head.contentAt - 2))
    parts.push({ headers: head.headers, content: body.subarray(head.contentAt, Math.max(head.contentAt, lineAt - 2)) })
  }
}

type Head =
  | { readonly ok: true; readonly headers: MultipartPart['headers']; readonly contentAt: number }
  | { readonly ok: false; readonly reason: MultipartRefusal; readonly offset: number }

function readHeaders(body: Uint8Array, headersAt: number): Head {
  const headers: [string, string][] = []
  let at = headersAt
  for (;;) {
    const end = indexOf(body, LINE_END, at)
    if (end === NOWHERE) return { ok: false, reason: 'multipart-syntax', offset: at }
    if (end - headersAt > MULTIPART_HEADER_BYTES_MAX) return { ok: false, reason: 'multipart-limit', offset: headersAt }
    if (end === at) return { ok: true, headers, contentAt: end + 2 }
    const header = readHeader(body.subarray(at, end))
    if (!header) return { ok: false, reason: 'multipart-syntax', offset: at }
    headers.push(header)
    at = end + 2
  }
}

function readHeader(line: Uint8Array): [string, string] | undefined {
  const colonAt = line.indexOf(0x3a)
  const name = characters(line.subarray(0, Math.max(0, colonAt)))
  // Only token characters: refuses folded lines too, which begin with white space.
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return undefined
  let from = colonAt + 1
  let to = line.length
  while (isBlank(line[from])) from++
  while (to > from && isBlank(line[to - 1])) to--
  const value = line.subarray(from, to)
  if (value.includes(CR) || value.includes(LF) || value.includes(0)) return undefined
  return [name.toLowerCase(), characters(value)]
}

function isBoundary(boundary: string): boolean {
  return boundary.length <= BOUNDARY_LENGTH_MAX && /^[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]$/.test(boundary)
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB
}

/** One character a byte, so that no byte is lost whatever the encoding. */
function characters(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

function afterLineEnd(at: number): number {
  return at === NOWHERE ? NOWHERE : at + 2
}

function startsWith(bytes: Uint8Array, beginning: Uint8Array, at: number): boolean {
  for (let nth = 0; nth < beginning.length; nth++) if (bytes[at + nth] !== beginning[nth]) return false
  return true
}

function indexOf(bytes: Uint8Array, sought: Uint8Array, from: number): number {
  let at = bytes.indexOf(sought[0] as number, from)
  while (at !== NOWHERE && !startsWith(bytes, sought, at)) at = bytes.indexOf(sought[0] as number, at + 1)
  return at
}
