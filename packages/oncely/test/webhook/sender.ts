import { createHmac } from 'node:crypto'
import Stripe from 'stripe'

/** One HTTP delivery as a provider makes it. */
export interface Delivery {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export const secrets = {
  stripe: 'whsec_a2V5IG9mIHRoZSB0ZXN0',
  github: "It's a Secret to Everybody",
  shopify: 'hush',
  adyen: '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056',
} as const

const stripe = new Stripe('sk_test_never_used')

/** Signed by Stripe's own library. */
export function fromStripe(event: object, options: { readonly secret?: string; readonly timestamp?: number } = {}): Delivery {
  const body = JSON.stringify(event, null, 2)
  const signature = stripe.webhooks.generateTestHeaderString({
    payload: body,
    secret: options.secret ?? secrets.stripe,
    ...(options.timestamp === undefined ? {} : { timestamp: options.timestamp }),
  })
  return { headers: { 'content-type': 'application/json; charset=utf-8', 'stripe-signature': signature }, body }
}

export function fromGithub(id: string, payload: object, options: { readonly secret?: string; readonly form?: boolean } = {}): Delivery {
  const json = JSON.stringify(payload)
  const body = options.form === true ? new URLSearchParams({ payload: json }).toString() : json
  const signature = createHmac('sha256', options.secret ?? secrets.github)
    .update(body)
    .digest('hex')
  return {
    headers: {
      'content-type': options.form === true ? 'application/x-www-form-urlencoded' : 'application/json',
      'x-github-delivery': id,
      'x-github-event': 'push',
      'x-hub-signature-256': `sha256=${signature}`,
    },
    body,
  }
}

export function fromShopify(id: string, payload: object, options: { readonly secret?: string; readonly shop?: string } = {}): Delivery {
  const body = JSON.stringify(payload)
  return {
    headers: {
      'content-type': 'application/json',
      'x-shopify-topic': 'orders/create',
      'x-shopify-event-id': id,
      'x-shopify-shop-domain': options.shop ?? 'a.myshopify.com',
      'x-shopify-hmac-sha256': createHmac('sha256', options.secret ?? secrets.shopify)
        .update(body)
        .digest('base64'),
    },
    body,
  }
}

/** The item of Adyen's own libraries' tests; its signature there is `coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=`. */
export const adyenItem = {
  pspReference: '7914073381342284',
  originalReference: '',
  merchantAccountCode: 'TestMerchant',
  merchantReference: 'TestPayment-1407325143704',
  amount: { value: 1130, currency: 'EUR' },
  eventCode: 'AUTHORISATION',
  success: 'true',
}

export function adyenSignature(item: typeof adyenItem, secret: string = secrets.adyen): string {
  const { pspReference, originalReference, merchantAccountCode, merchantReference, amount, eventCode, success } = item
  const fields = [
    pspReference,
    originalReference,
    merchantAccountCode,
    merchantReference,
    amount.value,
    amount.currency,
    eventCode,
    success,
  ]
  return createHmac('sha256', Buffer.from(secret, 'hex')).update(fields.join(':')).digest('base64')
}

export function fromAdyen(items: readonly (typeof adyenItem)[], signature: (item: typeof adyenItem) => string = adyenSignature): Delivery {
  const notificationItems = items.map((item) => ({
    NotificationRequestItem: { ...item, additionalData: { hmacSignature: signature(item) } },
  }))
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ live: 'false', notificationItems }) }
}
