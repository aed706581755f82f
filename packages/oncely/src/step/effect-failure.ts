const notAppliedBrand: unique symbol = Symbol.for('oncely.effect-not-applied')
const replayedBrand: unique symbol = Symbol.for('oncely.effect-failure-replayed')

/**
 * Thrown by the function of an effect when the call was surely not applied: it was never sent (connection refused, unknown host), or
 * the other side said so. It is sent again under the same key.
 */
export class EffectNotApplied extends Error {
  constructor(reason: string, options?: { readonly cause?: unknown }) {
    super(`The call was not applied: ${reason}`, options)
    this.name = 'EffectNotApplied'
    Object.defineProperty(this, notAppliedBrand, { value: true })
  }
}

/**
 * Thrown by the function of an effect when the other side marks its answer as the replay of a failure that it stored for this key
 * (Stripe: a 5xx with `Idempotent-Replayed: true`). The same key will get the same answer for ever, and whether the first call was
 * applied is unknown.
 */
export class EffectFailureReplayed extends Error {
  constructor(reason: string, options?: { readonly cause?: unknown }) {
    super(`The other side replays a stored failure: ${reason}`, options)
    this.name = 'EffectFailureReplayed'
    Object.defineProperty(this, replayedBrand, { value: true })
  }
}

/** What an error of the user's function says about its call. Whatever it does not say is unknown. */
export function fateOf(error: unknown): 'not-applied' | 'failure-replayed' | 'unknown' {
  if (typeof error !== 'object' || error === null) return 'unknown'
  if ((error as Record<symbol, unknown>)[notAppliedBrand] === true) return 'not-applied'
  return (error as Record<symbol, unknown>)[replayedBrand] === true ? 'failure-replayed' : 'unknown'
}
