const brand: unique symbol = Symbol.for('oncely.rejection')

/**
 * Thrown by a handler to answer "no" for good: its rows are rolled back, and the refusal is recorded and replayed like any
 * outcome. A failure that a retry may cure is an ordinary exception instead.
 */
export class Rejection<T = unknown> extends Error {
  readonly value: T

  constructor(value: T) {
    super('The handler rejected the request for good.')
    this.name = 'Rejection'
    this.value = value
    Object.defineProperty(this, brand, { value: true })
  }
}

/** True for a `Rejection`, whichever copy of the library made it. */
export function isRejection(error: unknown): error is Rejection {
  return typeof error === 'object' && error !== null && (error as Record<symbol, unknown>)[brand] === true
}
