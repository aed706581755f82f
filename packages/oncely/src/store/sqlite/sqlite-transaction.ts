import {
  type ClaimAnswer,
  type Clock,
  type CompleteAnswer,
  type OutboxRow,
  type Outcome,
  type Ownership,
  TransactionDead,
  type TransactionEnd,
  type TransactionResult,
  type TransactionWork,
  Unsupported,
} from '../../core/index.ts'
import { addMessages, completeWith } from './outbox-table.ts'
import { readRecord } from './record-table.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'
import { storeError } from './sqlite-error.ts'
import { orRollBack, type SqliteFile } from './sqlite-file.ts'
import type { OpenWriter } from './writer-queue.ts'

/**
 * One handler's transaction, from the granted claim to its end:
 *
 *   claimed ──handler returns──▶ completed + COMMIT           committed
 *      ├─handler asks for a roll-back──▶ ROLLBACK             rolled-back
 *      ├─writes nothing for idleTimeoutMs──▶ ROLLBACK, close  fenced
 *      └─handler ends the transaction itself──▶ committed, alone: true  |  sealed: escaped  |  TransactionDead
 *
 * A savepoint set before the handler tells whether the transaction is still ours: it goes with the transaction it was set in.
 */
export interface HandlerParts<Tx extends SqliteConnection> {
  readonly file: SqliteFile<Tx>
  readonly writer: OpenWriter<Tx>
  readonly clock: Clock
  readonly idleTimeoutMs: number
  readonly claim: Extract<ClaimAnswer, { word: 'acquired' }> | undefined
  readonly aftermath: Aftermath
}

/** What the store does in transactions of its own when a handler has ended the one it was given. */
export interface Aftermath {
  /** Undefined when the claim is not there: it was rolled back. */
  completeWhatStands(ownership: Ownership, outcome: Outcome, messages: readonly OutboxRow[]): Promise<CompleteAnswer | undefined>
  /** True when the claim is there for everybody to see; it is sealed then. */
  sealWhatStands(ownership: Ownership, reason: string): Promise<boolean>
}

type Settled<R> =
  | { readonly kind: 'returned'; readonly end: TransactionEnd<R> }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'silent' }

const mark = 'oncely_handler'
const endedByHandler = 'the handler committed its transaction itself and then failed'
const silentAfterCommit = 'the handler committed its transaction itself and was then silent for too long'

export class HandlerTransaction<Tx extends SqliteConnection> {
  readonly #parts: HandlerParts<Tx>
  readonly #connection: Connection<Tx>
  #reusable = true
  #given = false

  constructor(parts: HandlerParts<Tx>) {
    this.#parts = parts
    this.#connection = parts.writer.connection
  }

  async run<R>(body: (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>): Promise<TransactionResult<R>> {
    try {
      orRollBack(this.#connection, () => this.#connection.run(`SAVEPOINT ${mark}`))
      const work = body({ tx: this.#connection.handle, claim: this.#parts.claim })
      const settled = await (this.#connection.borrowed ? this.#thisTurn(work) : this.#untilSilent(work))
      return await this.#conclude(settled)
    } finally {
      this.#leave()
    }
  }

  async #conclude<R>(settled: Settled<R>): Promise<TransactionResult<R>> {
    switch (settled.kind) {
      case 'returned':
        return settled.end.end === 'commit' ? this.#commit(settled.end) : this.#rollBack(settled.end.value)
      case 'threw':
        if (!this.#undoOwn()) await this.#sealWhatStands(endedByHandler)
        throw settled.error
      case 'silent': {
        // Closed, so that a statement of the late handler fails instead of running outside of any transaction.
        this.#reusable = false
        if (!this.#undoOwn()) await this.#sealWhatStands(silentAfterCommit)
        return { word: 'fenced' }
      }
      default:
        return settled satisfies never
    }
  }

  async #commit<R>({ outcome, value, messages = [] }: Extract<TransactionEnd<R>, { end: 'commit' }>): Promise<TransactionResult<R>> {
    const { claim } = this.#parts
    const connection = this.#connection
    if (claim === undefined) return this.#commitPlain(value, messages)
    if (outcome === undefined) {
      this.#undoOwn()
      throw new TypeError('a claimed transaction is committed with an outcome')
    }
    if (!connection.inTransaction) return this.#completeAlone(claim.ownership, outcome, value, messages)
    const word = this.#completeHere(claim.ownership, outcome, messages)
    if (word !== 'done') return this.#refuseCommit(claim.ownership)
    const own = connection.releaseSavepoint(mark)
    this.#commitHere()
    return { word: 'committed', value, alone: !own }
  }

  #commitPlain<R>(value: R, messages: readonly OutboxRow[]): TransactionResult<R> {
    // Without a transaction each of them commits by itself.
    orRollBack(this.#connection, () => addMessages(this.#connection, messages, this.#parts.clock.nowMs()))
    if (!this.#connection.inTransaction) return { word: 'committed', value, alone: true }
    const own = this.#connection.releaseSavepoint(mark)
    this.#commitHere()
    return { word: 'committed', value, alone: !own }
  }

  #completeHere(ownership: Ownership, outcome: Outcome, messages: readonly OutboxRow[]): CompleteAnswer {
    try {
      return completeWith(this.#connection, ownership, outcome, messages, this.#parts.clock.nowMs())
    } catch (error) {
      // When the handler has committed a transaction of its own before, undoing this one does not undo that.
      throw storeError(error, this.#undoOwn() ? 'no' : 'unknown')
    }
  }

  #commitHere(): void {
    this.#reusable = false
    this.#parts.file.commit(this.#connection)
    this.#reusable = true
  }

  /** Our claim is not the newest any more, or the handler rolled it back and opened another transaction. */
  async #refuseCommit(ownership: Ownership): Promise<{ readonly word: 'fenced' }> {
    if (this.#undoOwn()) return { word: 'fenced' }
    const record = await this.#parts.file.read((reader) => readRecord(reader, ownership.id))
    if (record === undefined) throw dead()
    return { word: 'fenced' }
  }

  /** The transaction is over: by the handler's COMMIT, then the claim stands, or because SQLite or the handler rolled it back. */
  async #completeAlone<R>(ownership: Ownership, outcome: Outcome, value: R, messages: readonly OutboxRow[]): Promise<TransactionResult<R>> {
    this.#leave()
    const word = await this.#parts.aftermath.completeWhatStands(ownership, outcome, messages)
    if (word === undefined) throw dead()
    return word === 'done' ? { word: 'committed', value, alone: true } : { word: 'fenced' }
  }

  async #rollBack<R>(value: R): Promise<TransactionResult<R>> {
    if (this.#undoOwn()) return { word: 'rolled-back', value }
    return (await this.#sealWhatStands(endedByHandler)) ? { word: 'escaped', value } : { word: 'rolled-back', value }
  }

  /** True when the transaction was still the one we opened, so that its whole work is undone. */
  #undoOwn(): boolean {
    const own = this.#connection.inTransaction && this.#connection.rollBackTo(mark)
    this.#connection.undo()
    return own
  }

  /** A claim that is visible was committed by the handler. Nobody knows what else it did. */
  async #sealWhatStands(reason: string): Promise<boolean> {
    const { claim, aftermath } = this.#parts
    if (claim === undefined) return false
    this.#leave()
    return aftermath.sealWhatStands(claim.ownership, reason)
  }

  /** Gives connection and turn back, once. */
  #leave(): void {
    if (this.#given) return
    this.#given = true
    this.#connection.undo()
    this.#parts.file.giveBack(this.#connection, this.#reusable && this.#connection.isIdle)
    this.#parts.writer.leave()
  }

  /**
   * The handler, or `silent` when its transaction is open and wrote nothing for `idleTimeoutMs`: there is no server that would
   * end it, and until it ends nobody writes to the file.
   */
  async #untilSilent<R>(work: Promise<TransactionEnd<R>>): Promise<Settled<R>> {
    let cancel = (): void => {}
    const silence = new Promise<Settled<R>>((resolve) => {
      let changes = this.#changes()
      const watch = (): void => {
        cancel = this.#parts.clock.after(Math.min(this.#parts.idleTimeoutMs, timerMsMax), () => {
          const now = this.#changes()
          // A handler that has ended its transaction keeps nobody from writing.
          if (now === changes && this.#connection.inTransaction) return resolve({ kind: 'silent' })
          changes = now
          watch()
        })
      }
      watch()
    })
    try {
      return await Promise.race([settle(work), silence])
    } finally {
      cancel()
    }
  }

  /** Rows changed so far; another value each time while the connection is busy with a statement that the handler iterates. */
  #changes(): number {
    try {
      return this.#connection.get<{ changes: number }>('SELECT total_changes() AS changes')?.changes ?? 0
    } catch {
      return Number.NaN
    }
  }

  /**
   * The handler's end within this turn of the event loop. On a shared connection every later turn could bring statements of other
   * requests into this transaction, and a roll-back would undo them.
   */
  async #thisTurn<R>(work: Promise<TransactionEnd<R>>): Promise<Settled<R>> {
    let settled: Settled<R> | undefined
    void settle(work).then((end) => {
      settled = end
    })
    for (let tick = 0; tick < ticksMax && settled === undefined; tick++) await undefined
    if (settled !== undefined) return settled
    return {
      kind: 'threw',
      error: new Unsupported(
        'The handler waits for something while it holds the connection that the whole process shares, so it was rolled back. Give sqliteStore a path or a factory instead of a handle, or make the handler synchronous.',
      ),
    }
  }
}

/** What a timer can hold. */
const timerMsMax = 2_147_483_647

/** More promise reactions than any synchronous handler leaves behind, and done in a fraction of a millisecond. */
const ticksMax = 1_000

function settle<R>(work: Promise<TransactionEnd<R>>): Promise<Settled<R>> {
  return work.then(
    (end) => ({ kind: 'returned', end }),
    (error: unknown) => ({ kind: 'threw', error }),
  )
}

function dead(): TransactionDead {
  return new TransactionDead(
    'The transaction was rolled back before the handler returned: a statement failed for want of disk or memory and its error was swallowed, or the handler rolled back itself. Nothing was committed; let the first error pass.',
  )
}
