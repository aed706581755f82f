import { canonicalJson } from './canonical-json.ts'
import { InvalidInput } from './errors.ts'
import { sameBytes } from './outcome.ts'

/**
 * Reads JSON that comes back equal: what JavaScript would change (numbers beyond its precision, a member that is there twice) is
 * refused, because it would be fingerprinted and stored as something else than was sent.
 *
 * @throws InvalidInput
 */
export function losslessJson(bytes: Uint8Array, jsonDepthMax: number): unknown {
  const sent = canonicalJson(bytes, { jsonDepthMax })
  if (!sent.ok) throw new InvalidInput(`The JSON cannot be read (${sent.reason}).`, [sent.reason])
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
  const kept = canonicalJson(new TextEncoder().encode(JSON.stringify(value)), { jsonDepthMax })
  if (!kept.ok || !sameBytes(kept.bytes, sent.bytes))
    throw new InvalidInput('The JSON has a number that would not be kept, or a member twice; send such numbers as text.', ['not-lossless'])
  return value
}
