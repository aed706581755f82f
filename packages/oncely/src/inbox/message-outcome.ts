import type { QuarantineReason } from '../core/index.ts'
import type { AckReason, RetryReason } from './delivery.ts'

/** How one try of a message ended. */
export type MessageOutcome =
  | { readonly kind: 'done'; readonly because: AckReason }
  /** The handler failed, and may succeed later. */
  | { readonly kind: 'failed'; readonly error: string }
  /** It never will succeed. */
  | { readonly kind: 'hopeless'; readonly reason: QuarantineReason; readonly error: string }
  /** Nothing is wrong with it. */
  | { readonly kind: 'undecided'; readonly retryAfterMs: number; readonly because: RetryReason }
  /** Somebody else owns it: this attempt changed nothing. */
  | { readonly kind: 'fenced' }

const errorCharactersMax = 500

/** An error as an operator reads it. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return text.length > errorCharactersMax ? `${text.slice(0, errorCharactersMax)}…` : text
}
