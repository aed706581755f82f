import {
  type ClaimAnswer,
  type ClaimRequest,
  type Clock,
  type CompleteAnswer,
  ForeignTransaction,
  type OncelyRecord,
  type OutboxRow,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  TransactionEscaped,
  type TransactionScope,
  transition,
  Unsupported,
} from '../../core/index.ts'
import { readInstance } from './instance.ts'
import { completeWith } from './outbox-table.ts'
import { busy, type Patience, patiently } from './patience.ts'
import { claimRow, moveRow, noTrace, readRecord } from './record-table.ts'
import type { Connection } from './sqlite-connection.ts'
import { storeError } from './sqlite-error.ts'
import type { Aftermath } from './sqlite-transaction.ts'

/** What a scope needs of its store. */
export interface ScopeParts {
  readonly patience: Patience
  readonly busyTimeoutMs: number
  readonly retryAfterMs: number
  /** Whether an instance id is the one of the store's own file. */
  readonly isOwn: (instanceId: string) => Promise<boolean>
  /** Whether a connection runs on the same copy of SQLite as the store's own. */
  readonly isOwnBuild: (connection: Connection) => Promise<boolean>
  /** Whether everybody sees this attempt of the record, and not the transaction that made it alone. */
  readonly isCommitted: (record: OncelyRecord) => Promise<boolean>
  readonly aftermath: Aftermath
}

let savepoints = 0

/**
 * Claim and completion inside a transaction that the user opened, each claim in a savepoint of its own. Nothing of it is final
 * before the user's commit.
 */
export class SqliteScope implements TransactionScope {
  readonly #connection: Connection
  readonly #parts: ScopeParts
  readonly #clock: Clock
  #open: { readonly savepoint: string; readonly ownership: Ownership } | undefined

  constructor(connection: Connection, parts: ScopeParts) {
    this.#connection = connection
    this.#parts = parts
    this.#clock = parts.patience.clock
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    await this.#checkTransaction()
    const own = await this.#guarded(() => this.#runningHere(request))
    if (own !== undefined) return own
    const savepoint = `oncely_${++savepoints}`
    const deadlineMs = this.#clock.monotonicMs() + this.#parts.busyTimeoutMs
    const answer = await this.#guarded(() => patiently(this.#parts.patience, deadlineMs, () => this.#claimIn(savepoint, request)))
    if (answer === busy) return { word: 'in-progress', retryAfterMs: this.#parts.retryAfterMs }
    if (answer.word === 'acquired') this.#open = { savepoint, ownership: answer.ownership }
    else this.#connection.releaseSavepoint(savepoint)
    return answer
  }

  async complete(ownership: Ownership, outcome: Outcome, messages: readonly OutboxRow[] = []): Promise<CompleteAnswer> {
    const open = this.#open
    if (!this.#connection.inTransaction) {
      this.#open = undefined
      return (await this.#parts.aftermath.completeWhatStands(ownership, outcome, messages)) ?? 'lost'
    }
    const answer = await this.#guarded(async () => completeWith(this.#connection, ownership, outcome, messages, this.#clock.nowMs()))
    if (answer !== 'done') return answer
    if (open !== undefined) this.#connection.releaseSavepoint(open.savepoint)
    this.#open = undefined
    return answer
  }

  async quarantine(ownership: Ownership, { reason }: { readonly reason: string }): Promise<OwnerAnswer> {
    const open = this.#open
    const event = { type: 'quarantine', ownership, reason } as const
    const answer = await this.#guarded(async () =>
      moveRow<'quarantine'>(this.#connection, ownership.id, event, this.#clock.nowMs(), noTrace),
    )
    if (answer !== 'done') return answer
    if (open !== undefined) this.#connection.releaseSavepoint(open.savepoint)
    this.#open = undefined
    return answer
  }

  async rollBack(): Promise<void> {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    if (this.#connection.inTransaction && this.#connection.rollBackTo(open.savepoint)) {
      this.#connection.releaseSavepoint(open.savepoint)
      return
    }
    if (!(await this.#parts.aftermath.sealWhatStands(open.ownership, 'the handler committed the transaction itself and then failed')))
      return
    throw new TransactionEscaped(
      'The handler ended the transaction that was handed in and then failed: its rows are committed, so the record is uncertain. Leave COMMIT and ROLLBACK to whoever opened it.',
    )
  }

  /**
   * The answer to a claim of a key that this very transaction holds and has not completed. A running row of a transaction is a
   * mistake when it was committed; here it is what the caller's own caller is doing.
   */
  async #runningHere(request: ClaimRequest): Promise<ClaimAnswer | undefined> {
    const record = readRecord(this.#connection, request.id)
    if (record?.state !== 'running' || record.bind !== 'transaction') return undefined
    if (await this.#parts.isCommitted(record)) return undefined
    const nowMs = this.#clock.nowMs()
    const held: OncelyRecord = { ...record, bind: 'lease', leaseEndMs: nowMs + this.#parts.retryAfterMs }
    return transition<'claim'>(held, { type: 'claim', request, token: record.token }, nowMs).answer
  }

  /** Undone as a whole before `busy` is answered, so that another try begins where this one did. */
  #claimIn(savepoint: string, request: ClaimRequest): ClaimAnswer {
    this.#connection.handle.exec(`SAVEPOINT ${savepoint}`)
    try {
      return claimRow(this.#connection, request, this.#clock.nowMs())
    } catch (error) {
      if (this.#connection.rollBackTo(savepoint)) this.#connection.releaseSavepoint(savepoint)
      throw error
    }
  }

  async #checkTransaction(): Promise<void> {
    const instance = await this.#guarded(async () => readInstance(this.#connection))
    if (instance === undefined || !(await this.#parts.isOwn(instance.instanceId))) {
      throw new ForeignTransaction(
        instance === undefined
          ? "The transaction handed in is of an SQLite file without the store's tables; hand in a transaction of the file that the store was opened on."
          : "The transaction handed in is of another SQLite file than the store's, so they cannot commit together.",
      )
    }
    if (!(await this.#parts.isOwnBuild(this.#connection))) {
      throw new Unsupported(
        "The transaction handed in was opened by another copy of SQLite than the store's. Two copies in one process do not see each other's locks and can corrupt the file; give sqliteStore a factory that opens it with your driver.",
      )
    }
    if (!this.#connection.inTransaction) {
      throw new Unsupported('The connection handed in has no open transaction; run BEGIN IMMEDIATE on it first.')
    }
  }

  async #guarded<R>(run: () => Promise<R>): Promise<R> {
    try {
      return await run()
    } catch (error) {
      throw storeError(error, 'no')
    }
  }
}
