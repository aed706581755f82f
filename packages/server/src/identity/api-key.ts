import { createHash, timingSafeEqual } from 'node:crypto'
import { ConfigurationError } from 'oncely'

/** An API key as it is kept: whose it is, and the SHA-256 of the key. A key must be random (128 bits or more), as a hash hides no guess. */
export interface ApiKey {
  readonly principal: string
  /** 64 hexadecimal digits. */
  readonly sha256: string
}

/** Knows keys by their hashes. Every comparison takes the same time, wherever it fails and whichever key fits. */
export class ApiKeys {
  readonly #keys: readonly { readonly principal: string; readonly digest: Buffer }[]

  /** @throws ConfigurationError for an empty list, a hash that is none, and one that is there twice. */
  constructor(keys: readonly ApiKey[]) {
    if (keys.length === 0)
      throw new ConfigurationError('The list of API keys is empty: nobody could call. Add one with: oncely api-key NAME')
    const seen = new Set<string>()
    this.#keys = keys.map(({ principal, sha256 }, nth) => {
      const hex = sha256.toLowerCase()
      if (!/^[0-9a-f]{64}$/.test(hex))
        throw new ConfigurationError(`API key ${nth + 1}: sha256 has ${sha256.length} characters; it must be 64 hexadecimal digits.`)
      if (principal === '') throw new ConfigurationError(`API key ${nth + 1} names no principal; say whose key it is.`)
      if (seen.has(hex)) throw new ConfigurationError(`API key ${nth + 1} is there twice; a key belongs to one principal.`)
      seen.add(hex)
      return { principal, digest: Buffer.from(hex, 'hex') }
    })
  }

  /** Whose key it is; undefined for a key that is not in the list. */
  principalOf(key: string): string | undefined {
    const digest = createHash('sha256').update(key).digest()
    let found: string | undefined
    for (const { principal, digest: known } of this.#keys) if (timingSafeEqual(digest, known)) found = principal
    return found
  }
}
