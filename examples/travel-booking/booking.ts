import { createOncely, EffectFailureReplayed, type EffectLookup, EffectNotApplied, type Oncely, type StepOperation } from 'oncely'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'

export interface Trip {
  readonly trip: string
}

export interface Booked {
  readonly flight: string
  readonly hotel: string
  readonly payment: string
}

type Booking = StepOperation<Trip, Booked, SqliteConnection>

/** One trip in five steps: rows of our own before and after, and three providers between. */
export function declareBooking(oncely: Oncely<SqliteConnection>, providers: string): Booking {
  const booking = oncely.operation<Trip, Booked>('book-trip', { version: 1, policy: ['financial', { lease: '2s' }], bind: 'steps' })
  return booking.define(async ({ step, input: { trip } }) => {
    await step.transaction('reserve', (tx) => void tx.prepare("INSERT INTO trips (trip, event) VALUES (?, 'reserved')").run(trip))
    const again = { remoteKeyLifetime: '24h', onAmbiguous: 'retry-with-key' } as const
    const flight = await step.effect('flight', { ...again, undo: cancel('flight') }, ({ key, signal }) => book('flight', trip, key, signal))
    const hotel = await step.effect('hotel', { ...again, undo: cancel('hotel') }, ({ key, signal }) => book('hotel', trip, key, signal))
    const payment = await step.effect('payment', { ...again, lookup: look }, ({ key, signal }) => book('payment', trip, key, signal))
    await step.transaction('confirm', (tx) => void tx.prepare("INSERT INTO trips (trip, event) VALUES (?, 'confirmed')").run(trip))
    return { flight, hotel, payment }
  })

  /** An answer is final; what was surely not sent and what is the replay of a failure say so; all else is ambiguous. */
  async function book(provider: string, trip: string, key: string, signal: AbortSignal): Promise<string> {
    const response = await fetch(`${providers}/${provider}/${trip}`, { method: 'POST', headers: { 'idempotency-key': key }, signal }).catch(
      (error: unknown) => {
        const { code } = ((error as Error).cause ?? {}) as { readonly code?: string }
        throw code === 'ECONNREFUSED' ? new EffectNotApplied('connection refused', { cause: error }) : error
      },
    )
    if (response.ok) return ((await response.json()) as { readonly reference: string }).reference
    const failure = `${provider} answered ${response.status}`
    throw response.headers.has('idempotent-replayed') ? new EffectFailureReplayed(failure) : new Error(failure)
  }

  function look({ key, signal }: Parameters<EffectLookup<string>>[0]): ReturnType<EffectLookup<string>> {
    return fetch(`${providers}/payment/`, { headers: { 'idempotency-key': key }, signal }).then(async (response) => {
      if (response.status === 404) return { verdict: 'not-applied' }
      if (!response.ok) return { verdict: 'unknown' }
      return { verdict: 'applied', value: ((await response.json()) as { readonly reference: string }).reference }
    })
  }

  function cancel(provider: string) {
    return {
      remoteKeyLifetime: '24h',
      onAmbiguous: 'retry-with-key',
      call: async ({ key, signal, value }: { readonly key: string; readonly signal: AbortSignal; readonly value: string }) =>
        void (await book(provider, `cancel-${value}`, key, signal)),
    } as const
  }
}

/** An instance over one SQLite file, with the table of trips. */
export async function openBooking(path: string, providers: string): Promise<{ oncely: Oncely<SqliteConnection>; booking: Booking }> {
  const store = sqliteStore({ path })
  const oncely = createOncely({ namespace: 'travel', store })
  const booking = declareBooking(oncely, providers)
  await oncely.open()
  await store.transact(undefined, { lockTimeoutMs: 5_000, idleTimeoutMs: 5_000, isolation: 'default' }, async ({ tx }) => {
    tx.exec('CREATE TABLE IF NOT EXISTS trips (trip TEXT NOT NULL, event TEXT NOT NULL) STRICT')
    return { end: 'commit', outcome: undefined, value: undefined }
  })
  return { oncely, booking }
}
