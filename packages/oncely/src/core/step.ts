import type { Outcome } from './outcome.ts'
import type { OwnerAnswer, Ownership } from './store.ts'

/**
 * Operations of several steps. Each step leaves a recovery point, and an attempt that follows a crash replays the points and goes
 * on after the last one.
 *
 *   start ──▶ transaction: done, with the step's rows in one commit
 *         ──▶ effect: intended (key stored) ──called──▶ done │ withdrawn (proven not applied) ──called again──▶ done
 *         ──▶ rejection: from here on nothing but undos
 */
export type StepKind = 'start' | 'transaction' | 'effect' | 'rejection'

export type StepState = 'intended' | 'withdrawn' | 'done'

/** One recovery point. `path` orders the points: `1`, `2`, in the branches of a parallel step `2.0.1`, of an undo `undo/2`. */
export interface StepPoint {
  readonly path: string
  readonly kind: StepKind
  readonly name: string
  readonly state: StepState
  /** The call of an effect: its generation's key, when it was last sent, and when the other side forgets the key. */
  readonly call:
    | { readonly key: string; readonly generation: number; readonly calledAtMs: number; readonly expiresAtMs: number }
    | undefined
  readonly value: Outcome | undefined
}

/** What one life of a record has left behind, read at `nowMs` of the store's time. */
export interface StepHistory {
  readonly version: number
  /** The payload's unkeyed digest. */
  readonly payload: Uint8Array
  readonly input: Outcome | undefined
  readonly points: readonly StepPoint[]
  readonly nowMs: number
}

/** An operation whose owner is gone. */
export interface AbandonedRun {
  readonly id: Uint8Array
  readonly operation: string
  readonly createdAtMs: number
}

/**
 * The port for recovery points, next to the records. Every write compares token and attempt id of the record in its own commit (or
 * in the step's), and answers `lost` when they are not the newest of a running record.
 */
export interface StepStore<Tx> {
  /** Stores version, payload and input. */
  start(
    ownership: Ownership,
    start: { readonly version: number; readonly payload: Uint8Array; readonly input: Outcome },
  ): Promise<OwnerAnswer>
  /** Undefined when this life of the record has no start. */
  read(id: Uint8Array, createdAtMs: number): Promise<StepHistory | undefined>
  /** Stores that a call is about to be sent. A new generation's lifetime counts from here; a repeated one keeps its end. */
  intend(ownership: Ownership, intent: StepIntent): Promise<OwnerAnswer>
  /** Stores the end of an effect, or a rejection. */
  settle(ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer>
  /** Inside the step's transaction, before the user's function: compares the token, and marks the transaction. */
  enter(tx: Tx, ownership: Ownership): Promise<OwnerAnswer>
  /**
   * Inside the step's transaction, as its last statement: compares the token under a lock and stores the point.
   *
   * @throws TransactionEscaped when the user's function has ended the transaction itself.
   */
  commit(tx: Tx, ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer>
  /** After the user's function threw: whether its transaction is still the one it was given. */
  isOpen(tx: Tx): Promise<boolean>
  /** Takes the record out of every automatic hand; an operator decides. */
  quarantine(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer>
  /**
   * Started operations that nobody holds: their lease ended, or an operator released them. The wait after an attempt doubles from
   * `backoffMs` up to `backoffMaxMs`.
   */
  abandoned(search: {
    readonly operations: readonly string[]
    readonly limit: number
    readonly backoffMs: number
    readonly backoffMaxMs: number
  }): Promise<readonly AbandonedRun[]>
}

export interface StepIntent {
  readonly path: string
  readonly name: string
  readonly key: string
  readonly generation: number
  readonly lifetimeMs: number
}

export interface SettledPoint {
  readonly path: string
  readonly kind: StepKind
  readonly name: string
  readonly state: 'withdrawn' | 'done'
  readonly value: Outcome | undefined
}
