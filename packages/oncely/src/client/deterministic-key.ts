import { ClientError } from './client-error.ts'
import { uuidText } from './platform.ts'

/** What names an intent: an order's id, a date, an amount. A number and its decimal text are the same. */
export type KeyPart = string | number | bigint | boolean

const domain = 'oncely deterministic key 1'

/**
 * The same key for the same name and parts, wherever and whenever it is made: nothing has to be stored to repeat the call after a
 * crash. The key is a UUID (version 8, RFC 9562 §5.8), because some servers take nothing else.
 *
 * Use ids that stand for one intent. Two legitimate payments of the same invoice need a part that tells them apart.
 *
 * @throws ClientError `ONCELY_KEY_INVALID` for an empty name and for a part that is empty, missing or not finite, which would
 *   give many intents one key.
 */
export async function deterministicKey(name: string, first: KeyPart, ...more: readonly KeyPart[]): Promise<string> {
  const texts = [name, first, ...more].map((part, index) => {
    const text = ['string', 'number', 'bigint', 'boolean'].includes(typeof part) ? String(part) : ''
    if (text !== '' && text !== 'NaN' && !text.endsWith('Infinity')) return text
    const what = index === 0 ? 'The name' : `Part ${index}`
    throw new ClientError(
      'ONCELY_KEY_INVALID',
      `${what} of a deterministic key is empty, missing or not finite; give the id of the one thing that is meant.`,
    )
  })
  // A JSON array of strings has one reading only, so no two lists of parts give the same text.
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify([domain, ...texts])))
  return uuidText(new Uint8Array(digest, 0, 16), 8)
}
