import {
  type ClaimAnswer,
  type ClaimRequest,
  ForeignTransaction,
  type Ownership,
  type StoreCapabilities,
  StoreUnavailable,
  type TransactionalStore,
  type TransactionEnd,
  type TransactionErrorMeaning,
  type TransactionOptions,
  type TransactionResult,
  type TransactionScope,
  type TransactionWork,
  toHex,
} from '../core/index.ts'
import { outcomeText, type RecordCall } from './record-model.ts'
import { SimDatabaseError } from './sim-database-error.ts'
import { replyOf, SimStore } from './sim-store.ts'
import { SimTransaction } from './sim-transaction.ts'

/** The store whose database is also the user's: a record commits together with the user's rows. */
export class SimTransactionalStore extends SimStore implements TransactionalStore<SimTransaction> {
  override readonly capabilities: StoreCapabilities = { transactional: true, clock: 'server', shared: true, seesOpenTransactions: true }

  /** A transaction that the user opens and ends. */
  async begin(idleTimeoutMs = 30_000): Promise<SimTransaction> {
    const id = await this.ask('begin', () => this.#adopt(this.database.begin(idleTimeoutMs)))
    return new SimTransaction(this.parts, id)
  }

  async transact<R>(
    request: ClaimRequest | undefined,
    options: TransactionOptions,
    body: (work: TransactionWork<SimTransaction>) => Promise<TransactionEnd<R>>,
  ): Promise<TransactionResult<R>> {
    if (request === undefined) return this.#transact(request, options, body, undefined)
    const call: Extract<RecordCall, { type: 'transact' }> = { type: 'transact', request, outcome: undefined }
    const invocation = this.parts.history?.invoke(toHex(request.id), call)
    try {
      const result = await this.#transact(request, options, body, call)
      // What an escaped transaction did is in its own commit and in what came after it.
      if (result.word === 'escaped' || (result.word === 'committed' && result.alone)) invocation?.fail()
      else invocation?.ok(result.word === 'refused' ? replyOf(result.answer) : { word: result.word })
      return result
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || error.applied === 'no') invocation?.fail()
      throw error
    }
  }

  within(tx: SimTransaction): TransactionScope {
    if (!tx.belongsTo(this.database)) throw new ForeignTransaction('The transaction belongs to another simulated database than this store.')
    return tx.scope()
  }

  classify(error: unknown): TransactionErrorMeaning {
    if (error instanceof StoreUnavailable) return 'unavailable'
    if (!(error instanceof SimDatabaseError)) return 'theirs'
    switch (error.kind) {
      case 'conflict':
        return 'retry'
      case 'dead':
        return 'dead'
      case 'gone':
        return 'unavailable'
      case 'refused':
        return 'theirs'
      default:
        return error.kind satisfies never
    }
  }

  async #transact<R>(
    request: ClaimRequest | undefined,
    options: TransactionOptions,
    body: (work: TransactionWork<SimTransaction>) => Promise<TransactionEnd<R>>,
    call: { outcome: string | undefined } | undefined,
  ): Promise<TransactionResult<R>> {
    const opened = await this.#opened(request, options.idleTimeoutMs)
    if (opened.answer !== undefined && opened.answer.word !== 'acquired') return { word: 'refused', answer: opened.answer }
    const escaping = () => (request === undefined ? undefined : this.parts.history?.invoke(toHex(request.id), { type: 'escape', request }))
    const tx = new SimTransaction(this.parts, opened.id, escaping)
    let end: TransactionEnd<R>
    try {
      end = await body({ tx, claim: opened.answer })
    } catch (error) {
      await tx.rollBack().catch(() => {})
      throw error
    }
    const ownership = opened.answer?.ownership
    if (tx.endedByUser && ownership !== undefined) return this.#escaped(ownership, end)
    if (end.end === 'roll-back') {
      await tx.rollBack().catch(() => {})
      return { word: 'rolled-back', value: end.value }
    }
    if (call !== undefined) call.outcome = outcomeText(end.outcome)
    const word = await tx.end(ownership, end.outcome)
    return word === 'committed' ? { word, value: end.value, alone: false } : { word }
  }

  async #opened(
    request: ClaimRequest | undefined,
    idleTimeoutMs: number,
  ): Promise<{ readonly id: number; readonly answer: ClaimAnswer | undefined }> {
    let id: number | undefined
    try {
      return await this.ask('begin + claim', () => {
        id = this.#adopt(this.database.begin(idleTimeoutMs))
        const answer = request === undefined ? undefined : this.database.claimInside(id, request)
        if (answer !== undefined && answer.word !== 'acquired') this.database.rollBack(id)
        return { id, answer, word: answer?.word ?? 'open' }
      })
    } catch (error) {
      // A connection that was reset is closed on both sides.
      if (id !== undefined) this.database.rollBack(id)
      throw error
    }
  }

  /** The handler has committed the claim without an outcome. */
  async #escaped<R>(ownership: Ownership, end: TransactionEnd<R>): Promise<TransactionResult<R>> {
    if (end.end === 'commit' && end.outcome !== undefined) {
      const word = await this.complete(ownership, end.outcome)
      return word === 'done' ? { word: 'committed', value: end.value, alone: true } : { word: 'fenced' }
    }
    await this.seal(ownership, { reason: 'the handler committed its transaction itself and then failed' })
    return { word: 'escaped', value: end.value }
  }

  /** The server notices when the process at the other end of a connection dies. */
  #adopt(id: number): number {
    const { process, database } = this.parts
    process.onDeath(() => void process.world.time.schedule(process.world.time.nowMs + 20, () => database.rollBack(id)))
    return id
  }
}
