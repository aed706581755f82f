import type { Hasher } from './hasher.ts'
import { toHex } from './hex.ts'
import { lengthPrefixed } from './length-prefix.ts'
import type { Limits } from './limits.ts'
import { isWellFormed, utf8Length } from './utf8.ts'

export type KeyLimits = Pick<Limits, 'keyBytesMin' | 'keyBytesMax'>

/** Whether a caller's key may be used, or what is wrong with it. */
export type KeyCheck = 'ok' | 'empty' | 'too-short' | 'too-long' | 'control-character' | 'lone-surrogate'

/**
 * Judges a caller's key before any store is asked. Sizes count UTF-8 bytes. Keys are case-sensitive and nothing about them is
 * repaired: no trimming, no Unicode normalisation.
 */
export function checkKey(key: string, limits: KeyLimits): KeyCheck {
  if (key === '') return 'empty'
  // Every code unit takes at least one byte, so an enormous key is refused without walking it.
  const byteLength = key.length > limits.keyBytesMax ? key.length : utf8Length(key)
  if (byteLength > limits.keyBytesMax) return 'too-long'
  if (byteLength < limits.keyBytesMin) return 'too-short'
  if (/\p{Cc}/u.test(key)) return 'control-character'
  return isWellFormed(key) ? 'ok' : 'lone-surrogate'
}

/** What addresses a record. `operation` takes part only where each operation has its own keys (`keyspace: 'operation'`). */
export interface RecordAddress {
  readonly namespace: string
  /** The verified caller: stable over credential rotation, never the hash of a token. */
  readonly principal: string
  readonly key: string
  readonly operation?: string
}

const RECORD_ID_DOMAIN = 'oncely record id 1'
const DERIVED_KEY_DOMAIN = 'oncely derived key 1'
const KEY_HINT_DOMAIN = 'oncely key hint 1'
const DERIVED_KEY_DIGITS = 40
const KEY_HINT_DIGITS = 12

/**
 * The 32 bytes under which stores keep a record: SHA-256 over the length-prefixed parts, so that no two addresses alias and no
 * store truncates, folds the case of or pads a key.
 */
export function recordId(address: RecordAddress, hasher: Hasher): Uint8Array {
  return hasher.sha256(lengthPrefixed([RECORD_ID_DOMAIN, address.namespace, address.principal, address.key, address.operation]))
}

/**
 * The idempotency key for a call that the handler makes to another service: the same on every attempt of this record, another
 * one for each name. 40 hexadecimal digits (160 bits), which fits the key limits of payment providers; nothing of the caller's
 * key can be read from it.
 *
 * Pass the secret that the record was created under: under a newer one a retry would call the other service with a new key.
 */
export function derivedKey(hasher: Hasher, secret: Uint8Array | undefined, id: Uint8Array, name: string): string {
  return digest(hasher, secret, lengthPrefixed([DERIVED_KEY_DOMAIN, id, name]), DERIVED_KEY_DIGITS)
}

/**
 * A short name for a record in logs, metrics and traces: 12 hexadecimal digits, enough to find lines that belong together, too
 * few to address a record.
 */
export function keyHint(hasher: Hasher, secret: Uint8Array | undefined, id: Uint8Array): string {
  return digest(hasher, secret, lengthPrefixed([KEY_HINT_DOMAIN, id]), KEY_HINT_DIGITS)
}

function digest(hasher: Hasher, secret: Uint8Array | undefined, message: Uint8Array, digits: number): string {
  const bytes = secret ? hasher.hmacSha256(secret, message) : hasher.sha256(message)
  return toHex(bytes.subarray(0, digits / 2))
}
