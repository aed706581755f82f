import type { DeliveryReading } from '../http/index.ts'
import { base64Signature, isSigned, signingKeys } from './signature.ts'
import type { WebhookEvent } from './webhook-event.ts'
import { endpointName, jsonObject, onlyValue, type WebhookOptions, type WebhookRoute, webhookRoute } from './webhook-options.ts'

/**
 * Shopify's webhooks: `X-Shopify-Hmac-Sha256` over the body is checked with the app's client secret; topic and
 * `X-Shopify-Event-Id` are the key, the shop is the principal. Shopify signs the body only: neither these fields nor a time, so whoever
 * has a signed body can give it a new id. Use TLS.
 *
 * Source: shopify.dev, "Deliver webhooks through HTTPS" and "Ignore duplicate webhooks".
 *
 * @example app.post('/hooks/shopify', handle(orders, shopifyWebhook({ secret }), async ({ input: event, tx }) => reply(200)))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function shopifyWebhook(options: WebhookOptions): WebhookRoute {
  const keys = signingKeys('shopify', options.secret)
  const endpoint = endpointName('shopify', options)
  return webhookRoute(options, {
    name: 'webhook:shopify',
    read: ({ headers, bytes, hasher }): DeliveryReading => {
      const field = onlyValue(headers, 'x-shopify-hmac-sha256')
      if (field === undefined) return { kind: 'unsigned', reason: 'missing' }
      if (!isSigned(hasher, keys, bytes, [base64Signature(field)])) return { kind: 'unsigned', reason: 'mismatch' }
      const id = onlyValue(headers, 'x-shopify-event-id')
      const type = onlyValue(headers, 'x-shopify-topic')
      const shop = onlyValue(headers, 'x-shopify-shop-domain')
      const payload = jsonObject(bytes)
      if (id === undefined || type === undefined || shop === undefined || payload === undefined)
        return { kind: 'malformed', reason: 'no-event' }
      const input: WebhookEvent = { provider: 'shopify', id, type, payload }
      return { kind: 'messages', messages: [{ principal: `${endpoint}/${shop.toLowerCase()}`, key: `${type}:${id}`, input }] }
    },
  })
}
