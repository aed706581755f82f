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
import { meaningOf, schemaMissing } from './postgres-error.ts'
import { insertMessages, withMessages } from './postgres-outbox.ts'
import { bytes, type SqlArgument, type SqlCall, text, uuid } from './sql-call.ts'
import { type StoreFunctions, unreplicated } from './store-function.ts'

type Refusal = Exclude<ClaimAnswer, { word: 'acquired' }>
type Body<Tx, R> = (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>

/** What became of the body; none while the transaction is being opened. */
type Ended<R> =
  | { readonly kind: 'refused'; readonly answer: Refusal }
  | { readonly kind: 'commit' | 'roll-back'; readonly value: R }
  | { readonly kind: 'threw'; readonly error: unknown }

/** How long a refused transaction should wait for whoever is in its way, whose end nobody knows. */
const retryAfterMs = 1_000

/**
 * One transaction that we open.
 *
 *   BEGIN + claim ──acquired──▶ body ──commit────▶ complete + COMMIT ──answer lost──▶ one look by attempt id
 *                     │              └─roll-back─▶ ROLLBACK + one look by attempt id: had the handler committed by itself?
 *                     └─anything else──▶ ROLLBACK, or COMMIT where the refusal sealed the record
 */
export class Transact<Tx, R> {
  readonly #functions: StoreFunctions<Tx>
  readonly #request: ClaimRequest | undefined
  readonly #options: TransactionOptions
  readonly #body: Body<Tx, R>
  #claim: ClaimLine | undefined
  #ended: Ended<R> | undefined

  constructor(functions: StoreFunctions<Tx>, request: ClaimRequest | undefined, options: TransactionOptions, body: Body<Tx, R>) {
    this.#functions = functions
    this.#request = request
    this.#options = options
    this.#body = body
  }

  async run(): Promise<TransactionResult<R>> {
    const { isolation, lockTimeoutMs, idleTimeoutMs } = this.#options
    // One statement, because some data layers show the rows of a message only when it has one.
    const settings = `SELECT set_config('lock_timeout', '${timeout(lockTimeoutMs)}', true), set_config('idle_in_transaction_session_timeout', '${timeout(idleTimeoutMs)}', true)`
    let statements = [settings]
    if (this.#request !== undefined) {
      const ids = await this.#functions.dictionaryIds(this.#request)
      statements = [`${settings}, ${this.#functions.claim(this.#request, ids, true, undefined).expression}`]
    }
    let closed: SqlClosed<Ended<R>>
    try {
      closed = await this.#functions.layer.transaction<Ended<R>>({ isolation, statements }, (tx, opened) => this.#inside(tx, opened))
    } catch (error) {
      return this.#failed(error)
    }
    return this.#closed(closed)
  }

  async #inside(tx: Tx, opened: SqlRows): Promise<SqlEnding<Ended<R>>> {
    const ending = await this.#ending(tx, opened)
    this.#ended = ending.value
    return ending
  }

  async #ending(tx: Tx, opened: SqlRows): Promise<SqlEnding<Ended<R>>> {
    const request = this.#request
    try {
      if (request !== undefined) {
        this.#claim = claimLine(answerOf(opened), request.id, request.attemptId)
        const { answer, wrote } = this.#claim
        if (answer.word !== 'acquired') {
          const value: Ended<R> = { kind: 'refused', answer }
          return wrote ? { end: 'commit', statements: [], value } : { end: 'roll-back', statement: undefined, value }
        }
      }
      const claim = this.#claim?.answer as Extract<ClaimAnswer, { word: 'acquired' }> | undefined
      const { end, ...rest } = await this.#body({ tx, claim })
      if (end === 'roll-back') return { end, statement: this.#afterRollback()?.literal, value: { kind: end, value: rest.value } }
      const value: Ended<R> = { kind: end, value: rest.value }
      const messages = ('messages' in rest && rest.messages) || []
      if (request === undefined || claim === undefined)
        return { end, statements: messages.length === 0 ? [] : [insertMessages(this.#functions, messages)], value }
      if (!('outcome' in rest) || rest.outcome === undefined) throw new TypeError('a claimed transaction is committed with its outcome')
      const completion = this.#functions.complete(true, this.#claim?.xact, claim.ownership, rest.outcome, request).literal
      return { end, statements: [withMessages(this.#functions, messages, completion)], value }
    } catch (error) {
      return { end: 'roll-back', statement: this.#afterRollback()?.literal, value: { kind: 'threw', error } }
    }
  }

  /** Opening or committing failed. */
  async #failed(error: unknown): Promise<TransactionResult<R>> {
    const { place } = this.#functions
    const meaning = meaningOf(error, place)
    const ended = this.#ended
    if (ended === undefined || ended.kind === 'refused') {
      switch (meaning) {
        case 'retry':
          throw conflict(error)
        case 'in-progress':
          if (this.#request === undefined) throw conflict(error)
          return { word: 'refused', answer: { word: 'in-progress', retryAfterMs } }
        case 'unavailable':
        case 'dead':
          throw new StoreUnavailable('PostgreSQL did not open the transaction; nothing ran.', { applied: 'no' }, { cause: error })
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
      case 'gone':
        throw new TransactionEscaped(
          'The handler ended its transaction itself before it returned: what it wrote before is rolled back, what it wrote after stands, and no record protects it. Leave COMMIT and ROLLBACK to the library.',
          { cause: error },
        )
      case 'retry':
      case 'in-progress':
        throw conflict(error)
      case 'dead':
        throw dead(error)
      case 'unavailable':
        return this.#afterLostCommit(ended.value, error)
      default:
        throw error
    }
  }

  async #closed({ value: ended, ended: how, rows }: SqlClosed<Ended<R>>): Promise<TransactionResult<R>> {
    if (ended.kind === 'refused') return { word: 'refused', answer: ended.answer }
    if (ended.kind !== 'commit') return this.#rolledBack(ended, rows)
    if (how === 'rolled-back') throw dead(undefined)
    if (how === 'unreplicated') throw unreplicated()
    return { word: 'committed', value: ended.value, alone: this.#request !== undefined && rows !== undefined && answerOf(rows) === 'alone' }
  }

  async #rolledBack(ended: Exclude<Ended<R>, { kind: 'refused' }>, rows: SqlRows | undefined): Promise<TransactionResult<R>> {
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
  async #look(call: SqlCall): Promise<string> {
    try {
      return await this.#functions.word('whether the transaction was rolled back', call)
    } catch (error) {
      throw new StoreUnavailable(
        'PostgreSQL went away with the transaction, and whether it was rolled back could not be asked.',
        { applied: 'unknown' },
        { cause: error },
      )
    }
  }

  #thrown(error: unknown): unknown {
    switch (meaningOf(error, this.#functions.place)) {
      case 'retry':
        return conflict(error)
      case 'unavailable':
        return new StoreUnavailable(
          'PostgreSQL went away while the handler ran; nothing was committed.',
          { applied: 'no' },
          { cause: error },
        )
      default:
        return error
    }
  }

  #afterRollback(): SqlCall | undefined {
    const request = this.#request
    if (request === undefined || this.#claim?.answer.word !== 'acquired') return undefined
    return this.#functions.call('after_rollback', [
      ...idAndAttempt(request),
      text(request.owner),
      text(request.traceId),
      text('the handler ended its transaction itself and then failed'),
    ])
  }

  async #afterLostCommit(value: R, cause: unknown): Promise<TransactionResult<R>> {
    const request = this.#request
    const unknown = (): StoreUnavailable =>
      new StoreUnavailable('PostgreSQL did not say whether it committed.', { applied: 'unknown' }, { cause })
    if (request === undefined) throw unknown()
    const look = this.#functions.call('after_commit', [...idAndAttempt(request), text(this.#claim?.xact ?? '')])
    const word = await this.#functions.word('whether it committed', look).catch(() => 'unknown')
    if (word === 'committed') return { word, value, alone: false }
    if (word !== 'absent') throw unknown()
    throw new StoreUnavailable('PostgreSQL went away before it committed; nothing was changed.', { applied: 'no' }, { cause })
  }
}

function idAndAttempt({ id, attemptId }: ClaimRequest): readonly SqlArgument[] {
  return [bytes(id), uuid(attemptId)]
}

/** The server's time-outs are whole milliseconds, and 0 means none. */
function timeout(ms: number): number {
  return Math.min(2_147_483_647, Math.max(1, Math.ceil(ms)))
}

export function conflict(cause: unknown): TransactionConflict {
  return new TransactionConflict('The transaction conflicted with another one and was rolled back; repeat all of it.', { cause })
}

export function dead(cause: unknown): TransactionDead {
  return new TransactionDead(
    'An earlier statement of this transaction failed, its error was swallowed, and the database gave the transaction up; nothing was committed. Let the first error pass.',
    { cause },
  )
}
