/** What is there at once, or comes later. A replay from memory is there at once: a turn that it waited for would cost as much as all it does. */
export type Eventually<T> = T | Promise<T>

/** Goes on with a value: at once where it is there, so that what `next` throws is thrown here too. */
export function andThen<T, U>(value: Eventually<T>, next: (value: T) => Eventually<U>): Eventually<U> {
  return isLater(value) ? Promise.resolve(value).then(next) : next(value)
}

/** A query builder is no Promise, and yet is waited for like one. */
function isLater<T>(value: Eventually<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value
}
