import { ConfigurationError, fromHex } from '../core/index.ts'
import { type DeliveryReading, reply, type SourceMessage } from '../http/index.ts'
import { base64Signature, isSigned, signingKeys } from './signature.ts'
import type { WebhookEvent } from './webhook-event.ts'
import { asObject, endpointName, jsonObject, type WebhookOptions, type WebhookRoute, webhookRoute } from './webhook-options.ts'

/**
 * Adyen's standard notifications: the `hmacSignature` of every item is checked, and one that fails refuses the whole delivery. Each
 * item runs once under its own key: event code, PSP reference and success. When all are settled the answer is `[accepted]`.
 * The signature covers the item's identifying fields and its amount, not the rest of it and no time.
 *
 * Source: docs.adyen.com, "Verify HMAC signatures" and "Handle webhook events".
 *
 * @example app.post('/hooks/adyen', handle(payments, adyenWebhook({ secret }), async ({ input: event, tx }) => reply(200)))
 * @throws ConfigurationError for options that cannot work or are not safe; the secret is hexadecimal, as the Customer Area shows it.
 */
export function adyenWebhook(options: WebhookOptions): WebhookRoute {
  const keys = signingKeys('adyen', options.secret, hexKey)
  const endpoint = endpointName('adyen', options)
  return webhookRoute(options, {
    name: 'webhook:adyen',
    acknowledgement: reply(200, '[accepted]'),
    read: ({ bytes, hasher }): DeliveryReading => {
      const items = jsonObject(bytes)?.['notificationItems']
      if (!Array.isArray(items) || items.length === 0) return { kind: 'unsigned', reason: 'malformed' }
      const messages: SourceMessage[] = []
      for (const entry of items as readonly unknown[]) {
        const item = asObject(asObject(entry)?.['NotificationRequestItem'])
        const signature = asObject(item?.['additionalData'])?.['hmacSignature']
        if (item === undefined || typeof signature !== 'string') return { kind: 'unsigned', reason: 'missing' }
        const data = encoder.encode(signedFields(item).join(':'))
        if (!isSigned(hasher, keys, data, [base64Signature(signature)])) return { kind: 'unsigned', reason: 'mismatch' }
        const reference = text(item['pspReference'])
        const type = text(item['eventCode'])
        if (reference === '' || type === '') return { kind: 'malformed', reason: 'no-event' }
        const id = `${type}:${reference}:${text(item['success'])}`
        const input: WebhookEvent = { provider: 'adyen', id, type, payload: item }
        messages.push({ principal: `${endpoint}/${text(item['merchantAccountCode'])}`, key: id, input })
      }
      return { kind: 'messages', messages }
    },
  })
}

const encoder = new TextEncoder()

/** In the order of Adyen's documentation; what is absent counts as empty. */
function signedFields(item: Readonly<Record<string, unknown>>): readonly string[] {
  const amount = asObject(item['amount'])
  return [
    item['pspReference'],
    item['originalReference'],
    item['merchantAccountCode'],
    item['merchantReference'],
    amount?.['value'],
    amount?.['currency'],
    item['eventCode'],
    item['success'],
  ].map(text)
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}

function hexKey(secret: string): Uint8Array {
  try {
    return fromHex(secret)
  } catch (cause) {
    throw new ConfigurationError('adyen: secret is not hexadecimal; pass the HMAC key as the Customer Area shows it.', { cause })
  }
}
