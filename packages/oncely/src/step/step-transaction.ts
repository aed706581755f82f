import {
  ConfigurationError,
  type EngineParts,
  type HeldClaim,
  isRejection,
  type OperationDefinition,
  type Outcome,
  type StepStore,
  StoreUnavailable,
  sleep,
  type TransactionalStore,
  TransactionConflict,
  TransactionDead,
  TransactionEscaped,
  type TransactionResult,
  timedOut,
  withTimeout,
} from '../core/index.ts'
import { Parked } from './step-error.ts'
import type { StepWriter } from './step-writer.ts'

type Ended<Value> =
  | { readonly word: 'value'; readonly value: Value; readonly stored: Outcome }
  | { readonly word: 'lost' }
  | { readonly word: 'threw'; readonly error: unknown; readonly open: boolean }

/**
 * One step in a transaction of its own.
 *
 *   BEGIN, token compared ──▶ the user's function ──▶ token compared under a lock, recovery point ──▶ COMMIT
 *                                   └─throws──▶ ROLLBACK; a conflict repeats all of it
 *
 * The lock on the record lasts from the second comparison to the commit: a newer claim waits for it, and then finds the point.
 */
export class StepTransaction<Tx> {
  readonly #parts: EngineParts
  readonly #definition: OperationDefinition
  readonly #held: HeldClaim
  readonly #store: TransactionalStore<Tx> & { readonly steps: StepStore<Tx> }
  readonly #writer: StepWriter

  constructor(
    parts: EngineParts,
    definition: OperationDefinition,
    held: HeldClaim,
    store: TransactionalStore<Tx> & { readonly steps: StepStore<Tx> },
    writer: StepWriter,
  ) {
    this.#parts = parts
    this.#definition = definition
    this.#held = held
    this.#store = store
    this.#writer = writer
  }

  async run<Value>(path: string, name: string, run: (tx: Tx) => Promise<Value> | Value): Promise<Value> {
    const { clock, random } = this.#parts
    for (let again = 0; ; again++) {
      this.#writer.check()
      try {
        return await this.#once(path, name, run)
      } catch (error) {
        if (!(error instanceof TransactionConflict) || again >= this.#definition.retryTransaction) throw error
        await sleep(clock, Math.min(200, 5 * 2 ** again) * random.fraction(), this.#writer.signal)
      }
    }
  }

  async #once<Value>(path: string, name: string, run: (tx: Tx) => Promise<Value> | Value): Promise<Value> {
    let ended: Ended<Value> | undefined
    try {
      const result = await this.#transact<Value>(path, name, run, (end) => {
        ended = end
      })
      switch (result.word) {
        case 'committed':
          if (ended?.word === 'value') return ended.value
          throw new TypeError('only a value is committed')
        case 'fenced':
          throw new StoreUnavailable('The database ended the step while its function was silent; give it shorter pauses.', {
            applied: 'no',
          })
        case 'rolled-back':
        case 'escaped':
          throw this.#failed(name, result.value)
        case 'refused':
          throw new TypeError('a transaction without a claim cannot be refused')
        default:
          return result satisfies never
      }
    } catch (error) {
      if (error instanceof TransactionEscaped) throw this.#escaped(name, error)
      if (!(error instanceof StoreUnavailable) || error.applied !== 'unknown' || ended?.word !== 'value') throw error
      // The truth is in the database. What is not there yet may still be on its way, so this attempt does not decide on it.
      const point = (await this.#writer.history())?.points.find((recorded) => recorded.path === path)
      if (point?.state !== 'done') throw error
      return ended.value
    }
  }

  async #transact<Value>(
    path: string,
    name: string,
    run: (tx: Tx) => Promise<Value> | Value,
    tell: (ended: Ended<Value>) => void,
  ): Promise<TransactionResult<Ended<Value>>> {
    const { limits, clock } = this.#parts
    const { policy, isolation } = this.#definition
    const options = { lockTimeoutMs: limits.storeTimeoutMs, idleTimeoutMs: policy.leaseMs, isolation }
    let entered = (): void => {}
    const entry = new Promise<'entered'>((resolve) => {
      entered = () => resolve('entered')
    })
    let abandoned = false
    const work = this.#store.transact<Ended<Value>>(undefined, options, async ({ tx }) => {
      if (abandoned) return { end: 'roll-back', value: { word: 'threw', error: late(limits.storeTimeoutMs), open: true } }
      entered()
      const ended = await this.#inside(tx, path, name, run)
      tell(ended)
      return ended.word === 'value' ? { end: 'commit', outcome: undefined, value: ended } : { end: 'roll-back', value: ended }
    })
    const opened = await withTimeout(clock, limits.storeTimeoutMs, Promise.race([work, entry]))
    if (opened === timedOut) {
      abandoned = true
      throw late(limits.storeTimeoutMs)
    }
    return opened === 'entered' ? work : opened
  }

  async #inside<Value>(tx: Tx, path: string, name: string, run: (tx: Tx) => Promise<Value> | Value): Promise<Ended<Value>> {
    const { steps } = this.#store
    const { ownership } = this.#held.claim
    try {
      if ((await steps.enter(tx, ownership)) === 'lost') return { word: 'lost' }
      const value = await this.#watched(name, async () => run(tx))
      this.#writer.check()
      const stored = this.#writer.seal(value)
      const answer = await steps.commit(tx, ownership, { path, kind: 'transaction', name, state: 'done', value: stored })
      return answer === 'lost' ? { word: 'lost' } : { word: 'value', value, stored }
    } catch (error) {
      if (error instanceof TransactionEscaped) return { word: 'threw', error, open: false }
      const open = this.#store.classify(error) !== 'theirs' || (await steps.isOpen(tx).catch(() => true))
      return { word: 'threw', error, open }
    }
  }

  #failed<Value>(name: string, ended: Ended<Value>): unknown {
    if (ended.word === 'lost') return this.#held.lease.lose('another attempt holds the record')
    if (ended.word === 'value') return new TypeError('a value is not rolled back')
    const { error, open } = ended
    if (!open) return this.#escaped(name, error)
    if (isRejection(error)) return error
    switch (this.#store.classify(error)) {
      case 'retry':
      case 'in-progress':
        return new TransactionConflict(`Step "${name}" conflicted with another transaction and was rolled back.`, { cause: error })
      case 'unavailable':
        return new StoreUnavailable(
          `The database went away in step "${name}"; nothing of it was committed.`,
          { applied: 'no' },
          { cause: error },
        )
      case 'dead':
        return new TransactionDead(
          `An earlier statement of step "${name}" failed and its error was swallowed; nothing was committed. Let the first error pass.`,
          { cause: error },
        )
      case 'theirs':
        return error
    }
  }

  /** Its rows may stand without a recovery point, so nothing may run them again. */
  #escaped(name: string, cause: unknown): Parked {
    return new Parked(
      `step "${name}" ended its transaction itself`,
      new TransactionEscaped(
        `Step "${name}" ended its transaction itself: its rows may be committed without a recovery point, so the operation is quarantined. Leave COMMIT and ROLLBACK to the library.`,
        { cause },
      ),
    )
  }

  #watched<R>(name: string, run: () => Promise<R>): Promise<R> {
    const { watchNetwork, events } = this.#parts
    if (watchNetwork === undefined) return run()
    const { id } = this.#held.claim.ownership
    return watchNetwork(run, (place) =>
      events?.({
        type: 'network-in-transaction',
        operation: this.#definition.name,
        record: Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join(''),
        client: '',
        attempt: this.#held.claim.attempt,
        reason: `step "${name}": ${place}`,
        error: undefined,
      }),
    )
  }
}

function late(limitMs: number): StoreUnavailable {
  return new StoreUnavailable(`The store did not open a transaction within ${limitMs} ms; nothing of the step ran.`, { applied: 'no' })
}

/** A store without recovery points is refused when an operation is declared; this says so to the compiler. */
export function withSteps<Tx>(store: TransactionalStore<Tx>): TransactionalStore<Tx> & { readonly steps: StepStore<Tx> } {
  if (store.steps === undefined) throw new ConfigurationError(`Store "${store.name}" keeps no recovery points.`)
  return store as TransactionalStore<Tx> & { readonly steps: StepStore<Tx> }
}
