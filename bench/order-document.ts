// Bodies as clients send them: members in the order in which somebody wrote them, not sorted, and nested lines. ASCII throughout,
// because JSON.parse is twice as slow on other text and the floor would look worse. Made from a seed, so that every run measures
// the same bytes.

const names = ['Ada Lovelace', 'Zoe Mueller', 'Nguyen An', 'Grace Hopper', 'Jose Alvarez', 'Mary Jackson']
const goods = ['notebook A5, ruled', 'espresso beans 1 kg', 'USB-C cable, 2 m', 'tea "Earl Grey"', 'desk lamp / oak', 'rain jacket M']

/** Different orders of about this many bytes each, as UTF-8. */
export function ordersOf(bytes: number, count: number): readonly Buffer[] {
  const next = generator(0x5eed)
  return Array.from({ length: count }, () => orderOf(bytes, next))
}

function orderOf(bytes: number, next: () => number): Buffer {
  const pick = (from: readonly string[]): string => from[Math.floor(next() * from.length)] as string
  const digits = (length: number): string => String(Math.floor(next() * 10 ** length)).padStart(length, '0')
  const order = {
    orderId: `ord_${digits(9)}${digits(9)}`,
    customer: { name: pick(names), email: `customer${digits(5)}@example.com`, since: `20${digits(1)}4-0${1 + Math.floor(next() * 9)}-17` },
    currency: 'EUR',
    amount: Math.floor(next() * 1_000_000) / 100,
    paid: false,
    shipping: { method: 'express', address: { street: `Hauptstrasse ${digits(2)}`, city: 'Koeln', postalCode: digits(5), country: 'DE' } },
    lines: [] as unknown[],
    metadata: { campaign: null, source: 'web', experiment: 'checkout-b', attempt: 1 },
  }
  let encoded = Buffer.from(JSON.stringify(order))
  while (encoded.length < bytes) {
    order.lines.push({
      sku: `SKU-${digits(6)}`,
      name: pick(goods),
      quantity: 1 + Math.floor(next() * 9),
      unitPrice: Math.floor(next() * 10_000) / 100,
      taxRate: 0.19,
      gift: next() < 0.1,
    })
    encoded = Buffer.from(JSON.stringify(order))
  }
  return encoded
}

/** A 32-bit linear congruential generator (Numerical Recipes); quality does not matter here, repeatability does. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
