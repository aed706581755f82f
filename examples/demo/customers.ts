import { setTimeout as delay } from 'node:timers/promises'
import { deterministicKey, type IdempotentFetch, idempotentFetch, NoAnswer } from 'oncely/client'
import type { Child } from './child-process.ts'
import type { Effect, LedgerEntry } from './ledger.ts'
import type { Booking, Payment } from './payment.ts'
import type { Draw } from './seeded-random.ts'

export interface Order extends Payment {
  readonly effect: Effect
}

/** What the customers saw, all of them together. */
export interface Experience {
  /** Payments that ended, one way or another. */
  ended: number
  /** Requests that the customers sent, retries included. */
  attempts: number
  replayed: number
  /** Answers that left open what happened. */
  uncertain: number
  /** Payments that ended with another answer than a booking, and how. */
  readonly refusals: string[]
}

const payMsMax = 45_000
const askAgainMs = 250

/** Half of the payments are booked in the API's database, half are charged at the provider. */
export function makeOrders(count: number, draw: Draw): Order[] {
  return Array.from({ length: count }, (_, index) => ({
    reference: `order-${index + 1}`,
    cents: 100 + Math.floor(draw() * 10_000),
    effect: index % 2 === 0 ? 'payments' : 'charges',
  }))
}

/** So many customers pay at the same time, each one order after another, until all orders are paid. */
export async function payAll(
  orders: readonly Order[],
  customers: number,
  url: string,
  ledger: Child,
  experience: Experience,
): Promise<void> {
  const fetch = idempotentFetch({
    retry: { attemptsMax: 1_000, deadlineMs: payMsMax, attemptTimeoutMs: 5_000, backoffMs: 40, backoffMsMax: 400, budgetMax: 1_000_000 },
  })
  const queue = [...orders]
  const customer = async (name: string): Promise<void> => {
    for (let order = queue.shift(); order !== undefined; order = queue.shift()) {
      const { effect, reference, cents } = order
      await ledger.ask({ entry: 'asked', effect, reference, cents } satisfies LedgerEntry)
      const bookingId = await pay(order, name, fetch, url, experience)
      if (bookingId !== undefined) await ledger.ask({ entry: 'answered', effect, reference, bookingId } satisfies LedgerEntry)
      experience.ended++
    }
  }
  await Promise.all(Array.from({ length: customers }, (_, index) => customer(`customer-${index + 1}`)))
}

/**
 * Pays one order; answers the booking that the customer is told about. As long as the outcome is not known, the customer asks
 * again, and always with the same key: that is all a client has to get right.
 */
async function pay(
  order: Order,
  customer: string,
  fetch: IdempotentFetch,
  url: string,
  experience: Experience,
): Promise<string | undefined> {
  const { effect, reference, cents } = order
  const idempotencyKey = await deterministicKey('pay', reference)
  const startedMs = performance.now()
  let last = ''
  while (performance.now() - startedMs < payMsMax) {
    try {
      const response = await fetch(`${url}/${effect}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${customer}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reference, cents }),
        idempotencyKey,
      })
      const { attempts, replayed, uncertain } = response.idempotency
      experience.attempts += attempts
      // An answer that breaks off in its body is lost like any other.
      const text = await response.text()
      if (response.status === 201) {
        if (replayed) experience.replayed++
        return (JSON.parse(text) as Booking).id
      }
      last = `${response.status} ${text.slice(0, 200)}`
      if (!uncertain) break
      experience.uncertain++
    } catch (error) {
      if (error instanceof NoAnswer) experience.attempts += error.idempotency.attempts
      last = String(error)
    }
    await delay(askAgainMs)
  }
  experience.refusals.push(`${reference} (${effect}): ${last}`)
  return undefined
}
