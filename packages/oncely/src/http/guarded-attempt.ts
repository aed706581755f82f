import type { AttemptContext } from '../core/index.ts'

const attempts = new WeakMap<object, AttemptContext>()

/** Keeps the attempt that a guarded request runs in, for its handler; `request` is what the framework hands to handlers. */
export function keepAttempt(request: object, context: AttemptContext | undefined): void {
  if (context !== undefined) attempts.set(request, context)
}

/** The attempt that a guarded handler runs in (`deriveKey`, `fence`, `signal`); undefined for a request without a key. */
export function attemptOf(request: object): AttemptContext | undefined {
  return attempts.get(request)
}
