import type { StandardSchema } from '../core/index.ts'

/** What a webhook's handler gets as `input`, and what the operation's schema validates. */
export interface WebhookEvent<Payload = unknown> {
  readonly provider: 'stripe' | 'github' | 'shopify' | 'adyen'
  /** The provider's own id of what happened. */
  readonly id: string
  /** The provider's name for what happened: `payment_intent.succeeded`, `push`, `orders/create`, `AUTHORISATION`. */
  readonly type: string
  /** The provider's JSON: the whole body, with Adyen one notification item. */
  readonly payload: Payload
}

/**
 * Types an operation's input as an event; the payload is believed, as its signature is the provider's. Any other schema of the whole
 * event does as well.
 *
 * @example oncely.operation('stripe-events', { policy: 'standard', bind: 'transaction', input: webhookEvent<Stripe.Event>() })
 */
export function webhookEvent<Payload = unknown>(): StandardSchema<unknown, WebhookEvent<Payload>> {
  return {
    '~standard': {
      version: 1,
      vendor: 'oncely',
      validate: (value) =>
        typeof value === 'object' && value !== null && 'provider' in value && 'payload' in value
          ? { value: value as WebhookEvent<Payload> }
          : { issues: [{ message: 'is no webhook event; give the route a source such as stripeWebhook({ secret })' }] },
    },
  }
}
