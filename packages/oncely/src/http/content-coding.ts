import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, type ZlibOptions } from 'node:zlib'

/** Bytes without their content codings, or why there are none. */
export type Decoded =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly reason: 'unsupported-coding' | 'malformed-coding' | 'too-large' }

type Decoder = (bytes: Uint8Array, options: ZlibOptions) => Promise<Uint8Array>

const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
  ['br', promisify(brotliDecompress)],
])

/** What a server may say in `Accept-Encoding` when it refuses another coding. */
export const acceptedCodings = 'gzip, deflate, br'

/** Codings on top of each other beyond which a body is refused: each layer multiplies the work. */
const codingsMax = 3

/** The codings of `Content-Encoding` lines in the order in which they were applied, without `identity`. */
export function codingsOf(values: readonly string[]): readonly string[] {
  if (values.length === 0) return values
  return values
    .join(',')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
}

/** Undoes content codings (RFC 9110 §8.4), the last one first; refuses what grows beyond `bytesMax`. */
export async function decodeContent(bytes: Uint8Array, codings: readonly string[], bytesMax: number): Promise<Decoded> {
  if (codings.length > codingsMax) return { ok: false, reason: 'unsupported-coding' }
  let decoded = bytes
  for (const coding of codings.toReversed()) {
    const decode = decoders.get(coding)
    if (decode === undefined) return { ok: false, reason: 'unsupported-coding' }
    try {
      decoded = await decode(decoded, { maxOutputLength: Math.max(1, bytesMax) })
    } catch (error) {
      return { ok: false, reason: (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'malformed-coding' }
    }
  }
  return decoded.length > bytesMax ? { ok: false, reason: 'too-large' } : { ok: true, bytes: decoded }
}
