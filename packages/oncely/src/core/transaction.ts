import type { InboxStore } from './inbox.ts'
import type { OutboxRow, OutboxStore } from './outbox.ts'
import type { Outcome } from './outcome.ts'
import type { StepStore } from './step.ts'
import type { ClaimAnswer, ClaimRequest, CompleteAnswer, OwnerAnswer, Ownership, Store } from './store.ts'

/**
 * The port of a store whose record commits together with the user's own rows. `Tx` is the handle of the user's data layer, the
 * same one the handler gets.
 */
export interface TransactionalStore<Tx> extends Store {
  /** What consumers of messages keep; absent in a store that keeps none. */
  readonly inbox?: InboxStore<Tx>
  /** Messages that commit with the user's rows; absent in a store that keeps none. */
  readonly outbox?: OutboxStore<Tx>
  /**
   * Opens a transaction, claims in it, runs `body` with the user's handle, then completes and commits, or rolls back. Without a
   * request it is a plain transaction. `body` is called at most once and only after `acquired`.
   *
   * Throws `TransactionConflict` when the whole transaction may be repeated, `StoreUnavailable` when nothing was committed
   * (`applied: 'no'`) or nobody can know yet (`applied: 'unknown'`), and what `body` throws.
   */
  transact<R>(
    request: ClaimRequest | undefined,
    options: TransactionOptions,
    body: (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>,
  ): Promise<TransactionResult<R>>
  /** The same claim and completion inside a transaction that the user opened; final only after the user's commit. */
  within(tx: Tx): TransactionScope
  /** What an error thrown by the user's data layer means for the transaction it was thrown in. */
  classify(error: unknown): TransactionErrorMeaning
  /** Recovery points; without them no operation is bound to steps. */
  readonly steps?: StepStore<Tx>
}

export interface TransactionOptions {
  /** Longest wait for a lock inside the transaction. */
  readonly lockTimeoutMs: number
  /** Longest time the server keeps the transaction open while the handler is silent. */
  readonly idleTimeoutMs: number
  readonly isolation: Isolation
}

/** `default` leaves the database's own default. */
export type Isolation = 'default' | 'read-committed' | 'repeatable-read' | 'serializable'

export interface TransactionWork<Tx> {
  readonly tx: Tx
  /** Absent in a plain transaction. */
  readonly claim: Extract<ClaimAnswer, { word: 'acquired' }> | undefined
}

/** How `body` wants its transaction to end. In a plain transaction the outcome is ignored. */
export type TransactionEnd<R> =
  | {
      readonly end: 'commit'
      readonly outcome: Outcome | undefined
      /** Written with the completion, in their order. None without an outbox. */
      readonly messages?: readonly OutboxRow[]
      readonly value: R
    }
  | { readonly end: 'roll-back'; readonly value: R }

export type TransactionResult<R> =
  /** `alone`: the record was completed, but the handler had already ended the transaction itself. */
  | { readonly word: 'committed'; readonly value: R; readonly alone: boolean }
  | { readonly word: 'rolled-back'; readonly value: R }
  /** The claim answered something else than `acquired`; nothing ran. */
  | { readonly word: 'refused'; readonly answer: Exclude<ClaimAnswer, { word: 'acquired' }> }
  /** The handler ended well, but this claim was no longer the newest: the transaction was rolled back. */
  | { readonly word: 'fenced' }
  /** The handler asked for a roll-back, but it had committed the transaction itself: the effect stands, the outcome is unknown. */
  | { readonly word: 'escaped'; readonly value: R }

/** `retry`: repeat the whole transaction. `dead`: an earlier statement failed and the handler went on. `theirs`: the user's own. */
export type TransactionErrorMeaning = 'retry' | 'in-progress' | 'dead' | 'unavailable' | 'theirs'

export interface TransactionScope {
  /** Takes a savepoint, then claims. */
  claim(request: ClaimRequest): Promise<ClaimAnswer>
  /** Ends the claim without an outcome: nobody runs the key until an operator decides. Gives the savepoint up. */
  quarantine(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer>
  /** Writes the messages, completes and gives the savepoint up. */
  complete(ownership: Ownership, outcome: Outcome, messages?: readonly OutboxRow[]): Promise<CompleteAnswer>
  /** Goes back to the savepoint: claim and effects of this call are undone, the user's transaction lives on. */
  rollBack(): Promise<void>
}

/** True when the store can bind the record to the user's transaction. */
export function isTransactional<Tx>(store: Store): store is TransactionalStore<Tx> {
  return store.capabilities.transactional
}
