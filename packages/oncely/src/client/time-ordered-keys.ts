import { type ClientPlatform, clientPlatform, randomBytes, uuidText } from './platform.ts'

/**
 * Makes keys that sort by the time they were made: UUIDs of version 7, each greater than the one before, also within a millisecond
 * and when the clock goes back (RFC 9562 §6.2, method 1). For servers whose index likes neighbours; such a key tells when it was made.
 *
 * @example idempotentFetch({ makeKey: timeOrderedKeys() })
 */
export function timeOrderedKeys(platform: Pick<ClientPlatform, 'nowMs'> = clientPlatform): () => string {
  // 48 bits of milliseconds over 12 bits of counter: a counter that runs over moves the time on.
  let last = 0n
  return () => {
    const bytes = randomBytes()
    const view = new DataView(bytes.buffer)
    const now = BigInt(platform.nowMs())
    // A new millisecond starts in the lower half of the counter, so that there is room to count.
    last = now > last >> 12n ? (now << 12n) | BigInt(view.getUint16(6) & 0x7ff) : last + 1n
    view.setBigUint64(0, ((last >> 12n) << 16n) | (last & 0xfffn))
    return uuidText(bytes, 7)
  }
}
