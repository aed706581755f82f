import { createHmac } from 'node:crypto'
import { ConfigurationError } from '../core/index.ts'

const secretBytesMin = 16

/** A secret as text, as bytes, or as `whsec_` and base64. */
export type WebhookSecret = string | Uint8Array

/** The keys of the signatures; several while one is being replaced. @throws ConfigurationError for one that is too short. */
export function webhookKeys(secret: WebhookSecret | readonly WebhookSecret[]): readonly Uint8Array[] {
  const secrets: readonly WebhookSecret[] = typeof secret === 'string' || secret instanceof Uint8Array ? [secret] : secret
  if (secrets.length === 0) throw new ConfigurationError('webhookSink got no secret; give it one of 32 random bytes.')
  return secrets.map((one) => {
    const bytes = typeof one === 'string' ? (one.startsWith('whsec_') ? Buffer.from(one.slice(6), 'base64') : Buffer.from(one)) : one
    if (bytes.length >= secretBytesMin) return bytes
    throw new ConfigurationError(
      `A secret of webhookSink has ${bytes.length} bytes, at least ${secretBytesMin} are needed; use 32 random bytes.`,
    )
  })
}

/**
 * The headers by which a receiver knows who sent a message, that it is whole, and when it was signed.
 *
 * Source: Standard Webhooks, "Signature scheme" (symmetric, v1).
 */
export function signatureHeaders(
  keys: readonly Uint8Array[],
  id: string,
  timestampSeconds: number,
  body: Uint8Array,
): Readonly<Record<string, string>> {
  const signatures = keys.map((key) => `v1,${createHmac('sha256', key).update(`${id}.${timestampSeconds}.`).update(body).digest('base64')}`)
  return { 'webhook-id': id, 'webhook-timestamp': String(timestampSeconds), 'webhook-signature': signatures.join(' ') }
}
