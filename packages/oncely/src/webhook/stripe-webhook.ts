import { ConfigurationError } from '../core/index.ts'
import type { DeliveryReading } from '../http/index.ts'
import { hexSignature, isSigned, joinedBytes, signingKeys } from './signature.ts'
import type { WebhookEvent } from './webhook-event.ts'
import { endpointName, jsonObject, onlyValue, type WebhookOptions, type WebhookRoute, webhookRoute } from './webhook-options.ts'

export interface StripeWebhookOptions extends WebhookOptions {
  /** How far the signed time may be from this process's clock, in milliseconds. Default 5 minutes, as Stripe's own libraries. */
  readonly toleranceMs?: number
}

/**
 * Stripe's events: `Stripe-Signature` is checked (scheme v1, within `toleranceMs`), the event's id is the key. An event of a
 * connected account belongs to that account.
 *
 * Source: docs.stripe.com/webhooks, "Verify webhook signatures manually".
 *
 * @example app.post('/hooks/stripe', handle(stripeEvents, stripeWebhook({ secret }), async ({ input: event, tx }) => reply(200)))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function stripeWebhook(options: StripeWebhookOptions): WebhookRoute {
  const { toleranceMs = 300_000, ...common } = options
  if (!Number.isInteger(toleranceMs) || toleranceMs < 1_000 || toleranceMs > 86_400_000)
    throw new ConfigurationError(
      `stripe: toleranceMs is ${String(toleranceMs)}; it must be a whole number from 1000 (1 s) to 86400000 (24 h).`,
    )
  const keys = signingKeys('stripe', options.secret)
  const endpoint = endpointName('stripe', options)
  return webhookRoute(common, {
    name: 'webhook:stripe',
    read: ({ headers, bytes, nowMs, hasher }): DeliveryReading => {
      const field = onlyValue(headers, 'stripe-signature')
      if (field === undefined) return { kind: 'unsigned', reason: 'missing' }
      const { timestamp, signatures } = parse(field)
      if (timestamp === undefined || signatures.length === 0) return { kind: 'unsigned', reason: 'malformed' }
      if (!isSigned(hasher, keys, joinedBytes(`${timestamp}.`, bytes), signatures.map(hexSignature)))
        return { kind: 'unsigned', reason: 'mismatch' }
      if (Math.abs(nowMs - Number(timestamp) * 1_000) > toleranceMs) return { kind: 'unsigned', reason: 'timestamp' }
      const payload = jsonObject(bytes)
      const { id, type, account } = payload ?? {}
      if (typeof id !== 'string' || typeof type !== 'string') return { kind: 'malformed', reason: 'no-event' }
      const input: WebhookEvent = { provider: 'stripe', id, type, payload }
      return {
        kind: 'messages',
        messages: [{ principal: typeof account === 'string' ? `${endpoint}/${account}` : endpoint, key: id, input }],
      }
    },
  })
}

const signaturesMax = 16

/** `t=1492774577,v1=5257…,v1=…,v0=…`; other schemes are left alone, as Stripe demands. */
function parse(field: string): { timestamp: string | undefined; signatures: readonly string[] } {
  const pairs = field.split(',').map((pair) => pair.trim().split('=', 2))
  const timestamps = pairs.filter(([name]) => name === 't').map(([, value = '']) => value)
  const [timestamp = ''] = timestamps
  return {
    timestamp: timestamps.length === 1 && /^\d{1,12}$/.test(timestamp) ? timestamp : undefined,
    signatures: pairs
      .filter(([name]) => name === 'v1')
      .map(([, value = '']) => value)
      .slice(0, signaturesMax),
  }
}
