import type { Execution, Work } from './attempt.ts'
import { AttemptEnd } from './attempt-end.ts'
import { codecIds, sealOutcome } from './codec.ts'
import { type EngineParts, type Tell, unprotectedContext } from './engine-parts.ts'
import { StoreUnavailable, TransactionConflict } from './errors.ts'
import type { LeaseAttempt } from './lease-attempt.ts'
import type { OperationDefinition } from './operation.ts'
import type { Prepared } from './preparation.ts'
import { isRejection } from './rejection.ts'
import type { TransactionAttempt } from './transaction-attempt.ts'

/** Calls that run without a record of their own: those without a key, and those that a phase only observes. */
export class Unkeyed<Tx> {
  readonly #parts: EngineParts
  readonly #lease: LeaseAttempt
  readonly #transaction: TransactionAttempt<Tx> | undefined
  readonly #tell: Tell

  constructor(parts: EngineParts, lease: LeaseAttempt, transaction: TransactionAttempt<Tx> | undefined, tell: Tell) {
    this.#parts = parts
    this.#lease = lease
    this.#transaction = transaction
    this.#tell = tell
  }

  /** Runs the handler, in a transaction where the operation is bound to one. */
  async run<R>(operation: OperationDefinition, work: Work<R, Tx>): Promise<Execution<R>> {
    this.#tell('unkeyed', { idHex: '', operation }, 0, '')
    return this.#unprotected(operation, undefined, work)
  }

  /**
   * Runs the handler as if the layer were not there, and counts beside it what the layer would have answered. Nothing of the
   * observation reaches the caller: an outage of the store is counted too.
   */
  async observe<R>(prepared: Prepared, work: Work<R, Tx>): Promise<Execution<R>> {
    const request = { ...prepared.request, bind: 'lease' as const, begun: true, resolverMs: 0, attemptId: this.#parts.random.uuid() }
    const observed = this.#lease.claim(request).catch((error: unknown) => ({ word: 'unavailable' as const, error }))
    const complete = async (): Promise<void> => {
      const answer = await observed
      this.#tell('observed', prepared, 0, answer.word === 'acquired' ? 'first' : answer.word)
      if (answer.word === 'acquired')
        await this.#parts.store.complete(
          answer.ownership,
          sealOutcome({ codec: codecIds.notStored, bytes: new Uint8Array(0) }, this.#parts.hasher),
        )
    }
    try {
      return await this.#unprotected(prepared.operation, prepared, work)
    } finally {
      void complete().catch((error: unknown) => this.#tell('observed', prepared, 0, 'unavailable', error))
    }
  }

  async #unprotected<R>(operation: OperationDefinition, observed: Prepared | undefined, work: Work<R, Tx>): Promise<Execution<R>> {
    if (operation.bind === 'transaction' && this.#transaction !== undefined) {
      const step = await this.#transaction.runPlain(operation, work, observed)
      if (step.kind === 'refused') {
        const cause = step.refusal.word === 'unavailable' ? step.refusal.cause : undefined
        if (cause instanceof TransactionConflict || cause instanceof StoreUnavailable)
          return { status: 'unavailable', reason: 'store', retryAfterMs: 1_000, cause, record: '' }
        throw new TypeError(`a plain transaction answered ${step.refusal.word}`)
      }
      return step.execution.status === 'done' ? { status: 'unprotected', value: step.execution.value } : step.execution
    }
    const context = unprotectedContext(observed, new AttemptEnd())
    try {
      return { status: 'unprotected', value: await work.run(context, undefined as Tx | undefined) }
    } catch (error) {
      if (isRejection(error)) return { status: 'rejected', value: error.value, record: '', attempt: 0 }
      throw error
    }
  }
}
