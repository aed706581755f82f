import type { OutboxStore } from '../core/index.ts'

/** One outbox with messages of its own, as a case of the suite gets it. */
export interface OutboxHarness<Tx = never> {
  readonly outbox: OutboxStore<Tx>
  /** Runs in a transaction of the user's and ends it as the function says. */
  inTransaction(run: (tx: Tx) => Promise<'commit' | 'roll-back'>): Promise<void>
  /** Lets time pass for leases, holds and ages. */
  advance(ms: number): Promise<void>
  /** Removes the messages after a case that passed. */
  close(ended: 'passed' | 'failed'): Promise<void>
}
