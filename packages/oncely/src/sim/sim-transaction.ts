import {
  type ClaimAnswer,
  type ClaimRequest,
  type CompleteAnswer,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  StoreUnavailable,
  type TransactionScope,
} from '../core/index.ts'
import type { Invocation } from './history.ts'
import type { RecordReply } from './record-model.ts'
import type { SimDatabase, SimRow } from './sim-database.ts'
import { asStoreError, SimDatabaseError } from './sim-database-error.ts'
import type { SimNetwork } from './sim-network.ts'
import type { SimProcess } from './world.ts'

/** What a transaction's connection is made of. */
interface ConnectionParts {
  readonly process: SimProcess
  readonly network: SimNetwork
  readonly database: SimDatabase
}

/**
 * The user's handle of an open transaction: one connection to the database. A statement whose answer is lost takes the
 * connection with it, and the server rolls back.
 */
export class SimTransaction {
  readonly #parts: ConnectionParts
  readonly #id: number
  readonly #escaping: () => Invocation<RecordReply> | undefined
  #state: 'open' | 'broken' | 'committed' = 'open'
  #last: Promise<void> = Promise.resolve()

  /** `escaping` is called before the user's own commit is sent. */
  constructor(parts: ConnectionParts, id: number, escaping: () => Invocation<RecordReply> | undefined = () => undefined) {
    this.#parts = parts
    this.#id = id
    this.#escaping = escaping
  }

  /** True when the user's own code has committed. */
  get endedByUser(): boolean {
    return this.#state === 'committed'
  }

  belongsTo(database: SimDatabase): boolean {
    return this.#parts.database === database
  }

  /** Adds a row to the user's table. */
  insert(row: SimRow): Promise<void> {
    return this.#statement('insert', (database) => database.insert(this.#id, row))
  }

  /** A statement that the database refuses; the transaction is dead from here on. */
  fail(): Promise<void> {
    return this.#statement('a wrong statement', (database) => database.fail(this.#id))
  }

  /** Gives the record a newer token, as only a wrong restore would. */
  supersede(id: Uint8Array): Promise<void> {
    return this.#statement('supersede', (database) => database.supersede(this.#id, id))
  }

  /** Commits as the user does. */
  async commit(): Promise<void> {
    const invocation = this.#escaping()
    try {
      await this.#statement('commit', (database) => database.commit(this.#id))
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || error.applied === 'no') invocation?.fail()
      throw error
    }
    invocation?.ok({ word: 'committed' })
    this.#state = 'committed'
  }

  async rollBack(): Promise<void> {
    if (this.#state === 'open') await this.#statement('roll back', (database) => database.rollBack(this.#id))
  }

  /** Completes the claim, if there is one, and commits: one round trip. */
  async end(ownership: Ownership | undefined, outcome: Outcome | undefined): Promise<'committed' | 'fenced'> {
    try {
      return await this.#statement('complete + commit', (database) => {
        if (ownership !== undefined && outcome !== undefined && database.completeInside(this.#id, ownership, outcome) !== 'done') {
          database.rollBack(this.#id)
          return 'fenced'
        }
        database.commit(this.#id)
        return 'committed'
      })
    } catch (error) {
      if (error instanceof SimDatabaseError && error.kind === 'dead') this.#parts.database.rollBack(this.#id)
      throw asStoreError(error)
    }
  }

  /** Claim and complete inside this transaction, between savepoints. */
  scope(): TransactionScope {
    let undo = (): void => {}
    return {
      claim: (request: ClaimRequest): Promise<ClaimAnswer> =>
        this.#statement('claim within', (database) => {
          undo = database.savepoint(this.#id)
          return database.claimInside(this.#id, request)
        }),
      complete: (ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> =>
        this.#statement('complete within', (database) => database.completeInside(this.#id, ownership, outcome)),
      quarantine: (ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> =>
        this.#statement('quarantine within', (database) => database.quarantineInside(this.#id, ownership, change.reason)),
      rollBack: (): Promise<void> => this.#statement('roll back to the savepoint', () => undo()),
    }
  }

  async #statement<T>(label: string, serve: (database: SimDatabase) => T): Promise<T> {
    const { process, network, database } = this.#parts
    // One statement after another, as a driver sends them: what follows a statement without an answer is never sent.
    const before = this.#last
    let answered = (): void => {}
    this.#last = new Promise((resolve) => {
      answered = resolve
    })
    await before
    try {
      if (this.#state === 'broken') throw new SimDatabaseError('gone', 'the connection is closed')
      return await network.request(process, {
        label: `${label} (transaction ${this.#id})`,
        serve: () => serve(database),
        lost: (applied) => new StoreUnavailable('The connection to the database was lost.', { applied }),
      })
    } catch (error) {
      if (error instanceof StoreUnavailable) {
        this.#state = 'broken'
        // The connection is closed on both sides; what was not committed is gone.
        database.rollBack(this.#id)
      }
      throw error
    } finally {
      answered()
    }
  }
}
