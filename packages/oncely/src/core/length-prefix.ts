import { isWellFormed } from './utf8.ts'

/** A component of an identity: bytes, text, a list of components, or nothing (which differs from empty). */
export type IdentityPart = Uint8Array | string | undefined | readonly IdentityPart[]

const ABSENT = 0
const BYTES = 1
/** Text with a lone surrogate, as UTF-16 code units: UTF-8 would make U+FFFD of it, and two texts would become one. */
const ILL_FORMED_TEXT = 2
const LIST = 3
/** The kind byte and four bytes of length. */
const PREFIX_BYTES = 5
const encoder = new TextEncoder()

/**
 * One byte string for a list of components, so that no two lists share one: each component is a kind byte, its length in four
 * bytes (for a list: its count) and its content. Text counts as its UTF-8 bytes. A delimiter would let `a|b` + `c` meet `a` + `b|c`.
 */
export function lengthPrefixed(parts: readonly IdentityPart[]): Uint8Array {
  const bytes = new Uint8Array(bytesMax(parts))
  return bytes.subarray(0, write(parts, bytes, 0))
}

function bytesMax(part: IdentityPart): number {
  if (part === undefined) return PREFIX_BYTES
  if (typeof part === 'string') return PREFIX_BYTES + 3 * part.length
  if (part instanceof Uint8Array) return PREFIX_BYTES + part.length
  let sum = PREFIX_BYTES
  for (const inner of part) sum += bytesMax(inner)
  return sum
}

/** Returns the place after what it wrote. */
function write(part: IdentityPart, bytes: Uint8Array, at: number): number {
  const contentAt = at + PREFIX_BYTES
  if (part === undefined) return writePrefix(bytes, at, ABSENT, 0)
  if (typeof part === 'string') return writeText(part, bytes, at)
  if (part instanceof Uint8Array) {
    bytes.set(part, contentAt)
    return writePrefix(bytes, at, BYTES, part.length) + part.length
  }
  let end = writePrefix(bytes, at, LIST, part.length)
  for (const inner of part) end = write(inner, bytes, end)
  return end
}

function writePrefix(bytes: Uint8Array, at: number, kind: number, length: number): number {
  bytes[at] = kind
  bytes[at + 1] = length >>> 24
  bytes[at + 2] = length >>> 16
  bytes[at + 3] = length >>> 8
  bytes[at + 4] = length
  return at + PREFIX_BYTES
}

function writeText(text: string, bytes: Uint8Array, at: number): number {
  const contentAt = at + PREFIX_BYTES
  // Names, ids and methods are ASCII and short: a loop beats the encoder's call.
  for (let nth = 0; nth < text.length; nth++) {
    const unit = text.charCodeAt(nth)
    if (unit > 0x7f) return isWellFormed(text) ? writeEncoded(text, bytes, at) : writeCodeUnits(text, bytes, at)
    bytes[contentAt + nth] = unit
  }
  return writePrefix(bytes, at, BYTES, text.length) + text.length
}

function writeEncoded(text: string, bytes: Uint8Array, at: number): number {
  const { written } = encoder.encodeInto(text, bytes.subarray(at + PREFIX_BYTES))
  return writePrefix(bytes, at, BYTES, written) + written
}

function writeCodeUnits(text: string, bytes: Uint8Array, at: number): number {
  let end = writePrefix(bytes, at, ILL_FORMED_TEXT, 2 * text.length)
  for (let nth = 0; nth < text.length; nth++) {
    bytes[end++] = text.charCodeAt(nth) >>> 8
    bytes[end++] = text.charCodeAt(nth)
  }
  return end
}
