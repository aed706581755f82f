// The ledger: the judge, in a process of its own.
//
// It must not believe the API, whose word is what is in question. So customers tell it themselves what they ask for, before the
// first byte of a request leaves, and which booking they were told about in the end; it appends that to a file of its own. At the
// end it reads the facts where they are facts, past the API: the rows of the bookings table by plain SQL on its own connection,
// and the provider's statement, the file that the provider appends to. It never writes to either, and knows nothing of keys,
// records or retries: an amount that was asked for once must be booked once.
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { type BankLocation, openBank } from './bank.ts'
import { answerWith, ready, settings } from './child-process.ts'
import type { Booking, Payment } from './payment.ts'

/** Where a payment's effect is: a row of the API's own database, or a charge at the provider. */
export type Effect = 'payments' | 'charges'

export interface LedgerSettings {
  /** The ledger's own file. */
  readonly file: string
  readonly bank: BankLocation
  readonly providerFile: string
}

export type LedgerEntry =
  | ({ readonly entry: 'asked'; readonly effect: Effect } & Payment)
  | { readonly entry: 'answered'; readonly effect: Effect; readonly reference: string; readonly bookingId: string }

/** The judgement over one kind of effect. */
export interface Audit {
  readonly asked: number
  readonly answered: number
  readonly booked: number
  /** Bookings beyond the first of the same payment. */
  readonly duplicates: number
  /** Payments that were answered, or asked for, and are not booked. */
  readonly missing: number
  /** Bookings of an amount, or for a payment, that nobody asked for. */
  readonly wrong: number
  /** Answers that name a booking which is not this payment's. */
  readonly wrongAnswers: number
  /** Money booked too much or too little. */
  readonly centsOff: number
}

const { file, bank: location, providerFile } = settings<LedgerSettings>()

answerWith<LedgerEntry | 'audit'>(async (message) => {
  if (message !== 'audit') return appendFileSync(file, `${JSON.stringify(message)}\n`)
  const entries = readLines<LedgerEntry>(file)
  const bank = await openBank(location)
  const bookings = await bank.bookings()
  await bank.close()
  return { payments: audit('payments', entries, bookings), charges: audit('charges', entries, readLines(providerFile)) }
})
ready({ port: 0 })

function audit(effect: Effect, entries: readonly LedgerEntry[], bookings: readonly Booking[]): Audit {
  const own = entries.filter((entry) => entry.effect === effect)
  const asked = own.filter((entry) => entry.entry === 'asked')
  const answered = own.filter((entry) => entry.entry === 'answered')
  const askedCents = new Map(asked.map(({ reference, cents }) => [reference, cents]))
  const booked = new Map<string, Booking[]>()
  for (const booking of bookings) booked.set(booking.reference, [...(booked.get(booking.reference) ?? []), booking])

  let centsOff = 0
  for (const reference of new Set([...askedCents.keys(), ...booked.keys()])) {
    const sum = (booked.get(reference) ?? []).reduce((cents, booking) => cents + booking.cents, 0)
    centsOff += Math.abs(sum - (askedCents.get(reference) ?? 0))
  }
  return {
    asked: asked.length,
    answered: answered.length,
    booked: bookings.length,
    duplicates: bookings.length - booked.size,
    missing: asked.filter(({ reference }) => !booked.has(reference)).length,
    wrong: bookings.filter(({ reference, cents }) => askedCents.get(reference) !== cents).length,
    wrongAnswers: answered.filter(({ reference, bookingId }) => !booked.get(reference)?.some(({ id }) => id === bookingId)).length,
    centsOff,
  }
}

function readLines<Line>(path: string): Line[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}
