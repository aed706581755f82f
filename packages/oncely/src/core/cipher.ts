/**
 * AES-256-GCM as a synchronous port: `node:crypto` at the Node entries. A platform without it cannot encrypt outcomes, and an
 * instance that asks for it there is refused.
 */
export interface Cipher {
  /** NIST SP 800-38D with a key of 32 bytes and a nonce of 12; the ciphertext followed by its tag of 16 bytes. */
  encrypt(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array, bound: Uint8Array): Uint8Array
  /** The plain bytes; undefined when key, nonce, ciphertext, tag or `bound` are not those of the encryption. */
  decrypt(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, bound: Uint8Array): Uint8Array | undefined
}
