import { ConfigurationError, type Hasher, sameFingerprint } from '../core/index.ts'

const encoder = new TextEncoder()

/** The secrets of an endpoint as HMAC keys: one, or several while they are being rotated. */
export type SigningSecrets = string | readonly string[]

/** @throws ConfigurationError when there is none, or an empty one, with which anybody could sign. */
export function signingKeys(
  provider: string,
  secrets: SigningSecrets,
  decode: (secret: string) => Uint8Array = (secret) => encoder.encode(secret),
): readonly Uint8Array[] {
  const list = typeof secrets === 'string' ? [secrets] : secrets
  if (!Array.isArray(list) || list.length === 0 || list.some((secret) => typeof secret !== 'string' || secret === ''))
    throw new ConfigurationError(
      `${provider}: secret is missing or empty; pass the endpoint's signing secret, or a list of them during rotation.`,
    )
  return list.map(decode)
}

/** Whether one of the signatures is the HMAC-SHA256 of the data under one of the keys. Compares in constant time, and all of them. */
export function isSigned(
  hasher: Hasher,
  keys: readonly Uint8Array[],
  data: Uint8Array,
  signatures: readonly (Uint8Array | undefined)[],
): boolean {
  let signed = false
  for (const key of keys) {
    const expected = hasher.hmacSha256(key, data)
    for (const signature of signatures) if (signature !== undefined && sameFingerprint(expected, signature)) signed = true
  }
  return signed
}

/** 32 bytes out of 64 hexadecimal digits; undefined for any other text. */
export function hexSignature(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) return
  return Uint8Array.from({ length: 32 }, (_, at) => Number.parseInt(text.slice(2 * at, 2 * at + 2), 16))
}

/** 32 bytes out of base64 (RFC 4648 §4); undefined for any other text. */
export function base64Signature(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

export function joinedBytes(prefix: string, bytes: Uint8Array): Uint8Array {
  const head = encoder.encode(prefix)
  const whole = new Uint8Array(head.length + bytes.length)
  whole.set(head)
  whole.set(bytes, head.length)
  return whole
}
