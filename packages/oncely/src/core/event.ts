/** What the engine tells whoever listens: one object per thing that happened, without keys, bodies or values. */
export interface OncelyEvent {
  readonly type: OncelyEventType
  readonly operation: string
  /** The record's id in hexadecimal; empty where there is none. */
  readonly record: string
  /** Twelve hexadecimal digits of the principal's digest: tells clients apart without naming them. Empty where none was resolved. */
  readonly client: string
  readonly attempt: number
  readonly reason: string
  readonly error: unknown
}

export type OncelyEventType =
  | 'claimed'
  | 'taken-over'
  | 'completed'
  | 'released'
  | 'sealed'
  | 'rolled-back'
  | 'retried'
  | 'replayed'
  | 'in-progress'
  | 'mismatch'
  | 'uncertain'
  | 'resolved'
  | 'quarantined'
  | 'expired'
  | 'forbidden'
  | 'unavailable'
  /** The caller's budget of new or running keys is used up. */
  | 'over-budget'
  | 'unprotected'
  | 'unrecorded'
  | 'unkeyed'
  | 'observed'
  /** A value of the table that is taken over from became a record. */
  | 'adopted'
  | 'lease-lost'
  | 'outcome-conflict'
  | 'transaction-escaped'
  /** A message of the outbox was not sent, or a relay could not look; `reason` says what and how often. */
  | 'relay-failed'
  /** An aggregate of the outbox waits for an operator. */
  | 'relay-parked'
  /** Seen in development: a handler reached for the network while its transaction was open. */
  | 'network-in-transaction'
  /** The cache failed several times in a row and is left alone for a while. */
  | 'cache-down'
  /** The shared counter of budgets did not answer; this process counts alone meanwhile. */
  | 'budget-down'
  /** The cache answered a frame that nobody with the secret wrote. */
  | 'cache-refused'

/** Receives every event, in the call that caused it; it must not throw and must not wait. */
export type EventSink = (event: OncelyEvent) => void
