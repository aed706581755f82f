import type { ClaimRequest } from '../../core/index.ts'
import { nodeHasher } from '../../platform/index.ts'
import type { SqlPlace } from './sql-name.ts'

/** The advisory locks of the front door: 64-bit keys of digests under a tag, so that they meet nobody else's locks. */
export interface LockKeys {
  readonly id: bigint
  /**
   * High half from the id; low half eight bits of the fingerprint's version and 24 of the payload's unkeyed digest. A rotated
   * secret changes none of them.
   */
  readonly pair: bigint
}

export function lockKeys(place: SqlPlace, request: ClaimRequest): LockKeys {
  const tag = `oncely lock 1 ${place.schema}.${place.prefix}`
  const ofId = digest(`${tag} id`, request.id)
  const ofPayload = digest(`${tag} payload`, request.fingerprint.plain)
  const high = BigInt(ofId.getInt32(8))
  const { version } = request.fingerprint
  const low = ((version ^ (version >> 8) ^ (version >> 16)) & 0xff) * 2 ** 24 + (ofPayload.getUint32(0) >>> 8)
  return { id: ofId.getBigInt64(0), pair: (high << 32n) | BigInt(low) }
}

function digest(tag: string, bytes: Uint8Array): DataView {
  const tagged = new Uint8Array(tag.length + 1 + bytes.length)
  encoder.encodeInto(tag, tagged)
  tagged.set(bytes, tag.length + 1)
  const hash = nodeHasher.sha256(tagged)
  return new DataView(hash.buffer, hash.byteOffset, hash.length)
}

const encoder = new TextEncoder()
