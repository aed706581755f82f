import { type DeliveryReading, headerValues } from '../http/index.ts'
import { hexSignature, isSigned, signingKeys } from './signature.ts'
import type { WebhookEvent } from './webhook-event.ts'
import { endpointName, jsonObject, onlyValue, type WebhookOptions, type WebhookRoute, webhookRoute } from './webhook-options.ts'

/**
 * GitHub's deliveries: `X-Hub-Signature-256` over the body is checked, `X-GitHub-Delivery` is the key; a redelivery carries the same
 * one. GitHub signs the body only: neither that id nor a time, so whoever has a signed body can give it a new id. Use TLS.
 *
 * Source: docs.github.com, "Validating webhook deliveries".
 *
 * @example app.post('/hooks/github', handle(pushes, githubWebhook({ secret }), async ({ input: event, tx }) => reply(200)))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function githubWebhook(options: WebhookOptions): WebhookRoute {
  const keys = signingKeys('github', options.secret)
  const principal = endpointName('github', options)
  return webhookRoute(options, {
    name: 'webhook:github',
    read: ({ headers, bytes, hasher }): DeliveryReading => {
      const field = onlyValue(headers, 'x-hub-signature-256')
      if (field === undefined) return { kind: 'unsigned', reason: 'missing' }
      if (!field.startsWith('sha256=')) return { kind: 'unsigned', reason: 'malformed' }
      if (!isSigned(hasher, keys, bytes, [hexSignature(field.slice('sha256='.length))])) return { kind: 'unsigned', reason: 'mismatch' }
      const id = onlyValue(headers, 'x-github-delivery')
      const type = onlyValue(headers, 'x-github-event')
      const payload = jsonObject(isForm(headers) ? (new URLSearchParams(new TextDecoder().decode(bytes)).get('payload') ?? '') : bytes)
      if (id === undefined || type === undefined || payload === undefined) return { kind: 'malformed', reason: 'no-event' }
      const input: WebhookEvent = { provider: 'github', id, type, payload }
      return { kind: 'messages', messages: [{ principal, key: id, input }] }
    },
  })
}

/** GitHub sends JSON, or the same JSON as a form's `payload`, as the webhook is set up. */
function isForm(headers: readonly string[]): boolean {
  return headerValues(headers, 'content-type').some((value) => value.toLowerCase().startsWith('application/x-www-form-urlencoded'))
}
