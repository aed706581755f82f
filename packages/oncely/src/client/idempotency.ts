/** What a call learned about its effect; on every response, and on `NoAnswer`. */
export interface Idempotency {
  /** The key that every attempt carried; absent for a safe method without one. */
  readonly key: string | undefined
  /** How often the request was sent, 1 or more. */
  readonly attempts: number
  /** The server answered with the outcome of an earlier request. */
  readonly replayed: boolean
  /**
   * The effect may or may not have happened, and this answer does not tell: a server error, a request still running, a record the
   * server calls uncertain, or a refusal after an attempt whose answer was lost, also one of an earlier call of the intent. Repeat
   * with the same key, never with a new one.
   */
  readonly uncertain: boolean
  /** False while another region may still win over this answer. */
  readonly settled: boolean
}
