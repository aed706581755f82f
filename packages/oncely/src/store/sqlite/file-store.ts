import {
  type AuditCount,
  ageOf,
  type ClaimAnswer,
  type ClaimRequest,
  type Clock,
  type CompleteAnswer,
  type ErasureBatch,
  type Hold,
  type HoldTarget,
  type InboxStore,
  type OncelyRecord,
  type OutboxStore,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  type RecordEvent,
  RecordHeld,
  type ReleaseAnswer,
  type Resolution,
  type ResolveAnswer,
  type StepStore,
  type StoreCapabilities,
  type StoreInfo,
  type StoreStats,
  StoreUnavailable,
  type SweepAnswer,
  type TrailEntry,
  type TransactionalStore,
  type TransactionEnd,
  type TransactionErrorMeaning,
  type TransactionOptions,
  type TransactionResult,
  type TransactionScope,
  type TransactionWork,
  type Transition,
} from '../../core/index.ts'
import { raiseEpoch, readInstance, recognizeFile, renewInstance } from './instance.ts'
import { changeHold, eraseOf, isHeld, readHolds } from './legal-hold.ts'
import { pendingMigrations, runMigrations } from './migration.ts'
import { completeWith } from './outbox-table.ts'
import type { Patience } from './patience.ts'
import { claimRow, decideFromCommitted, eraseRow, moveRow, noTrace, readRecord, type Trace } from './record-table.ts'
import { Connection, type SqliteConnection } from './sqlite-connection.ts'
import { buildOf } from './sqlite-driver.ts'
import { classifySqliteError, storeError } from './sqlite-error.ts'
import { type FileSettings, orRollBack, type SqliteAccess, SqliteFile } from './sqlite-file.ts'
import { SqliteInbox } from './sqlite-inbox.ts'
import type { CheckedOptions } from './sqlite-options.ts'
import { SqliteOutbox } from './sqlite-outbox.ts'
import { SqliteScope } from './sqlite-scope.ts'
import { SqliteSteps } from './sqlite-steps.ts'
import { type Aftermath, HandlerTransaction } from './sqlite-transaction.ts'
import { survival } from './survival.ts'
import { addCounts, readStats, readTrail, sweepFile } from './upkeep.ts'

/** A store in one SQLite file, shared by the processes of one machine. */
export interface SqliteStore<Tx extends SqliteConnection = SqliteConnection> extends TransactionalStore<Tx> {
  /**
   * To be called after the file's content was restored in place (`.restore`, or a copy over the old file): fencing tokens given
   * out from here on are newer than any from before, and caches forget what they hold. A file that was replaced by another one
   * is noticed by `open()`.
   */
  markRestored(): Promise<void>
}

type Refusal = Exclude<ClaimAnswer, { word: 'acquired' }>

interface Opened<Tx extends SqliteConnection> {
  readonly file: SqliteFile<Tx>
  readonly info: StoreInfo
  readonly build: string
}

/** How long a duplicate waits that only learned that the writer is taken, by an unknown transaction. */
const retryAfterMs = 1_000

/** The store's steps, each on the connection that it is for. */
export class FileStore<Tx extends SqliteConnection> implements SqliteStore<Tx> {
  readonly name = 'sqlite'
  readonly capabilities: StoreCapabilities = { transactional: true, clock: 'process', shared: true, seesOpenTransactions: false }
  readonly outbox: OutboxStore<Tx>
  readonly inbox: InboxStore<Tx>
  readonly steps: StepStore<Tx>
  readonly #access: SqliteAccess<Tx>
  readonly #settings: FileSettings
  readonly #patience: Patience
  readonly #clock: Clock
  readonly #trailMs: number
  readonly #scopes = new WeakMap<Tx, Connection>()
  readonly #ofOwnBuild = new WeakSet<Connection>()
  #opening: Promise<Opened<Tx>> | undefined
  #closed = false

  constructor({ access, settings, patience, trailMs }: CheckedOptions<Tx>) {
    this.#access = access
    this.#settings = settings
    this.#patience = patience
    this.#clock = patience.clock
    this.#trailMs = trailMs
    const file = async (): Promise<SqliteFile<Tx>> => (await this.#opened()).file
    this.outbox = new SqliteOutbox(patience.clock, file, (tx) => this.#connectionOf(tx))
    this.inbox = new SqliteInbox<Tx>(file, (tx) => this.#connectionOf(tx), patience.clock)
    this.steps = new SqliteSteps<Tx>(file, (tx) => this.#connectionOf(tx), patience.clock)
  }

  async open(): Promise<StoreInfo> {
    return (await this.#opened()).info
  }

  /** `open()` does it too. */
  async migrate(): Promise<void> {
    await this.#opened()
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const { file } = await this.#opened()
    const decided = await file.read((reader) => decideFromCommitted(reader, request, this.#clock.nowMs()))
    return decided ?? file.write((writer) => claimRow(writer, request, this.#clock.nowMs()))
  }

  async renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<OwnerAnswer> {
    return this.#move<'renew'>(ownership.id, { type: 'renew', ownership, leaseMs: change.leaseMs, begun: change.begun ?? false })
  }

  async complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    return this.#move<'complete'>(ownership.id, { type: 'complete', ownership, outcome })
  }

  async release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    const event = { type: 'release', ownership, declared: change.declared ?? false } as const
    return this.#move<'release'>(ownership.id, event, { ...noTrace, reason: change.reason })
  }

  async seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    return this.#move<'seal'>(ownership.id, { type: 'seal', ownership, reason: change.reason }, { ...noTrace, reason: change.reason })
  }

  async resolve(id: Uint8Array, resolution: Resolution): Promise<ResolveAnswer> {
    return this.#move<'resolve'>(id, { type: 'resolve', resolution }, { owner: resolution.by, traceId: '', reason: resolution.reason })
  }

  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    const { file } = await this.#opened()
    const record = await file.read((reader) => readRecord(reader, id))
    return record?.state === 'completed' && ageOf(record, this.#clock.nowMs()) === 'absent' ? undefined : record
  }

  async forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean> {
    const { file } = await this.#opened()
    return file.write((writer) => {
      const record = readRecord(writer, id)
      if (record === undefined) return false
      if (isHeld(writer, id)) throw new RecordHeld('The record is under a legal hold and was not erased. Lift the hold first.')
      eraseRow(writer, record, this.#clock.nowMs(), change.reason)
      return true
    })
  }

  async erasePrincipal(
    principal: Uint8Array,
    { reason, batchMax }: { readonly reason: string; readonly batchMax: number },
  ): Promise<ErasureBatch> {
    const { file } = await this.#opened()
    return file.write((writer) =>
      eraseOf(writer, principal, batchMax, (id) => {
        const record = readRecord(writer, id)
        if (record !== undefined) eraseRow(writer, record, this.#clock.nowMs(), reason)
      }),
    )
  }

  async hold(target: HoldTarget, change: { readonly held: boolean; readonly by: string; readonly reason: string }): Promise<boolean> {
    const { file } = await this.#opened()
    return file.write((writer) => changeHold(writer, target, change, this.#clock.nowMs()))
  }

  async holds(): Promise<readonly Hold[]> {
    const { file } = await this.#opened()
    return file.read(readHolds)
  }

  async audit(counts: readonly AuditCount[]): Promise<void> {
    if (counts.length === 0) return
    const { file } = await this.#opened()
    await file.write((writer) => addCounts(writer, counts))
  }

  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    const { file } = await this.#opened()
    return file.read((reader) => readTrail(reader, id))
  }

  async sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    const { file } = await this.#opened()
    const removed = await sweepFile((step) => file.write(step), this.#clock.nowMs(), this.#trailMs, limits.batchMax)
    return { removed }
  }

  async stats(): Promise<StoreStats> {
    const { file } = await this.#opened()
    return readStats((run) => file.read(run))
  }

  async instanceId(): Promise<string> {
    const { file, info } = await this.#opened()
    return (await file.read(readInstance))?.instanceId ?? info.instanceId
  }

  async close(): Promise<void> {
    this.#closed = true
    const opened = await this.#opening?.catch(() => undefined)
    opened?.file.close()
  }

  async markRestored(): Promise<void> {
    const { file } = await this.#opened()
    await file.write((writer) => renewInstance(writer, this.#clock.nowMs(), this.#patience.random))
  }

  async transact<R>(
    request: ClaimRequest | undefined,
    options: TransactionOptions,
    body: (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>,
  ): Promise<TransactionResult<R>> {
    const { file } = await this.#opened()
    const decide = (reader: Connection): Refusal | undefined => request && this.#refusal(reader, request)
    const refusal = await file.read(decide)
    if (refusal !== undefined) return { word: 'refused', answer: refusal }
    // A tenth is left for the answer, so that the caller gets the word before its own time is over.
    const wait = await file.begin(options.lockTimeoutMs * 0.9, decide)
    if (wait.word === 'decided') return { word: 'refused', answer: wait.value }
    if (wait.word === 'busy') return this.#lockedOut(file, request, options.lockTimeoutMs)
    const { writer } = wait
    let claim: Extract<ClaimAnswer, { word: 'acquired' }> | undefined
    let granted = false
    try {
      const answer = request && orRollBack(writer.connection, () => claimRow(writer.connection, request, this.#clock.nowMs()))
      if (answer !== undefined && answer.word !== 'acquired') {
        file.commit(writer.connection)
        return { word: 'refused', answer }
      }
      claim = answer
      granted = true
    } finally {
      if (!granted) {
        file.giveBack(writer.connection, true)
        writer.leave()
      }
    }
    const { idleTimeoutMs } = options
    return new HandlerTransaction<Tx>({ file, writer, clock: this.#clock, idleTimeoutMs, claim, aftermath: this.#aftermath }).run(body)
  }

  within(tx: Tx): TransactionScope {
    return new SqliteScope(this.#connectionOf(tx), {
      patience: this.#patience,
      busyTimeoutMs: this.#settings.busyTimeoutMs,
      retryAfterMs,
      isOwn: (id) => this.#isOwn(id),
      isOwnBuild: (theirs) => this.#isOwnBuild(theirs),
      isCommitted: (record) => this.#isCommitted(record),
      aftermath: this.#aftermath,
    })
  }

  #connectionOf(tx: Tx): Connection {
    const connection = this.#scopes.get(tx) ?? new Connection(tx, true)
    this.#scopes.set(tx, connection)
    return connection
  }

  classify(error: unknown): TransactionErrorMeaning {
    return classifySqliteError(error)
  }

  /** The handler has committed before, so a step that fails here says nothing about the effect: it stands. */
  readonly #aftermath: Aftermath = {
    completeWhatStands: (ownership, outcome, messages) =>
      effectStands(async () => {
        if (!(await this.#visible(ownership))) return undefined
        const { file } = await this.#opened()
        return file.write((writer) => completeWith(writer, ownership, outcome, messages, this.#clock.nowMs()))
      }),
    sealWhatStands: (ownership, reason) =>
      effectStands(async () => {
        if (!(await this.#visible(ownership))) return false
        // A seal that fails is made up for by the next claim, which finds a running record of a transaction.
        await this.seal(ownership, { reason }).catch(() => {})
        return true
      }),
  }

  async #visible(ownership: Ownership): Promise<boolean> {
    const { file } = await this.#opened()
    return (await file.read((reader) => readRecord(reader, ownership.id)))?.attemptId === ownership.attemptId
  }

  /** On a shared connection nobody can look from outside: then a running row counts as committed, and nothing runs twice. */
  async #isCommitted({ id, attemptId }: OncelyRecord): Promise<boolean> {
    const { file } = await this.#opened()
    return file.shared || (await file.read((reader) => readRecord(reader, id)))?.attemptId === attemptId
  }

  async #isOwnBuild(theirs: Connection): Promise<boolean> {
    if (this.#ofOwnBuild.has(theirs)) return true
    if (buildOf(theirs) !== (await this.#opened()).build) return false
    this.#ofOwnBuild.add(theirs)
    return true
  }

  async #isOwn(instanceId: string): Promise<boolean> {
    const { file, info } = await this.#opened()
    if (instanceId === info.instanceId) return true
    // Renewed by a restore since this process opened the file.
    return !file.shared && (await file.read(readInstance))?.instanceId === instanceId
  }

  /** What the committed row alone answers; undefined when the claim may be granted or must be written. */
  #refusal(reader: Connection, request: ClaimRequest): Refusal | undefined {
    const decided = decideFromCommitted(reader, request, this.#clock.nowMs())
    return decided === undefined || decided.word === 'acquired' ? undefined : decided
  }

  async #lockedOut<R>(file: SqliteFile<Tx>, request: ClaimRequest | undefined, limitMs: number): Promise<TransactionResult<R>> {
    if (request === undefined) {
      throw new StoreUnavailable(`Another transaction kept the SQLite file's writer for ${limitMs} ms; nothing ran.`, { applied: 'no' })
    }
    return {
      word: 'refused',
      answer: (await file.read((reader) => this.#refusal(reader, request))) ?? { word: 'in-progress', retryAfterMs },
    }
  }

  async #move<E extends Exclude<RecordEvent['type'], 'claim'>>(
    id: Uint8Array,
    event: Extract<RecordEvent, { type: E }>,
    trace: Trace = noTrace,
  ): Promise<Transition<E>['answer']> {
    const { file } = await this.#opened()
    return file.write((writer) => moveRow<E>(writer, id, event, this.#clock.nowMs(), trace))
  }

  #opened(): Promise<Opened<Tx>> {
    if (this.#closed) throw new StoreUnavailable('The SQLite store is closed; open a new one.', { applied: 'no' })
    this.#opening ??= this.#start().catch((error: unknown) => {
      this.#opening = undefined
      throw storeError(error, 'no')
    })
    return this.#opening
  }

  async #start(): Promise<Opened<Tx>> {
    const file = await SqliteFile.open(this.#access, this.#settings, this.#patience)
    try {
      const { random } = this.#patience
      const current = await file.read(
        (reader) => pendingMigrations(reader).length === 0 && readInstance(reader)?.fileIdentity === file.identity,
      )
      if (!current || this.#settings.synchronous === 'normal') {
        await file.write((writer) => {
          runMigrations(writer, this.#clock.nowMs(), random)
          recognizeFile(writer, file.identity, this.#clock.nowMs(), random)
          // A power cut may have taken the newest tokens back.
          if (this.#settings.synchronous === 'normal') raiseEpoch(writer, this.#clock.nowMs())
        })
      }
      const instanceId = (await file.read(readInstance))?.instanceId ?? ''
      const build = await file.read(buildOf)
      return { file, info: { ...survival(file.durability().synchronous), instanceId }, build }
    } catch (error) {
      file.close()
      throw error
    }
  }
}

async function effectStands<R>(run: () => Promise<R>): Promise<R> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    throw new StoreUnavailable(
      `The handler ended its transaction itself, and then: ${error.message}`,
      { applied: 'unknown' },
      { cause: error },
    )
  }
}
