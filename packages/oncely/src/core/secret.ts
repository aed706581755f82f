import { ConfigurationError } from './errors.ts'
import type { Secret } from './preparation.ts'

const secretBytesMin = 16

/** The secrets as they are used; refuses ids and keys that cannot protect anything. */
export function checkSecrets(secrets: readonly { readonly id: number; readonly key: Uint8Array | string }[]): readonly Secret[] {
  const seen = new Set<number>()
  return secrets.map(({ id, key }) => {
    if (!Number.isInteger(id) || id < 1 || id > 32_767)
      throw new ConfigurationError(`A secret's id is ${String(id)}; it must be a whole number from 1 to 32767.`)
    if (seen.has(id)) throw new ConfigurationError(`Secret ${id} is there twice; each id names one key, for ever.`)
    seen.add(id)
    const bytes = typeof key === 'string' ? new TextEncoder().encode(key) : key
    if (!(bytes instanceof Uint8Array) || bytes.length < secretBytesMin) {
      throw new ConfigurationError(
        `Secret ${id} has ${bytes?.length ?? 0} bytes, at least ${secretBytesMin} are needed; use 32 random bytes.`,
      )
    }
    return { id, key: bytes }
  })
}
