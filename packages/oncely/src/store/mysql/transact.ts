import {
  type ClaimAnswer,
  type ClaimRequest,
  type SqlClosed,
  type SqlEnding,
  type SqlRows,
  StoreUnavailable,
  TransactionConflict,
  TransactionDead,
  type TransactionEnd,
  TransactionEscaped,
  type TransactionOptions,
  type TransactionResult,
  type TransactionWork,
} from '../../core/index.ts'
import { answerOf, type ClaimLine, claimLine } from '../../sql/index.ts'
import { isBusy } from './claim-word.ts'
import { meaningOf, schemaMissing } from './mysql-error.ts'
import { insertClaimedMessages, insertMessages } from './mysql-outbox.ts'
import { bytes, text, uuid } from './sql-literal.ts'
import type { StoreProcedures } from './store-procedure.ts'

type Refusal = Exclude<ClaimAnswer, { word: 'acquired' }>
type Body<Tx, R> = (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>

/** What became of the body; none while the transaction is being opened. */
type Ended<R> =
  | { readonly kind: 'refused'; readonly answer: Refusal }
  /** Another transaction holds the record. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'commit' | 'roll-back'; readonly value: R }
  | { readonly kind: 'threw'; readonly error: unknown }

/** The savepoint by which the end of a transaction that we opened tells that it is still the same one. */
const opened = 'oncely_open'

/** How long a refused transaction should wait for whoever is in its way, whose end nobody knows. */
const retryAfterMs = 1_000

/**
 * One transaction that we open.
 *
 *   START + claim ──acquired──▶ body ──commit────▶ complete + COMMIT ──answer lost──▶ one look by attempt id
 *                     │              └─roll-back─▶ ROLLBACK + one look by attempt id: had the handler committed by itself?
 *                     ├─busy──▶ ROLLBACK + one uncommitted look: in progress, or another payload?
 *                     └─anything else──▶ ROLLBACK, or COMMIT where the refusal sealed the record
 *
 * A handler's own ROLLBACK, a swallowed deadlock and a statement that commits by itself (any DDL) all end the transaction unseen;
 * the completion finds the savepoint gone and, after a roll-back, its record as well.
 */
export class Transact<Tx, R> {
  readonly #procedures: StoreProcedures<Tx>
  readonly #request: ClaimRequest | undefined
  readonly #options: TransactionOptions
  readonly #body: Body<Tx, R>
  #claim: ClaimLine | undefined
  #ended: Ended<R> | undefined

  constructor(procedures: StoreProcedures<Tx>, request: ClaimRequest | undefined, options: TransactionOptions, body: Body<Tx, R>) {
    this.#procedures = procedures
    this.#request = request
    this.#options = options
    this.#body = body
  }

  async run(): Promise<TransactionResult<R>> {
    const { isolation, lockTimeoutMs, idleTimeoutMs } = this.#options
    const statements = [
      `SET SESSION innodb_lock_wait_timeout = ${seconds(lockTimeoutMs)}, SESSION wait_timeout = ${seconds(idleTimeoutMs)}`,
    ]
    if (this.#request === undefined) statements.push(`SAVEPOINT ${opened}`)
    else {
      const ids = await this.#procedures.dictionaryIds(this.#request)
      const inside = { within: false, committed: true, isolation, instanceId: undefined }
      statements.push(this.#procedures.claimInside(this.#request, ids, inside))
    }
    let closed: SqlClosed<Ended<R>>
    try {
      closed = await this.#procedures.layer.transaction<Ended<R>>({ isolation, statements }, (tx, claimed) => this.#inside(tx, claimed))
    } catch (error) {
      return this.#failed(error)
    }
    return this.#closed(closed)
  }

  async #inside(tx: Tx, claimed: SqlRows): Promise<SqlEnding<Ended<R>>> {
    const ending = await this.#ending(tx, claimed)
    this.#ended = ending.value
    return ending
  }

  async #ending(tx: Tx, claimed: SqlRows): Promise<SqlEnding<Ended<R>>> {
    const request = this.#request
    try {
      if (request !== undefined) {
        const line = answerOf(claimed)
        if (isBusy(line)) return { end: 'roll-back', statement: this.#procedures.peek(request), value: { kind: 'busy' } }
        this.#claim = claimLine(line, request.id, request.attemptId)
        const { answer, wrote } = this.#claim
        if (answer.word !== 'acquired') {
          const value: Ended<R> = { kind: 'refused', answer }
          return wrote ? { end: 'commit', statements: [], value } : { end: 'roll-back', statement: undefined, value }
        }
      }
      const claim = this.#claim?.answer as Extract<ClaimAnswer, { word: 'acquired' }> | undefined
      const { end, ...rest } = await this.#body({ tx, claim })
      if (end === 'roll-back') return { end, statement: this.#afterRollback(), value: { kind: end, value: rest.value } }
      const value: Ended<R> = { kind: end, value: rest.value }
      const messages = ('messages' in rest && rest.messages) || []
      const release = `RELEASE SAVEPOINT ${opened}`
      // After the release, which fails when the transaction is gone: what comes then would commit by itself.
      if (request === undefined || claim === undefined)
        return { end, statements: messages.length === 0 ? [release] : [release, insertMessages(this.#procedures, messages)], value }
      if (!('outcome' in rest) || rest.outcome === undefined) throw new TypeError('a claimed transaction is committed with its outcome')
      const completion = this.#procedures.completeInside(true, claim.ownership, rest.outcome, request)
      const { ownership } = claim
      return {
        end,
        statements: messages.length === 0 ? [completion] : [insertClaimedMessages(this.#procedures, ownership, messages), completion],
        value,
      }
    } catch (error) {
      return { end: 'roll-back', statement: this.#afterRollback(), value: { kind: 'threw', error } }
    }
  }

  /** Opening or committing failed. */
  async #failed(error: unknown): Promise<TransactionResult<R>> {
    const { place } = this.#procedures
    const meaning = meaningOf(error)
    const ended = this.#ended
    if (ended === undefined || ended.kind === 'refused' || ended.kind === 'busy') {
      switch (meaning) {
        case 'retry':
          throw conflict(error)
        case 'in-progress':
          if (this.#request === undefined) throw conflict(error)
          return { word: 'refused', answer: { word: 'in-progress', retryAfterMs } }
        case 'unavailable':
        case 'dead':
          throw new StoreUnavailable('MySQL did not open the transaction; nothing ran.', { applied: 'no' }, { cause: error })
        case 'schema':
          throw schemaMissing(place, error)
        default:
          throw error
      }
    }
    if (ended.kind !== 'commit') return this.#rolledBack(ended, undefined)
    switch (meaning) {
      case 'fenced':
      case 'conflict':
        return { word: 'fenced' }
      case 'dead':
      case 'untransacted':
        throw dead(error)
      case 'retry':
      case 'in-progress':
        throw conflict(error)
      case 'unavailable':
        return this.#afterLostCommit(ended.value, error)
      default:
        throw error
    }
  }

  async #closed({ value: ended, rows }: SqlClosed<Ended<R>>): Promise<TransactionResult<R>> {
    if (ended.kind === 'busy') return { word: 'refused', answer: this.#peeked(rows) }
    if (ended.kind === 'refused') return { word: 'refused', answer: ended.answer }
    if (ended.kind !== 'commit') return this.#rolledBack(ended, rows)
    return { word: 'committed', value: ended.value, alone: this.#request !== undefined && rows !== undefined && answerOf(rows) === 'alone' }
  }

  /** What an uncommitted read told of the holder, if it could be asked. */
  #peeked(rows: SqlRows | undefined): Refusal {
    const request = this.#request
    if (request === undefined || rows === undefined) return { word: 'in-progress', retryAfterMs }
    return claimLine(answerOf(rows), request.id, request.attemptId).answer as Refusal
  }

  async #rolledBack(ended: Exclude<Ended<R>, { kind: 'refused' | 'busy' }>, rows: SqlRows | undefined): Promise<TransactionResult<R>> {
    const look = this.#afterRollback()
    const escaped = look !== undefined && (rows === undefined ? await this.#look(look) : answerOf(rows)) === 'escaped'
    if (ended.kind !== 'threw') return { word: escaped ? 'escaped' : 'rolled-back', value: ended.value }
    if (!escaped) throw this.#thrown(ended.error)
    throw new TransactionEscaped(
      'The handler ended its transaction itself and then threw: its rows are committed and the record is uncertain. Leave COMMIT and ROLLBACK to the library.',
      {
        cause: ended.error,
      },
    )
  }

  /** Whether the handler had committed is not known when the database cannot be asked: then nobody may say "not applied". */
  async #look(call: string): Promise<string> {
    try {
      return await this.#procedures.word('whether the transaction was rolled back', call)
    } catch (error) {
      throw new StoreUnavailable(
        'MySQL went away with the transaction, and whether it was rolled back could not be asked.',
        { applied: 'unknown' },
        { cause: error },
      )
    }
  }

  #thrown(error: unknown): unknown {
    switch (meaningOf(error)) {
      case 'retry':
        return conflict(error)
      case 'unavailable':
        return new StoreUnavailable('MySQL went away while the handler ran; nothing was committed.', { applied: 'no' }, { cause: error })
      default:
        return error
    }
  }

  #afterRollback(): string | undefined {
    const request = this.#request
    if (request === undefined || this.#claim?.answer.word !== 'acquired') return undefined
    const reason = 'the handler ended its transaction itself and then failed'
    const { id, attemptId, owner, traceId } = request
    return this.#procedures.call('after_rollback', [bytes(id), uuid(attemptId), text(owner), text(traceId), text(reason)])
  }

  async #afterLostCommit(value: R, cause: unknown): Promise<TransactionResult<R>> {
    const request = this.#request
    const unknown = (): StoreUnavailable =>
      new StoreUnavailable('MySQL did not say whether it committed.', { applied: 'unknown' }, { cause })
    if (request === undefined) throw unknown()
    const look = this.#procedures.call('after_commit', [bytes(request.id), uuid(request.attemptId)])
    const word = await this.#procedures.word('whether it committed', look).catch(() => 'unknown')
    if (word === 'committed') return { word, value, alone: false }
    if (word !== 'absent') throw unknown()
    throw new StoreUnavailable('MySQL went away before it committed; nothing was changed.', { applied: 'no' }, { cause })
  }
}

/** The server's time-outs are whole seconds, at least one; the longest is a year. */
function seconds(ms: number): number {
  return Math.min(31_536_000, Math.max(1, Math.ceil(ms / 1000)))
}

export function conflict(cause: unknown): TransactionConflict {
  return new TransactionConflict('The transaction conflicted with another one and was rolled back; repeat all of it.', { cause })
}

function dead(cause: unknown): TransactionDead {
  return new TransactionDead(
    'The transaction was gone before its end: a deadlock (or another error that ends transactions) was swallowed, or the handler ended it itself. What came after was rolled back. Let the first error pass, and leave COMMIT and ROLLBACK to the library.',
    { cause },
  )
}
