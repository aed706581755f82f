import type { StandardSchema } from 'oncely'

/** What a customer asks for. `reference` is the customer's own name for it; nothing in the API makes it unique. */
export interface Payment {
  readonly reference: string
  readonly cents: number
}

/** A row of the bookings table, or a line of the provider's file. */
export interface Booking extends Payment {
  readonly id: string
}

/** Checks what a customer sent. Any Standard Schema library will do; by hand it is this much. */
export const paymentSchema: StandardSchema<unknown, Payment> = {
  '~standard': {
    version: 1,
    vendor: 'oncely-demo',
    validate: (value) => {
      const { reference, cents } = Object(value) as Partial<Payment>
      if (typeof reference !== 'string' || reference === '') return { issues: [{ message: 'is not a text', path: ['reference'] }] }
      if (!Number.isSafeInteger(cents) || Number(cents) <= 0) return { issues: [{ message: 'is not an amount', path: ['cents'] }] }
      return { value: { reference, cents: Number(cents) } }
    },
  },
}
