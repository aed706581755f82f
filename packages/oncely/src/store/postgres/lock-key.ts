import type { ClaimRequest } from '../../core/index.ts'
import { nodeHasher } from '../../platform/index.ts'
import type { SqlPlace } from './sql-name.ts'

/** The advisory locks of the front door: 64-bit keys, of digests under the digest of a tag, so that they meet nobody else's locks. */
export interface LockKeys {
  readonly id: bigint
  /**
   * High half from the id; low half eight bits of the fingerprint's version and 24 of the payload's unkeyed digest. A rotated
   * secret changes none of them.
   */
  readonly pair: bigint
}

/** Makes the lock keys of one schema. The record's id and the payload's digest are digests already: the tag is only laid over them. */
export function lockKeysOf(place: SqlPlace): (request: ClaimRequest) => LockKeys {
  const tag = view(nodeHasher.sha256(new TextEncoder().encode(`oncely lock 2 ${place.schema}.${place.prefix}`)))
  const [tagOfId, tagOfPair, tagOfPayload] = [tag.getBigInt64(0), tag.getInt32(8), tag.getUint32(12)]
  return ({ id, fingerprint: { version, plain } }) => {
    const ofId = view(id)
    const high = BigInt(ofId.getInt32(8) ^ tagOfPair)
    const low = ((version ^ (version >> 8) ^ (version >> 16)) & 0xff) * 2 ** 24 + ((view(plain).getUint32(0) ^ tagOfPayload) >>> 8)
    return { id: ofId.getBigInt64(0) ^ tagOfId, pair: (high << 32n) | BigInt(low) }
  }
}

function view({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length)
}
