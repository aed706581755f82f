import type { Store, TransactionalStore } from '../core/index.ts'
import type { Cases } from './runner.ts'

/** One store with records of its own, as a case of the suite gets it. */
export interface StoreHarness<Tx = never> {
  /** Migrated and opened. */
  readonly store: Store
  /** A second connection to the same records, opened; the harness closes it. A store of one process answers with itself. */
  reopen(): Promise<Store>
  /** The time that decides leases and ages: the server's, or that of the clock handed to the store. */
  nowMs(): number | Promise<number>
  /**
   * Lets time pass for the records of this harness: a clock handed to the store moves at once and only here; on a server's clock
   * the times in this harness's rows are set back.
   */
  advance(ms: number): Promise<void>
  /** Closes every connection; removes the records after a case that passed, and keeps them to be looked at after one that failed. */
  close(ended: 'passed' | 'failed'): Promise<void>
  /** An opened connection to an empty database, before `migrate()`; left out by a store without a schema. */
  unmigrated?(): Promise<Store>
  /** For a store whose `capabilities.transactional` is true. */
  readonly transactional?: TransactionalHarness<Tx>
}

/** What the cases about transactions need to do as the user would. */
export interface TransactionalHarness<Tx> {
  /** A table of the user's in the same database. */
  readonly effects: {
    /** Inserts a row inside the transaction. */
    add(tx: Tx, value: string): Promise<void>
    /** The committed rows, in the order in which they were added. */
    list(): Promise<readonly string[]>
  }
  /** A transaction that the user opens and ends, on a connection of its own. */
  begin(): Promise<{ readonly tx: Tx; commit(): Promise<void>; rollback(): Promise<void> }>
  /** Commits inside the handler, as one that does not leave that to the library. */
  end(tx: Tx): Promise<void>
  /** Runs a statement whose failure ends the transaction for the database; rejects with the driver's error. */
  breakStatement(tx: Tx): Promise<void>
  /** Gives the record a newer token inside the transaction, as only a bug or a wrong restore would. */
  supersede?(tx: Tx, id: Uint8Array): Promise<void>
  /** A transaction of another database; left out where the store cannot tell. */
  foreign?(): Promise<{ readonly tx: Tx; close(): Promise<void> }>
}

/** Cases that every store is held to. */
export type StoreCases = Cases<StoreHarness>

/** Cases about the user's transaction; `Tx` is opaque to them. */
export type TransactionCases = Cases<TransactionSubject>

export interface TransactionSubject {
  readonly harness: StoreHarness
  readonly store: TransactionalStore<never>
  readonly transactional: TransactionalHarness<never>
}
