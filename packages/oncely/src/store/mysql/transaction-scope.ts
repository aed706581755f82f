import {
  type ClaimAnswer,
  type ClaimRequest,
  type CompleteAnswer,
  ConfigurationError,
  ForeignTransaction,
  type OutboxRow,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  StoreUnavailable,
  TransactionEscaped,
  type TransactionScope,
} from '../../core/index.ts'
import type { DictionaryIds } from '../../sql/index.ts'
import { answerOf, claimLine } from '../../sql/index.ts'
import { boundAttempt, isBusy } from './claim-word.ts'
import { meaningOf } from './mysql-error.ts'
import { insertMessages } from './mysql-outbox.ts'
import { bytes, text, uuid } from './sql-literal.ts'
import { type InsideClaim, owned, type StoreProcedures } from './store-procedure.ts'
import { conflict } from './transact.ts'

let savepoints = 0

/**
 * Claim and completion inside a transaction that the user opened and ends.
 *
 *   SAVEPOINT + claim ──acquired──▶ … ──▶ SAVEPOINT + complete + RELEASE      (final only after the user's COMMIT)
 *           │                       └───▶ ROLLBACK TO + RELEASE
 *           ├─busy, bound──▶ the savepoint is given up; one look on a connection of the pool
 *           └─anything else──▶ the savepoint is given up; a seal stays
 *
 * The server's own innodb_lock_wait_timeout bounds what may wait: the user's settings are not touched. A row that was only locked
 * stays locked until the user ends the transaction, as InnoDB gives no lock back at a savepoint; readers never wait for it.
 */
export class MysqlScope<Tx> implements TransactionScope {
  readonly #procedures: StoreProcedures<Tx>
  readonly #instanceId: () => Promise<string>
  readonly #tx: Tx
  #savepoint: string | undefined
  #request: ClaimRequest | undefined

  constructor(procedures: StoreProcedures<Tx>, instanceId: () => Promise<string>, tx: Tx) {
    this.#procedures = procedures
    this.#instanceId = instanceId
    this.#tx = tx
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const ids = await this.#procedures.dictionaryIds(request)
    const instanceId = await this.#instanceId()
    const inside: InsideClaim = { within: true, committed: false, isolation: 'default', instanceId }
    this.#request = request
    const line = await this.#claimLine(request, ids, inside)
    if (typeof line !== 'string') return line
    if (isBusy(line)) return this.#outside(request, this.#procedures.peek(request))
    const attempt = boundAttempt(line)
    if (attempt === undefined) return this.#answered(request, line)
    // A record of this very transaction is seen by it alone; one that is seen from outside was committed without its outcome.
    const seen = await this.#procedures.rows(
      'a running record',
      `SELECT 1 AS seen FROM ${this.#procedures.nameOf('keys')} k WHERE k.id = ${bytes(request.id)} AND k.attempt_id = ${uuid(attempt)}`,
    )
    if (seen.rows.length === 0) return { word: 'in-progress', retryAfterMs: 1_000 }
    const again = await this.#claimLine(request, ids, { ...inside, committed: true })
    if (typeof again !== 'string') return again
    return isBusy(again) ? { word: 'in-progress', retryAfterMs: 1_000 } : this.#answered(request, again)
  }

  /** The claim's line, under a savepoint that only an acquired record or a written refusal keeps. */
  async #claimLine(request: ClaimRequest, ids: DictionaryIds, inside: InsideClaim): Promise<string | ClaimAnswer> {
    const savepoint = `oncely_${++savepoints}`
    this.#savepoint = savepoint
    const statement = this.#procedures.claimInside(request, ids, inside)
    let line: string
    try {
      line = answerOf(await this.#procedures.layer.run(this.#tx, [`SAVEPOINT ${savepoint}`, statement]))
    } catch (error) {
      return this.#claimFailed(error, await this.#undone())
    }
    if ((isBusy(line) || boundAttempt(line) !== undefined) && !(await this.#undone())) throw conflict(undefined)
    return line
  }

  /**
   * Gives the claim's savepoint up; false when it is gone. A server with innodb_rollback_on_timeout ends the whole transaction when
   * a lock is not to be had, and whoever went on would lose the rows written before.
   */
  #undone(): Promise<boolean> {
    return this.rollBack().then(
      () => true,
      () => false,
    )
  }

  async #answered(request: ClaimRequest, line: string): Promise<ClaimAnswer> {
    const { answer, wrote } = claimLine(line, request.id, request.attemptId)
    if (answer.word === 'acquired') return answer
    if (wrote) await this.#release()
    else await this.rollBack()
    return answer
  }

  async #outside({ id, attemptId }: ClaimRequest, statement: string): Promise<ClaimAnswer> {
    return claimLine(await this.#procedures.word('a look at who runs', statement), id, attemptId).answer
  }

  async complete(ownership: Ownership, outcome: Outcome, messages: readonly OutboxRow[] = []): Promise<CompleteAnswer> {
    const { layer } = this.#procedures
    const statement = this.#procedures.completeInside(false, ownership, outcome, this.#request)
    // After the completion, which raises when the transaction is gone.
    const written = messages.length === 0 ? [] : [insertMessages(this.#procedures, messages)]
    // A completion that raises must not give the claim's savepoint up, as the rows of this call still have to be rolled back.
    const inner = `oncely_${++savepoints}`
    const outer = this.#savepoint ?? inner
    try {
      await layer.run(this.#tx, [`SAVEPOINT ${inner}`, statement, ...written, `RELEASE SAVEPOINT ${outer}`])
      this.#savepoint = undefined
      return 'done'
    } catch (error) {
      const meaning = meaningOf(error)
      switch (meaning) {
        case 'fenced':
        case 'dead':
        case 'conflict':
          await layer.run(this.#tx, [`ROLLBACK TO SAVEPOINT ${inner}`, `RELEASE SAVEPOINT ${inner}`]).catch(ignoreMissing)
          return meaning === 'conflict' ? meaning : 'lost'
        case 'retry':
        case 'in-progress':
          throw conflict(error)
        case 'untransacted':
          throw escaped(error)
        case 'unavailable':
          throw new StoreUnavailable(
            'MySQL went away inside the transaction that was handed in; it is rolled back.',
            { applied: 'no' },
            { cause: error },
          )
        default:
          throw error
      }
    }
  }

  async quarantine(ownership: Ownership, { reason }: { readonly reason: string }): Promise<OwnerAnswer> {
    const { owner, traceId } = this.#request ?? { owner: '', traceId: '' }
    const statement = this.#procedures.call('quarantine', [...owned(ownership), text(owner), text(traceId), text(reason)])
    const answer = answerOf(await this.#procedures.layer.run(this.#tx, [statement])) as OwnerAnswer
    if (answer === 'done') await this.#release()
    return answer
  }

  async rollBack(): Promise<void> {
    const savepoint = this.#savepoint
    if (savepoint === undefined) return
    this.#savepoint = undefined
    try {
      await this.#procedures.layer.run(this.#tx, [`ROLLBACK TO SAVEPOINT ${savepoint}`, `RELEASE SAVEPOINT ${savepoint}`])
    } catch (error) {
      const meaning = meaningOf(error)
      if (meaning === 'untransacted') throw escaped(error)
      // Without its connection the whole transaction is rolled back.
      if (meaning !== 'unavailable') throw error
    }
  }

  async #release(): Promise<void> {
    const savepoint = this.#savepoint
    this.#savepoint = undefined
    await this.#procedures.layer.run(this.#tx, [`RELEASE SAVEPOINT ${savepoint}`])
  }

  #claimFailed(error: unknown, undone: boolean): ClaimAnswer {
    const { place, layer } = this.#procedures
    switch (meaningOf(error)) {
      case 'in-progress':
        if (!undone) throw conflict(error)
        return { word: 'in-progress', retryAfterMs: 1_000 }
      case 'retry':
        throw conflict(error)
      case 'foreign':
      case 'schema':
        throw new ForeignTransaction(
          `The transaction handed in belongs to another database than the store's (prefix "${place.prefix}"): the record and the rows would not commit together. Open it on the database that the store was built with.`,
          { cause: error },
        )
      case 'untransacted':
        throw new ConfigurationError(
          `The ${layer.name} handle given to within() has no open transaction: begin one first, or let the library open it.`,
          { cause: error },
        )
      case 'unavailable':
        throw new StoreUnavailable(
          'MySQL went away inside the transaction that was handed in; it is rolled back.',
          { applied: 'no' },
          { cause: error },
        )
      default:
        throw error
    }
  }
}

/** A completion outside of any transaction has no savepoint left to go back to. */
function ignoreMissing(error: unknown): void {
  if (meaningOf(error) === 'untransacted') throw escaped(error)
  throw error
}

function escaped(cause: unknown): TransactionEscaped {
  return new TransactionEscaped(
    'The function ended the transaction that was handed in before its record was completed. Leave COMMIT and ROLLBACK to whoever opened it.',
    { cause },
  )
}
