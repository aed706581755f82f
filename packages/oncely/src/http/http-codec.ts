import { codecIds, type EncodedValue, OutcomeCorrupt, ValueNotStorable } from '../core/index.ts'
import { firstValue, type HeaderLine } from './header-line.ts'
import type { HttpResponse } from './response.ts'

// The frame of a stored response, all numbers big-endian:
//
//   version (1 byte: 1) │ status (2) │ lines (2) │ { name length (2) │ value length (4) │ name │ value } × lines │ body length (4) │ body
//
// Names and values are ISO 8859-1, one byte a character, as no header can carry more (RFC 9110 §5.5). Stored for years: a new
// layout gets a new version, and this one stays readable.

const VERSION = 1
const HEAD_BYTES = 5
const LINE_BYTES = 6
const BODY_LENGTH_BYTES = 4

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A response as it is stored. */
export function encodeResponse(response: HttpResponse): EncodedValue {
  return { codec: codecIds.http, bytes: frame(response) }
}

/**
 * The stored response, line by line and byte by byte. Its body is a view of `bytes`.
 *
 * @throws OutcomeCorrupt when the bytes are no frame of a version this library reads.
 */
export function decodeResponse(bytes: Uint8Array): { status: number; headers: HeaderLine[]; body: Uint8Array } {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (frame.length < HEAD_BYTES || frame[0] !== VERSION)
    throw unreadable(bytes, bytes.length === 0 ? 'it is empty' : `its version is ${bytes[0]}`)
  const status = frame.readUInt16BE(1)
  const count = frame.readUInt16BE(3)
  const headers: HeaderLine[] = []
  let at = HEAD_BYTES
  for (let nth = 0; nth < count; nth++) {
    if (at + LINE_BYTES > frame.length) throw unreadable(bytes, 'it ends inside its headers')
    const nameEnd = at + LINE_BYTES + frame.readUInt16BE(at)
    const valueEnd = nameEnd + frame.readUInt32BE(at + 2)
    if (valueEnd > frame.length) throw unreadable(bytes, 'it ends inside its headers')
    headers.push([frame.toString('latin1', at + LINE_BYTES, nameEnd), frame.toString('latin1', nameEnd, valueEnd)])
    at = valueEnd
  }
  const bodyAt = at + BODY_LENGTH_BYTES
  if (bodyAt > frame.length || bodyAt + frame.readUInt32BE(at) !== frame.length)
    throw unreadable(bytes, 'its body has another length than it says')
  return { status, headers, body: bytes.subarray(bodyAt) }
}

/** Why a response was not stored: what a retry is told instead of it. */
export type NotStoredReason = 'oversize' | 'stream' | 'no-store'

export interface NotStored {
  readonly reason: string
  /** The status of the first answer; 0 where it is not known. */
  readonly status: number
  /** Where the first answer pointed with its `Location`. */
  readonly resource: string | undefined
}

/** The fact that a response was given and not stored, with the pointer to what it made. */
export function encodeNotStored(reason: NotStoredReason, response: Pick<HttpResponse, 'status' | 'headers'>): EncodedValue {
  const resource = firstValue(response.headers, 'location')
  const headers: HeaderLine[] = resource === undefined ? [] : [['location', resource]]
  return { codec: codecIds.httpNotStored, bytes: frame({ status: response.status, headers, body: encoder.encode(reason) }) }
}

/** Reads what `encodeNotStored` made, or the bare reason that an operation stores whatever its entry point. */
export function decodeNotStored(stored: EncodedValue): NotStored {
  if (stored.codec === codecIds.notStored) return { reason: decoder.decode(stored.bytes), status: 0, resource: undefined }
  const { status, headers, body } = decodeResponse(stored.bytes)
  return { reason: decoder.decode(body), status, resource: firstValue(headers, 'location') }
}

function frame({ status, headers, body }: HttpResponse): Uint8Array {
  const size = headers.reduce(
    (sum, [name, value]) => sum + LINE_BYTES + name.length + value.length,
    HEAD_BYTES + BODY_LENGTH_BYTES + body.length,
  )
  // Not from the pool: it lives as long as its record is remembered, and would keep its whole neighbourhood.
  const bytes = Buffer.alloc(size)
  bytes[0] = VERSION
  bytes.writeUInt16BE(status, 1)
  bytes.writeUInt16BE(headers.length, 3)
  let at = HEAD_BYTES
  for (const [name, value] of headers) {
    if (beyondLatin1.test(value))
      throw new ValueNotStorable(`The header ${name} has a character that no header can carry; encode it (a URL with encodeURI).`)
    bytes.writeUInt16BE(name.length, at)
    bytes.writeUInt32BE(value.length, at + 2)
    bytes.write(name, at + LINE_BYTES, 'latin1')
    bytes.write(value, at + LINE_BYTES + name.length, 'latin1')
    at += LINE_BYTES + name.length + value.length
  }
  bytes.writeUInt32BE(body.length, at)
  bytes.set(body, at + BODY_LENGTH_BYTES)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

const beyondLatin1 = /[\u0100-\uffff]/

function unreadable(bytes: Uint8Array, why: string): OutcomeCorrupt {
  return new OutcomeCorrupt(
    `The stored response (${bytes.length} bytes) cannot be read: ${why}. Restore it, or resolve the record by hand.`,
  )
}
