/**
 * The outcome as it is stored: a value frame, which is a codec's number and that codec's bytes. A store never looks inside.
 */
export interface Outcome {
  /** The codec that reads the bytes; see `codec.ts`. */
  readonly codec: number
  readonly bytes: Uint8Array
  /** First 16 bytes of SHA-256 over codec and bytes: a corrupted outcome is an error, never a wrong replay. */
  readonly checksum: Uint8Array
}

/** True when both are the same answer, byte for byte. */
export function sameOutcome(a: Outcome, b: Outcome): boolean {
  return a.codec === b.codec && sameBytes(a.bytes, b.bytes)
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}
