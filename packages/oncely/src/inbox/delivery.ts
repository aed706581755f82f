import type { QuarantineReason } from '../core/index.ts'

/**
 * What a broker driver does with a message. It decides nothing itself.
 *
 * - `ack`, `dead-lettered`: acknowledge it, or count it as consumed; nothing of it is needed any more.
 * - `retry-later`: do not acknowledge; deliver it again after `retryAfterMs`. Where the broker keeps order, what follows it in its
 *   partition has been answered `retry-later` too, unless it needs no order.
 * - `abandoned`: neither: the partition belongs to somebody else now, who is given the message.
 */
export type Delivery =
  | { readonly word: 'ack'; readonly because: AckReason }
  | { readonly word: 'dead-lettered'; readonly reason: QuarantineReason }
  | { readonly word: 'retry-later'; readonly retryAfterMs: number; readonly because: RetryReason }
  | { readonly word: 'abandoned' }

/** `parked`: the store keeps it until its turn. `unprotected`: it ran, and the policy let it run without a record. */
export type AckReason = 'done' | 'replayed' | 'parked' | 'unprotected'

/** `behind`: an earlier message of its order has to come first. */
export type RetryReason = 'failed' | 'backing-off' | 'in-progress' | 'unavailable' | 'behind'
