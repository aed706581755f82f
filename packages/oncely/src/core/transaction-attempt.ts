import type { Execution, SharedOutcome, Work } from './attempt.ts'
import { AttemptEnd } from './attempt-end.ts'
import { sleep, timedOut, withTimeout } from './clock.ts'
import type { EncodedValue } from './codec.ts'
import type { Flight } from './crowd.ts'
import { type Acquired, attemptContext, type EngineParts, reasonOf, type Step, type Tell, unprotectedContext } from './engine-parts.ts'
import { LeaseLost, StoreUnavailable, TransactionConflict, TransactionDead, TransactionEscaped } from './errors.ts'
import { sealing, storable, summaryOf } from './lease-attempt.ts'
import type { OperationDefinition } from './operation.ts'
import type { OutboxRow } from './outbox.ts'
import { OutboxBuffer } from './outbox-buffer.ts'
import type { Outcome } from './outcome.ts'
import type { Prepared } from './preparation.ts'
import { isRejection } from './rejection.ts'
import { unsettled } from './store.ts'
import { bounded } from './store-call.ts'
import type { TransactionalStore, TransactionEnd, TransactionOptions, TransactionResult } from './transaction.ts'

/** How the handler ended inside its transaction. */
type Ending<R> =
  | {
      readonly kind: 'complete'
      readonly execution: Execution<R>
      readonly outcome: Outcome | undefined
      readonly claim: Acquired | undefined
      readonly messages: readonly OutboxRow[]
    }
  | { readonly kind: 'failed'; readonly value: R }
  | { readonly kind: 'rejected'; readonly value: unknown; readonly encoded: EncodedValue | undefined }
  | { readonly kind: 'threw'; readonly error: unknown }

/**
 * An attempt inside a transaction: claim, the handler's rows and the outcome are one commit.
 *
 *   BEGIN + claim ──acquired──▶ handler ──value──▶ complete + COMMIT
 *                                      ├─rejects──▶ ROLLBACK, then claim and complete in a second, small transaction
 *                                      ├─conflict─▶ ROLLBACK, the whole attempt again
 *                                      └─throws or fails──▶ ROLLBACK: nothing happened, the key is free
 */
export class TransactionAttempt<Tx> {
  readonly #parts: EngineParts
  readonly #store: TransactionalStore<Tx>
  readonly #tell: Tell

  constructor(parts: EngineParts, store: TransactionalStore<Tx>, tell: Tell) {
    this.#parts = parts
    this.#store = store
    this.#tell = tell
  }

  async run<R>(prepared: Prepared, work: Work<R, Tx>, flight: Flight, share: (shared: SharedOutcome) => void): Promise<Step<R>> {
    return this.#repeat(prepared.operation, prepared, (end) => this.#once(prepared, prepared.operation, work, flight, share, end))
  }

  /** The handler in a transaction of its own, without a record. */
  async runPlain<R>(operation: OperationDefinition, work: Work<R, Tx>, observed?: Prepared): Promise<Step<R>> {
    const plain: Work<R, Tx> = observed === undefined ? work : asObserved(work, observed)
    return this.#repeat(operation, { idHex: '', operation }, (end) => this.#once(undefined, operation, plain, undefined, () => {}, end))
  }

  async within<R>(prepared: Prepared, tx: Tx, work: Work<R, Tx>): Promise<Step<R>> {
    const { limits, random, outcomes } = this.#parts
    const scope = this.#store.within(tx)
    const answer = await scope.claim({ ...prepared.request, attemptId: random.uuid() })
    if (answer.word !== 'acquired') return { kind: 'refused', refusal: answer }
    const end = new AttemptEnd()
    const outbox = this.#outbox(prepared.id)
    const complete = async (claim: Acquired, encoded: EncodedValue, messages: readonly OutboxRow[]): Promise<void> => {
      const word = await scope.complete(
        claim.ownership,
        outcomes.seal(storable(prepared, { limits }, encoded), sealing(prepared)),
        messages,
      )
      if (word !== 'done')
        throw new LeaseLost(
          `The record was ${word === 'lost' ? 'taken by another attempt' : 'completed with another outcome'} inside this transaction; roll it back.`,
        )
    }
    const record = prepared.idHex
    try {
      const value = await work.run(
        attemptContext(prepared, answer, async () => {}, end),
        tx,
        outbox,
      )
      const messages = outbox.seal()
      if (work.judge(value) !== 'complete') {
        await scope.rollBack()
        return { kind: 'ended', execution: { status: 'failed', value, disposition: 'rolled-back', record } }
      }
      await complete(answer, work.encode(value), messages)
      if (messages.length > 0) this.#parts.messagesWritten()
      return { kind: 'ended', execution: { status: 'done', value, record, attempt: answer.attempt, ...unsettled(answer) } }
    } catch (error) {
      outbox.seal()
      await scope.rollBack()
      if (!isRejection(error)) throw error
      const again = await scope.claim({ ...prepared.request, attemptId: random.uuid() })
      if (again.word !== 'acquired') return { kind: 'refused', refusal: again }
      await complete(again, work.encodeRejection(error.value), [])
      return { kind: 'ended', execution: { status: 'rejected', value: error.value, record, attempt: again.attempt } }
    }
  }

  /** Repeats the whole transaction after a conflict, as often as the operation allows; a conflict is never an outcome. */
  async #repeat<R>(
    operation: OperationDefinition,
    named: Pick<Prepared, 'idHex' | 'operation'>,
    once: (end: AttemptEnd) => Promise<Step<R>>,
  ): Promise<Step<R>> {
    const { clock, random } = this.#parts
    for (let again = 0; ; again++) {
      const end = new AttemptEnd()
      try {
        return await once(end)
      } catch (error) {
        if (error instanceof StoreUnavailable) return { kind: 'refused', refusal: { word: 'unavailable', cause: error } }
        if (!(error instanceof TransactionConflict)) throw error
        if (again >= operation.retryTransaction) return { kind: 'refused', refusal: { word: 'unavailable', cause: error } }
        this.#tell('retried', named, again + 1, 'conflict', error)
        await sleep(clock, Math.min(200, 5 * 2 ** again) * random.fraction())
      } finally {
        end.tell(attemptEnded)
      }
    }
  }

  async #once<R>(
    prepared: Prepared | undefined,
    operation: OperationDefinition,
    work: Work<R, Tx>,
    flight: Flight | undefined,
    share: (shared: SharedOutcome) => void,
    end: AttemptEnd,
  ): Promise<Step<R>> {
    const attemptId = this.#parts.random.uuid()
    const request = prepared === undefined ? undefined : { ...prepared.request, attemptId }
    // Counted from before the claim is sent: a process that stood still must not speak for a transaction that has ended since.
    const deadlineMs = this.#parts.clock.monotonicMs() + operation.policy.leaseMs
    const body = (tx: Tx, claim: Acquired | undefined): Promise<Ending<R>> => {
      flight?.run(deadlineMs, attemptId)
      if (prepared !== undefined && claim !== undefined) this.#tell('claimed', prepared, claim.attempt, '')
      return this.#handle(prepared, operation, claim, work, tx, end)
    }
    let result: TransactionResult<Ending<R>>
    try {
      result = await this.#transact(request, operation, body)
    } catch (error) {
      if (!(error instanceof CommitUnknown)) throw error
      if (prepared !== undefined) return this.#afterUnknownCommit(prepared, attemptId, error.ending as Ending<R>, error)
      throw new StoreUnavailable('The commit of a call without a record was not answered.', { applied: 'unknown' }, { cause: error })
    }
    switch (result.word) {
      case 'refused':
        return { kind: 'refused', refusal: result.answer }
      case 'fenced':
        if (prepared === undefined)
          throw new StoreUnavailable('The database ended the transaction while its handler was silent; give it shorter pauses.', {
            applied: 'unknown',
          })
        this.#tell('lease-lost', prepared, 0, 'fenced')
        return { kind: 'refused', refusal: { word: 'in-progress', retryAfterMs: 1_000 } }
      case 'committed':
        return this.#committed(prepared, result.value, result.alone, share)
      case 'escaped':
        throw this.#escaped(prepared, operation, result.value)
      case 'rolled-back':
        return this.#rolledBack(prepared, operation, result.value)
      default:
        return result satisfies never
    }
  }

  /** Runs the handler; never throws, so that the store knows how to end the transaction. */
  async #handle<R>(
    prepared: Prepared | undefined,
    operation: OperationDefinition,
    claim: Acquired | undefined,
    work: Work<R, Tx>,
    tx: Tx,
    end: AttemptEnd,
  ): Promise<Ending<R>> {
    const record = prepared?.idHex ?? ''
    const attempt = claim?.attempt ?? 0
    const context =
      prepared === undefined || claim === undefined
        ? unprotectedContext(undefined, end)
        : attemptContext(prepared, claim, async () => {}, end)
    const outbox = this.#outbox(prepared?.id)
    try {
      const { watchNetwork } = this.#parts
      const value = await (watchNetwork === undefined
        ? work.run(context, tx, outbox)
        : watchNetwork(
            () => work.run(context, tx, outbox),
            (place) => this.#tell('network-in-transaction', { idHex: record, operation }, attempt, place),
          ))
      const messages = outbox.seal()
      if (work.judge(value) !== 'complete') return { kind: 'failed', value }
      const outcome = prepared === undefined ? undefined : this.#sealed(prepared, work.encode(value))
      return { kind: 'complete', execution: { status: 'done', value, record, attempt, ...unsettled(claim) }, outcome, claim, messages }
    } catch (error) {
      outbox.seal()
      if (!isRejection(error)) return { kind: 'threw', error }
      return encodedRejection(work, error.value, prepared)
    }
  }

  #outbox(id: Uint8Array | undefined): OutboxBuffer {
    const { hasher, limits, random } = this.#parts
    return new OutboxBuffer({ hasher, limits, supported: this.#store.outbox !== undefined, origin: id ?? random.uuid() })
  }

  /** One transaction, bounded where it waits for the store: before the handler is called, and after it has ended. */
  async #transact<R>(
    request: Parameters<TransactionalStore<Tx>['transact']>[0],
    operation: OperationDefinition,
    body: (tx: Tx, claim: Acquired | undefined) => Promise<Ending<R>>,
  ): Promise<TransactionResult<Ending<R>>> {
    const { clock, limits } = this.#parts
    let entered: () => void = () => {}
    let left: (ending: Ending<R>) => void = () => {}
    const entry = new Promise<void>((resolve) => {
      entered = resolve
    })
    const exit = new Promise<Ending<R>>((resolve) => {
      left = resolve
    })
    let abandoned = false
    const openByMs = clock.monotonicMs() + limits.storeTimeoutMs
    const options: TransactionOptions = {
      lockTimeoutMs: limits.storeTimeoutMs,
      idleTimeoutMs: operation.policy.leaseMs,
      isolation: operation.isolation,
    }
    const work = this.#store.transact<Ending<R>>(request, options, async ({ tx, claim }): Promise<TransactionEnd<Ending<R>>> => {
      if (abandoned || clock.monotonicMs() >= openByMs)
        return {
          end: 'roll-back',
          value: { kind: 'threw', error: new StoreUnavailable('The transaction opened after its time limit.', { applied: 'no' }) },
        }
      entered()
      const ending = await body(tx, claim)
      left(ending)
      if (ending.kind !== 'complete') return { end: 'roll-back', value: ending }
      return { end: 'commit', outcome: ending.outcome, messages: ending.messages, value: ending }
    })
    const opened = await withTimeout(clock, limits.storeTimeoutMs, Promise.race([work, entry]))
    if (opened === timedOut) {
      abandoned = true
      throw new StoreUnavailable(`The store did not open a transaction within ${limits.storeTimeoutMs} ms; nothing ran.`, { applied: 'no' })
    }
    if (opened !== undefined) return opened
    const ended = await Promise.race([work, exit.then((ending) => ({ ending }))])
    if (!('ending' in ended)) return ended
    const closed = await withTimeout(clock, limits.storeTimeoutMs, work).catch((error: unknown) => {
      throw error instanceof StoreUnavailable && error.applied === 'unknown' ? new CommitUnknown(ended.ending, error) : error
    })
    if (closed === timedOut) throw new CommitUnknown(ended.ending, undefined)
    return closed
  }

  #sealed(prepared: Prepared, encoded: EncodedValue): Outcome {
    return this.#parts.outcomes.seal(storable(prepared, this.#parts, encoded), sealing(prepared))
  }

  #committed<R>(prepared: Prepared | undefined, ending: Ending<R>, alone: boolean, share: (shared: SharedOutcome) => void): Step<R> {
    if (ending.kind !== 'complete') throw new TypeError('only a completed attempt is committed')
    if (ending.messages.length > 0) this.#parts.messagesWritten()
    if (prepared !== undefined && ending.claim !== undefined) {
      this.#tell('completed', prepared, ending.claim.attempt, '')
      if (alone)
        this.#tell(
          'transaction-escaped',
          prepared,
          ending.claim.attempt,
          'the handler ended its transaction itself; the outcome was recorded after it, not with it',
        )
      if (ending.outcome !== undefined) share({ outcome: ending.outcome, summary: summaryOf(prepared, ending.claim) })
    }
    return { kind: 'ended', execution: ending.execution }
  }

  async #rolledBack<R>(prepared: Prepared | undefined, operation: OperationDefinition, ending: Ending<R>): Promise<Step<R>> {
    const record = prepared?.idHex ?? ''
    switch (ending.kind) {
      case 'failed':
        this.#tell('rolled-back', { idHex: record, operation }, 0, 'failed')
        return { kind: 'ended', execution: { status: 'failed', value: ending.value, disposition: 'rolled-back', record } }
      case 'rejected':
        if (prepared === undefined || ending.encoded === undefined)
          return { kind: 'ended', execution: { status: 'rejected', value: ending.value, record, attempt: 0 } }
        return this.#recordRejection(prepared, ending.value, ending.encoded)
      case 'threw': {
        this.#tell('rolled-back', { idHex: record, operation }, 0, reasonOf(ending.error), ending.error)
        const meaning = this.#store.classify(ending.error)
        if (meaning === 'retry' || meaning === 'in-progress')
          throw new TransactionConflict('The transaction conflicted with another one and was rolled back.', { cause: ending.error })
        if (meaning === 'unavailable')
          throw new StoreUnavailable(
            'The database went away while the handler ran; nothing was committed.',
            { applied: 'no' },
            { cause: ending.error },
          )
        if (meaning === 'dead')
          throw new TransactionDead(
            'An earlier statement of this handler failed, its error was swallowed, and the database gave the transaction up; nothing was committed. Let the first error pass.',
            { cause: ending.error },
          )
        throw ending.error
      }
      case 'complete':
        throw new TypeError('a completed attempt is not rolled back')
      default:
        return ending satisfies never
    }
  }

  /** The rows are gone; the refusal is claimed again through the front door. Without `acquired` that word is the answer. */
  async #recordRejection<R>(prepared: Prepared, value: unknown, encoded: EncodedValue): Promise<Step<R>> {
    const outcome = this.#sealed(prepared, encoded)
    const request = { ...prepared.request, attemptId: this.#parts.random.uuid() }
    const result = await this.#transact<R>(request, prepared.operation, async (_tx, claim) => {
      const attempt = claim?.attempt ?? 0
      return {
        kind: 'complete',
        execution: { status: 'rejected', value, record: prepared.idHex, attempt, ...unsettled(claim) },
        outcome,
        claim,
        messages: [],
      }
    }).catch((error: unknown) => {
      throw error instanceof CommitUnknown
        ? new StoreUnavailable(
            'The refusal was sent to the store, which did not say whether it is recorded.',
            { applied: 'unknown' },
            { cause: error },
          )
        : error
    })
    if (result.word === 'refused') return { kind: 'refused', refusal: result.answer }
    if (result.word === 'committed') return this.#committed(prepared, result.value, false, () => {})
    return { kind: 'refused', refusal: { word: 'in-progress', retryAfterMs: 1_000 } }
  }

  #escaped<R>(prepared: Prepared | undefined, operation: OperationDefinition, ending: Ending<R>): TransactionEscaped {
    const cause = ending.kind === 'threw' ? ending.error : undefined
    const error = new TransactionEscaped(
      `The handler of "${operation.name}" ended its transaction itself and then ${ending.kind === 'threw' ? 'threw' : 'failed'}: its rows are committed, so the record is uncertain and nothing runs again. Leave COMMIT and ROLLBACK to the library.`,
      { cause },
    )
    if (prepared !== undefined) this.#tell('transaction-escaped', prepared, 0, 'uncertain', error)
    return error
  }

  /** The truth is in the database: read again by attempt id. What is not found may still be on its way, so the answer is withheld. */
  async #afterUnknownCommit<R>(prepared: Prepared, attemptId: string, ending: Ending<R>, cause: unknown): Promise<Step<R>> {
    const { clock, limits } = this.#parts
    const found = await bounded(clock, limits.storeTimeoutMs, 'a read', () => this.#store.read(prepared.id)).catch(() => undefined)
    if (ending.kind === 'complete' && found?.state === 'completed' && found.attemptId === attemptId)
      return { kind: 'ended', execution: ending.execution }
    this.#tell('unrecorded', prepared, 0, 'commit-unknown', cause)
    return {
      kind: 'ended',
      execution: { status: 'unrecorded', value: undefined, answer: false, retryAfterMs: 1_000, record: prepared.idHex },
    }
  }
}

/** Tells whatever still listens that its transaction is over; made once, since an abort without a reason makes one each time. */
const attemptEnded = new Error('The attempt has ended; its transaction is over.')

/** The handler ended, and whether its transaction did is not known. */
class CommitUnknown extends Error {
  readonly ending: unknown

  constructor(ending: unknown, cause: unknown) {
    super('the commit was not answered', { cause })
    this.ending = ending
  }
}

function asObserved<R, Tx>(work: Work<R, Tx>, observed: Prepared): Work<R, Tx> {
  return {
    run: (context, tx, outbox) => work.run(unprotectedContext(observed, context), tx, outbox),
    encode: (value) => work.encode(value),
    encodeRejection: (value) => work.encodeRejection(value),
    judge: (value) => work.judge(value),
  }
}

function encodedRejection<R, Tx>(work: Work<R, Tx>, value: unknown, prepared: Prepared | undefined): Ending<R> {
  try {
    return { kind: 'rejected', value, encoded: prepared === undefined ? undefined : work.encodeRejection(value) }
  } catch (error) {
    return { kind: 'threw', error }
  }
}
