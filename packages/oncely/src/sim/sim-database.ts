import {
  type AuditCount,
  ageOf,
  type ClaimAnswer,
  type ClaimRequest,
  type CompleteAnswer,
  type FencingToken,
  formatToken,
  type OncelyRecord,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  type RecordEvent,
  type StoreStats,
  type TrailEntry,
  TransactionConflict,
  type Transition,
  toHex,
  trailEvent,
  transition,
} from '../core/index.ts'
import { misread, type PlantedBug } from './planted-bug.ts'
import { WORLD_EPOCH_MS } from './sim-clock.ts'
import { SimDatabaseError } from './sim-database-error.ts'
import type { SimService } from './sim-network.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimWorld } from './world.ts'

/** A row of the user's own table. */
export interface SimRow {
  readonly key: string
  readonly value: string
}

type EventOf<E extends RecordEvent['type']> = Extract<RecordEvent, { type: E }>
/** An open transaction: what it has written is seen by nobody else until it commits. */
interface OpenTransaction {
  readonly id: number
  state: 'open' | 'failed' | 'ended'
  view: Map<string, OncelyRecord>
  rows: SimRow[]
  log: { readonly record: OncelyRecord; readonly event: string; readonly trace: Trace }[]
  readonly locks: Set<string>
  readonly idleTimeoutMs: number
  cancelIdle: () => void
}

interface Trace {
  readonly owner: string
  readonly traceId: string
  readonly reason: string
}

const untraced: Trace = { owner: '', traceId: '', reason: '' }
const retryAfterMs = 1_000

/**
 * The simulated database: records and the user's rows, with read-committed transactions. Every method is one statement, done in
 * one step at the database's own time. A claim that would be granted first takes two locks, id and (id, payload), so that others
 * learn what runs in an open transaction without waiting for it.
 */
export class SimDatabase implements SimService {
  readonly name = 'database'
  up = true
  /** How far an operator or a time server has set its clock forward or back. */
  clockOffsetMs = 0
  /** Chance that a statement or commit fails with a conflict. */
  conflicts = 0
  /** Called after every commit. */
  onCommit: () => void = () => {}
  readonly rows: SimRow[] = []
  readonly #world: SimWorld
  readonly #random: SimRandom
  readonly #bug: PlantedBug | undefined
  readonly #records = new Map<string, OncelyRecord>()
  readonly #trails = new Map<string, TrailEntry[]>()
  readonly #transactions = new Map<number, OpenTransaction>()
  /** Who holds which lock of the front door. */
  readonly #locks = new Map<string, OpenTransaction>()
  #transactionId = 0
  #epoch = 1
  #seq = 0n

  constructor(world: SimWorld, bug?: PlantedBug) {
    this.#world = world
    this.#bug = bug
    this.#random = world.random.fork('database')
  }

  nowMs(): number {
    return WORLD_EPOCH_MS + Math.floor(this.#world.time.nowMs + this.clockOffsetMs)
  }

  get openTransactions(): number {
    return this.#transactions.size
  }

  records(): readonly OncelyRecord[] {
    return [...this.#records.values()]
  }

  /** The server goes down: what is committed stays, what is open is gone. Its tokens begin a new epoch. */
  crash(): void {
    this.up = false
    this.#epoch++
    for (const id of [...this.#transactions.keys()]) this.rollBack(id)
  }

  claim(request: ClaimRequest): ClaimAnswer {
    const answer = this.#claimed(undefined, request)
    if (answer !== undefined) return answer
    return this.apply<'claim'>(request.id, { type: 'claim', request, token: this.#nextToken() }, request.owner, '', request.traceId)
  }

  apply<E extends RecordEvent['type']>(
    id: Uint8Array,
    event: Extract<RecordEvent, { type: E }>,
    owner = '',
    reason = '',
    traceId = '',
  ): Transition<E>['answer'] {
    const before = this.#records.get(toHex(id))
    const { record, answer } = this.#moved<E>(before, event)
    if (record !== undefined && record !== before && !this.#forgets(event)) this.#keep(before, record, { owner, traceId, reason })
    return answer
  }

  read(id: Uint8Array): OncelyRecord | undefined {
    const record = this.#records.get(toHex(id))
    return record?.state === 'completed' && ageOf(record, this.nowMs()) === 'absent' ? undefined : record
  }

  forget(id: Uint8Array, reason: string): boolean {
    const record = this.#records.get(toHex(id))
    if (record === undefined) return false
    this.#records.delete(toHex(id))
    this.#log(record, 'forgotten', { ...untraced, reason })
    return true
  }

  audit(counts: readonly AuditCount[]): void {
    for (const { id, minuteMs, reason, count } of counts) {
      const trail = this.#trailOf(toHex(id))
      const at = trail.findIndex((entry) => entry.count > 0 && entry.atMs === minuteMs && entry.reason === reason)
      const entry = {
        atMs: minuteMs,
        event: 'duplicates',
        token: '',
        attemptId: '',
        ...untraced,
        reason,
        count: count + (trail[at]?.count ?? 0),
      }
      trail.splice(at < 0 ? trail.length : at, at < 0 ? 0 : 1, entry)
    }
  }

  trail(id: Uint8Array): readonly TrailEntry[] {
    return [...(this.#trails.get(toHex(id)) ?? [])].sort((a, b) => a.atMs - b.atMs)
  }

  sweep(batchMax: number): number {
    const nowMs = this.nowMs()
    const ended = [...this.#records].filter(([, record]) => {
      if (record.state === 'released') return nowMs - record.releasedAtMs >= record.policy.tombstoneMs
      return (
        record.state === 'completed' &&
        (ageOf(record, nowMs) === 'absent' || (this.#bug === 'swept-early' && nowMs - record.completedAtMs > 1_000))
      )
    })
    for (const [hex] of ended.slice(0, batchMax)) this.#records.delete(hex)
    return Math.min(ended.length, batchMax)
  }

  stats(): StoreStats {
    const records = this.records()
    const count = (state: OncelyRecord['state']): number => records.filter((record) => record.state === state).length
    const bytes = records.reduce((sum, record) => sum + (record.state === 'completed' ? (record.outcome?.bytes.length ?? 0) : 0), 0)
    return {
      records: records.length,
      running: count('running'),
      uncertain: count('uncertain'),
      quarantined: count('quarantined'),
      completed: count('completed'),
      bytes,
    }
  }

  /** Opens a transaction, which the server rolls back when it hears nothing for `idleTimeoutMs`. */
  begin(idleTimeoutMs: number): number {
    const transaction: OpenTransaction = {
      id: ++this.#transactionId,
      state: 'open',
      view: new Map(),
      rows: [],
      log: [],
      locks: new Set(),
      idleTimeoutMs,
      cancelIdle: () => {},
    }
    this.#transactions.set(transaction.id, transaction)
    this.#heard(transaction)
    return transaction.id
  }

  claimInside(id: number, request: ClaimRequest): ClaimAnswer {
    const transaction = this.#open(id)
    const answer = this.#claimed(transaction, request)
    if (answer !== undefined) return answer
    const hex = toHex(request.id)
    const token = this.#nextToken()
    const before = transaction.view.get(hex) ?? this.#records.get(hex)
    const moved = this.#moved<'claim'>(before, { type: 'claim', request, token })
    if (moved.record !== undefined)
      this.#see(transaction, before, moved.record, { owner: request.owner, traceId: request.traceId, reason: '' })
    for (const lock of locksOf(request)) {
      this.#locks.set(lock, transaction)
      transaction.locks.add(lock)
    }
    return moved.answer
  }

  completeInside(id: number, ownership: Ownership, outcome: Outcome): CompleteAnswer {
    return this.#moveInside<'complete'>(id, ownership, { type: 'complete', ownership, outcome })
  }

  quarantineInside(id: number, ownership: Ownership, reason: string): OwnerAnswer {
    return this.#moveInside<'quarantine'>(id, ownership, { type: 'quarantine', ownership, reason })
  }

  #moveInside<E extends RecordEvent['type']>(id: number, owner: Ownership, event: EventOf<E>): Transition<E>['answer'] {
    const transaction = this.#open(id)
    const before = transaction.view.get(toHex(owner.id)) ?? this.#records.get(toHex(owner.id))
    const { record, answer } = this.#moved<E>(before, event)
    if (answer === 'done' && record !== undefined) this.#see(transaction, before, record, untraced)
    return answer
  }

  insert(id: number, row: SimRow): void {
    const transaction = this.#open(id)
    this.#mayConflict(transaction)
    if (this.#bug === 'rows-outlive-roll-back') this.rows.push(row)
    else transaction.rows = [...transaction.rows, row]
  }

  /** A statement that fails for a reason of the user's: the transaction is dead from here on. */
  fail(id: number): never {
    this.#open(id).state = 'failed'
    throw new SimDatabaseError('refused', 'the statement is wrong')
  }

  /** Gives a record a newer token inside the transaction, as a wrong restore would. */
  supersede(id: number, recordId: Uint8Array): void {
    const { view } = this.#open(id)
    const record = view.get(toHex(recordId))
    if (record !== undefined) view.set(toHex(recordId), { ...record, token: this.#nextToken() })
  }

  savepoint(id: number): () => void {
    const transaction = this.#open(id)
    const { rows, log } = transaction
    const view = new Map(transaction.view)
    const locks = new Set(transaction.locks)
    return () => {
      if (transaction.state === 'ended') throw new SimDatabaseError('gone', 'the connection was closed by the server')
      Object.assign(transaction, { view: new Map(view), rows, log, state: 'open' })
      for (const lock of transaction.locks) if (!locks.has(lock)) this.#unlock(transaction, lock)
    }
  }

  isOpen(id: number): boolean {
    return this.#transactions.has(id)
  }

  commit(id: number): void {
    const transaction = this.#open(id)
    try {
      this.#mayConflict(transaction)
    } catch (error) {
      this.rollBack(id)
      throw new TransactionConflict('The commit conflicted with another transaction.', { cause: error })
    }
    const forgotten = this.#bug === 'commit-forgotten' && this.#random.chance(0.2)
    if (!forgotten) {
      for (const [hex, record] of transaction.view) this.#records.set(hex, record)
      for (const { record, event, trace } of transaction.log) this.#log(record, event, trace)
      this.rows.push(...transaction.rows)
    }
    this.#end(transaction)
    this.onCommit()
  }

  /** Also what happens when a connection is lost. */
  rollBack(id: number): void {
    const transaction = this.#transactions.get(id)
    if (transaction !== undefined) this.#end(transaction)
  }

  /** The answer of a claim that is decided by the committed record or by a lock; undefined when it may be granted. */
  #claimed(transaction: OpenTransaction | undefined, request: ClaimRequest): ClaimAnswer | undefined {
    const hex = toHex(request.id)
    const own = transaction?.view.get(hex)
    const [idLock, pairLock] = locksOf(request)
    // Within one transaction a claim of its own is not committed, so it is no escaped one.
    if (own?.state === 'running') return this.#locks.has(pairLock) ? { word: 'in-progress', retryAfterMs } : { word: 'mismatch' }
    const { answer, record } = this.#moved<'claim'>(own ?? this.#records.get(hex), {
      type: 'claim',
      request,
      token: { epoch: this.#epoch, seq: this.#seq + 1n },
    })
    if (answer.word !== 'acquired') {
      const before = this.#records.get(hex)
      // What a refused claim changes (a seal) is not part of the transaction that it refuses.
      if (own === undefined && record !== undefined && record !== before)
        this.#keep(before, record, { owner: request.owner, traceId: request.traceId, reason: '' })
      return answer
    }
    const holder = this.#locks.get(idLock)
    if (holder === undefined || holder === transaction) return undefined
    return this.#locks.has(pairLock) ? { word: 'in-progress', retryAfterMs } : { word: 'mismatch' }
  }

  #moved<E extends RecordEvent['type']>(record: OncelyRecord | undefined, event: EventOf<E>): Transition<E> {
    const seen = misread(this.#bug, record, event)
    const moved = transition<E>(seen.record, seen.event as EventOf<E>, this.nowMs())
    return moved.record === seen.record ? { ...moved, record } : moved
  }

  #forgets(event: RecordEvent): boolean {
    return this.#bug === 'commit-forgotten' && event.type === 'complete' && this.#random.chance(0.2)
  }

  #keep(before: OncelyRecord | undefined, record: OncelyRecord, trace: Trace): void {
    this.#records.set(toHex(record.id), record)
    const changed = trailEvent(before, record)
    if (changed !== undefined) this.#log(record, changed, trace)
  }

  #see(transaction: OpenTransaction, before: OncelyRecord | undefined, record: OncelyRecord, trace: Trace): void {
    transaction.view.set(toHex(record.id), record)
    const event = trailEvent(before, record)
    if (event !== undefined) transaction.log = [...transaction.log, { record, event, trace }]
  }

  #log(record: OncelyRecord, event: string, trace: Trace): void {
    const { id, token, attemptId } = record
    const reason = trace.reason === '' && 'reason' in record ? record.reason : trace.reason
    this.#trailOf(toHex(id)).push({ atMs: this.nowMs(), event, token: formatToken(token), attemptId, ...trace, reason, count: 0 })
  }

  #trailOf(hex: string): TrailEntry[] {
    const trail = this.#trails.get(hex) ?? []
    this.#trails.set(hex, trail)
    return trail
  }

  #nextToken(): FencingToken {
    return { epoch: this.#epoch, seq: ++this.#seq }
  }

  #open(id: number): OpenTransaction {
    const transaction = this.#transactions.get(id)
    if (transaction === undefined) throw new SimDatabaseError('gone', 'the connection was closed by the server')
    this.#heard(transaction)
    if (transaction.state === 'failed') throw new SimDatabaseError('dead', 'the transaction is aborted, commands are ignored until its end')
    return transaction
  }

  #heard(transaction: OpenTransaction): void {
    transaction.cancelIdle()
    transaction.cancelIdle = this.#world.time.schedule(this.#world.time.nowMs + transaction.idleTimeoutMs, () => {
      this.#world.note(this.name, () => `transaction ${transaction.id} was idle for too long`)
      this.#end(transaction)
    })
  }

  #mayConflict(transaction: OpenTransaction): void {
    if (this.conflicts === 0 || !this.#random.chance(this.conflicts)) return
    this.#world.count('database: conflict')
    transaction.state = 'failed'
    throw new SimDatabaseError('conflict', 'could not serialize access')
  }

  #end(transaction: OpenTransaction): void {
    transaction.state = 'ended'
    transaction.cancelIdle()
    for (const lock of [...transaction.locks]) this.#unlock(transaction, lock)
    this.#transactions.delete(transaction.id)
  }

  #unlock(transaction: OpenTransaction, lock: string): void {
    transaction.locks.delete(lock)
    this.#locks.delete(lock)
  }
}

function locksOf(request: ClaimRequest): readonly [string, string] {
  const id = toHex(request.id)
  return [id, `${id}/${toHex(request.fingerprint.plain)}`]
}
