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
import { answerOf, type ClaimLine, claimLine } from '../../sql/index.ts'
import { meaningOf } from './postgres-error.ts'
import { withMessages } from './postgres-outbox.ts'
import { text } from './sql-call.ts'
import { owned, type StoreFunctions } from './store-function.ts'
import { conflict, dead } from './transact.ts'

let savepoints = 0

/**
 * Claim and completion inside a transaction that the user opened and ends.
 *
 *   SAVEPOINT + claim ──acquired──▶ … ──▶ SAVEPOINT + complete + RELEASE      (final only after the user's COMMIT)
 *           │                       └───▶ ROLLBACK TO + RELEASE
 *           └─anything else──▶ the savepoint is given up: locks are freed, a seal stays
 *
 * One round trip each. The server's own lock_timeout bounds what may wait: the user's settings are not touched.
 */
export class PostgresScope<Tx> implements TransactionScope {
  readonly #functions: StoreFunctions<Tx>
  readonly #instanceId: () => Promise<string>
  readonly #tx: Tx
  #savepoint: string | undefined
  #request: ClaimRequest | undefined

  constructor(functions: StoreFunctions<Tx>, instanceId: () => Promise<string>, tx: Tx) {
    this.#functions = functions
    this.#instanceId = instanceId
    this.#tx = tx
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const ids = await this.#functions.dictionaryIds(request)
    const instanceId = await this.#instanceId()
    const savepoint = `oncely_${++savepoints}`
    this.#request = request
    this.#savepoint = savepoint
    let found: ClaimLine
    try {
      const { literal } = this.#functions.claim(request, ids, true, instanceId)
      found = claimLine(
        answerOf(await this.#functions.layer.run(this.#tx, [`SAVEPOINT ${savepoint}`, literal])),
        request.id,
        request.attemptId,
      )
    } catch (error) {
      await this.rollBack().catch(() => {})
      return this.#claimFailed(error)
    }
    if (found.answer.word === 'acquired') return found.answer
    if (found.wrote) await this.#release(savepoint)
    else await this.rollBack()
    return found.answer
  }

  async complete(ownership: Ownership, outcome: Outcome, messages: readonly OutboxRow[] = []): Promise<CompleteAnswer> {
    const { layer, place } = this.#functions
    const completion = this.#functions.complete(true, undefined, ownership, outcome, this.#request).literal
    const statement = withMessages(this.#functions, messages, completion)
    // A completion that raises must not give the claim's savepoint up, as the rows of this call still have to be rolled back.
    const inner = `oncely_${++savepoints}`
    const outer = this.#savepoint ?? inner
    try {
      await layer.run(this.#tx, [`SAVEPOINT ${inner}`, statement, `RELEASE SAVEPOINT ${outer}`])
      this.#savepoint = undefined
      return 'done'
    } catch (error) {
      const meaning = meaningOf(error, place)
      switch (meaning) {
        case 'fenced':
        case 'gone':
        case 'conflict':
          await layer.run(this.#tx, [`ROLLBACK TO SAVEPOINT ${inner}`, `RELEASE SAVEPOINT ${inner}`])
          return meaning === 'conflict' ? meaning : 'lost'
        case 'retry':
        case 'in-progress':
          throw conflict(error)
        case 'dead':
          throw dead(error)
        case 'untransacted':
          throw escaped(error)
        case 'unavailable':
          throw new StoreUnavailable(
            'PostgreSQL went away inside the transaction that was handed in; it is rolled back.',
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
    const { literal } = this.#functions.call('quarantine', [...owned(ownership), text(owner), text(traceId), text(reason)])
    const answer = answerOf(await this.#functions.layer.run(this.#tx, [literal])) as OwnerAnswer
    if (answer === 'done' && this.#savepoint !== undefined) await this.#release(this.#savepoint)
    return answer
  }

  async rollBack(): Promise<void> {
    const savepoint = this.#savepoint
    if (savepoint === undefined) return
    this.#savepoint = undefined
    try {
      await this.#functions.layer.run(this.#tx, [`ROLLBACK TO SAVEPOINT ${savepoint}`, `RELEASE SAVEPOINT ${savepoint}`])
    } catch (error) {
      const meaning = meaningOf(error, this.#functions.place)
      if (meaning === 'untransacted') throw escaped(error)
      // Without its connection the whole transaction is rolled back.
      if (meaning !== 'unavailable') throw error
    }
  }

  async #release(savepoint: string): Promise<void> {
    this.#savepoint = undefined
    await this.#functions.layer.run(this.#tx, [`RELEASE SAVEPOINT ${savepoint}`])
  }

  #claimFailed(error: unknown): ClaimAnswer {
    const { place, layer } = this.#functions
    switch (meaningOf(error, place)) {
      case 'in-progress':
        return { word: 'in-progress', retryAfterMs: 1_000 }
      case 'retry':
        throw conflict(error)
      case 'dead':
        throw dead(error)
      case 'foreign':
      case 'schema':
        throw new ForeignTransaction(
          `The transaction handed in belongs to another database than the store's (schema "${place.schema}", prefix "${place.prefix}"): the record and the rows would not commit together. Open it on the database that the store was built with.`,
          { cause: error },
        )
      case 'untransacted':
        throw new ConfigurationError(
          `The ${layer.name} handle given to within() has no open transaction: begin one first, or let the library open it.`,
          { cause: error },
        )
      case 'unavailable':
        throw new StoreUnavailable(
          'PostgreSQL went away inside the transaction that was handed in; it is rolled back.',
          { applied: 'no' },
          { cause: error },
        )
      default:
        throw error
    }
  }
}

function escaped(cause: unknown): TransactionEscaped {
  return new TransactionEscaped(
    'The function ended the transaction that was handed in before its record was completed. Leave COMMIT and ROLLBACK to whoever opened it.',
    { cause },
  )
}
