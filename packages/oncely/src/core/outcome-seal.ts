import type { Cipher } from './cipher.ts'
import { codecIds, type EncodedValue, openOutcome, sealOutcome } from './codec.ts'
import { OutcomeCorrupt, SecretMissing } from './errors.ts'
import type { Hasher } from './hasher.ts'
import { lengthPrefixed } from './length-prefix.ts'
import type { Outcome } from './outcome.ts'
import type { Secret } from './preparation.ts'

/**
 * Turns values into what a store keeps and back, encrypted where the operation says so. Encrypted bytes are
 *
 *   version 1 | secret's id 2 | codec 1 | nonce 12 | ciphertext | tag 16
 *
 * The key is derived from secret and record id, and the tag covers the id and everything before the nonce: an outcome that was
 * moved to another record or given another codec does not open. The nonce is an HMAC of what is encrypted, as in RFC 8452's
 * construction: it repeats under one key only for the same bytes, needs no randomness, and completing twice with equal values
 * stores equal bytes.
 */
export class OutcomeSeal {
  readonly #hasher: Hasher
  readonly #cipher: Cipher | undefined
  readonly #secrets: readonly Secret[]

  constructor(parts: { readonly hasher: Hasher; readonly cipher?: Cipher | undefined; readonly secrets: readonly Secret[] }) {
    this.#hasher = parts.hasher
    this.#cipher = parts.cipher
    this.#secrets = parts.secrets
  }

  /** Why this instance cannot encrypt; undefined when it can. */
  get obstacle(): string | undefined {
    if (this.#cipher === undefined) return 'this platform has no cipher'
    return this.#secrets.length === 0 ? 'there are no secrets; add secrets: [{ id: 1, key }]' : undefined
  }

  /** The value ready for a store, under the newest secret when `encrypt` is set. */
  seal(value: EncodedValue, { id, encrypt }: { readonly id: Uint8Array; readonly encrypt: boolean }): Outcome {
    const [secret] = this.#secrets
    if (!encrypt || secret === undefined || this.#cipher === undefined) return sealOutcome(value, this.#hasher)
    const head = Uint8Array.of(frameVersion, secret.id >> 8, secret.id & 0xff, value.codec)
    const { key, nonceKey } = this.#keys(secret, id)
    const bound = lengthPrefixed([id, head])
    const nonce = this.#hasher.hmacSha256(nonceKey, lengthPrefixed([bound, value.bytes])).subarray(0, nonceBytes)
    const sealed = this.#cipher.encrypt(key, nonce, value.bytes, bound)
    const bytes = new Uint8Array(head.length + nonce.length + sealed.length)
    bytes.set(head)
    bytes.set(nonce, head.length)
    bytes.set(sealed, head.length + nonce.length)
    return sealOutcome({ codec: codecIds.encrypted, bytes }, this.#hasher)
  }

  /**
   * The value of a stored outcome, encrypted or not.
   *
   * @throws OutcomeCorrupt when it is missing, its bytes changed, or it is another record's.
   * @throws SecretMissing when it is encrypted under a secret that this instance does not have.
   */
  open(outcome: Outcome | undefined, id: Uint8Array): EncodedValue {
    const stored = openOutcome(outcome, this.#hasher)
    return stored.codec === codecIds.encrypted ? this.#decrypt(stored.bytes, id) : stored
  }

  #decrypt(bytes: Uint8Array, id: Uint8Array): EncodedValue {
    const [version, high = 0, low = 0, codec = 0] = bytes
    if (version !== frameVersion || bytes.length < headBytes + nonceBytes)
      throw new OutcomeCorrupt(
        `The stored outcome (${bytes.length} bytes) is encrypted in form ${version ?? 'none'}, which this version does not read.`,
      )
    const secretId = high * 256 + low
    const secret = this.#secrets.find((each) => each.id === secretId)
    if (secret === undefined || this.#cipher === undefined)
      throw new SecretMissing(
        secretId,
        this.#secrets.map((each) => each.id),
      )
    const bound = lengthPrefixed([id, bytes.subarray(0, headBytes)])
    const sealedAt = headBytes + nonceBytes
    const plain = this.#cipher.decrypt(this.#keys(secret, id).key, bytes.subarray(headBytes, sealedAt), bytes.subarray(sealedAt), bound)
    if (plain === undefined)
      throw new OutcomeCorrupt(
        `The stored outcome does not open under secret ${secretId}: it was changed, belongs to another record, or the id now names another key. Restore it, or resolve the record by hand.`,
      )
    return { codec, bytes: plain }
  }

  #keys({ key }: Secret, id: Uint8Array): { readonly key: Uint8Array; readonly nonceKey: Uint8Array } {
    const derived = (purpose: string): Uint8Array => this.#hasher.hmacSha256(key, lengthPrefixed([purpose, id]))
    return { key: derived('oncely outcome key 1'), nonceKey: derived('oncely outcome nonce 1') }
  }
}

const frameVersion = 1
const headBytes = 4
const nonceBytes = 12
