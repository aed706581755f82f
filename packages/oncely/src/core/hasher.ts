/**
 * SHA-256 as a synchronous port. The platform's asynchronous digest costs about fifty times the hash of a small body, and its
 * turns of the event loop break identical traces in a simulation.
 */
export interface Hasher {
  /** FIPS 180-4; 32 bytes. */
  sha256(data: Uint8Array): Uint8Array
  /** RFC 2104 over SHA-256; 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array
}
