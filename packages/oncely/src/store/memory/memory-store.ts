import type {
  AuditCount,
  ClaimAnswer,
  ClaimRequest,
  Clock,
  CompleteAnswer,
  ErasureBatch,
  Hold,
  HoldTarget,
  OncelyRecord,
  Outcome,
  OwnerAnswer,
  Ownership,
  RecordEvent,
  ReleaseAnswer,
  Resolution,
  ResolveAnswer,
  Store,
  StoreCapabilities,
  StoreInfo,
  StoreStats,
  SweepAnswer,
  TrailEntry,
  Transition,
} from '../../core/index.ts'
import {
  ageOf,
  formatToken,
  heldTombstoneMs,
  holdParts,
  RecordHeld,
  StoreUnavailable,
  sameBytes,
  toHex,
  trailEvent,
  transition,
} from '../../core/index.ts'
import { nodeClock } from '../../platform/index.ts'

/** What the memory store is built from; everything has a default. */
export interface MemoryStoreOptions {
  /** The clock that decides leases and ages. */
  readonly clock?: Clock
  /** The most records it holds; a claim beyond it is refused, because dropping an older record would run its effect again. */
  readonly recordsMax?: number
}

/**
 * Keeps records in this process: for tests, for telemetry, and as the shortest store to read. It survives nothing, so a policy
 * that must survive a restart refuses it.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options.clock ?? nodeClock, options.recordsMax ?? 1_000_000)
}

interface Trace {
  readonly owner: string
  readonly traceId: string
  readonly reason: string
}

/** Every method is one transition of one map entry. */
class MemoryStore implements Store {
  readonly name = 'memory'
  readonly capabilities: StoreCapabilities = { transactional: false, clock: 'process', shared: false, seesOpenTransactions: true }
  readonly #clock: Clock
  readonly #recordsMax: number
  readonly #records = new Map<string, OncelyRecord>()
  readonly #holds = new Map<string, Hold>()
  readonly #trails = new Map<string, TrailEntry[]>()
  #seq = 0n

  constructor(clock: Clock, recordsMax: number) {
    this.#clock = clock
    this.#recordsMax = recordsMax
  }

  async open(): Promise<StoreInfo> {
    return {
      survives: 'nothing',
      survivesBecause: 'its records live in this process only',
      instanceId: '00000000-0000-4000-8000-000000000000',
    }
  }

  async migrate(): Promise<void> {}

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    if (this.#records.size >= this.#recordsMax && !this.#records.has(toHex(request.id))) {
      throw new StoreUnavailable(
        `The memory store holds ${this.#records.size} records, its recordsMax. Raise it, or use a durable store.`,
        { applied: 'no' },
      )
    }
    const token = { epoch: 1, seq: ++this.#seq }
    return this.#apply<'claim'>(
      request.id,
      { type: 'claim', request, token },
      { owner: request.owner, traceId: request.traceId, reason: '' },
    )
  }

  async renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<OwnerAnswer> {
    return this.#apply<'renew'>(ownership.id, { type: 'renew', ownership, leaseMs: change.leaseMs, begun: change.begun ?? false })
  }

  async complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    return this.#apply<'complete'>(ownership.id, { type: 'complete', ownership, outcome })
  }

  async release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    return this.#apply<'release'>(
      ownership.id,
      { type: 'release', ownership, declared: change.declared ?? false },
      { owner: '', traceId: '', reason: change.reason },
    )
  }

  async seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    return this.#apply<'seal'>(
      ownership.id,
      { type: 'seal', ownership, reason: change.reason },
      { owner: '', traceId: '', reason: change.reason },
    )
  }

  async resolve(id: Uint8Array, resolution: Resolution): Promise<ResolveAnswer> {
    return this.#apply<'resolve'>(id, { type: 'resolve', resolution }, { owner: resolution.by, traceId: '', reason: resolution.reason })
  }

  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    const record = this.#ruled(this.#records.get(toHex(id)))
    return record?.state === 'completed' && ageOf(record, this.#clock.nowMs()) === 'absent' ? undefined : record
  }

  async forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean> {
    const record = this.#records.get(toHex(id))
    if (record === undefined) return false
    if (this.#isHeld(record)) throw new RecordHeld('The record is under a legal hold and was not erased. Lift the hold first.')
    this.#records.delete(toHex(id))
    this.#trace(record, 'forgotten', { owner: '', traceId: '', reason: change.reason })
    return true
  }

  async erasePrincipal(
    principal: Uint8Array,
    { reason, batchMax }: { readonly reason: string; readonly batchMax: number },
  ): Promise<ErasureBatch> {
    const erased: Uint8Array[] = []
    let [held, kept] = [0, 0]
    for (const [hex, record] of this.#records) {
      if (!sameBytes(record.principal, principal)) continue
      if (this.#isHeld(record)) held++
      else if (erased.length === batchMax || !(record.state === 'completed' || record.state === 'released')) kept++
      else {
        this.#records.delete(hex)
        this.#trace(record, 'forgotten', { owner: '', traceId: '', reason })
        erased.push(record.id)
      }
    }
    return { erased, held, kept }
  }

  async hold(target: HoldTarget, change: { readonly held: boolean; readonly by: string; readonly reason: string }): Promise<boolean> {
    const { kind, digest } = holdParts(target)
    const name = `${kind} ${toHex(digest)}`
    if (this.#holds.has(name) === change.held) return false
    if (change.held) this.#holds.set(name, { target, placedAtMs: this.#clock.nowMs(), by: change.by, reason: change.reason })
    else this.#holds.delete(name)
    return true
  }

  async holds(): Promise<readonly Hold[]> {
    return [...this.#holds.values()]
  }

  #isHeld({ id, principal }: Pick<OncelyRecord, 'id' | 'principal'>): boolean {
    return this.#holds.size > 0 && (this.#holds.has(`record ${toHex(id)}`) || this.#holds.has(`principal ${toHex(principal)}`))
  }

  /** The record as the rules see it: a held one never ages away. */
  #ruled(record: OncelyRecord | undefined): OncelyRecord | undefined {
    if (record === undefined || !this.#isHeld(record)) return record
    return { ...record, policy: { ...record.policy, tombstoneMs: heldTombstoneMs } }
  }

  async audit(counts: readonly AuditCount[]): Promise<void> {
    for (const { id, minuteMs, reason, count } of counts) {
      const trail = this.#trailOf(toHex(id))
      const index = trail.findIndex((entry) => entry.count > 0 && entry.atMs === minuteMs && entry.reason === reason)
      const before = trail[index]
      const entry: TrailEntry = {
        atMs: minuteMs,
        event: 'duplicates',
        token: '',
        attemptId: '',
        owner: '',
        traceId: '',
        reason,
        count: count + (before?.count ?? 0),
      }
      if (before === undefined) trail.push(entry)
      else trail[index] = entry
    }
  }

  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    return [...(this.#trails.get(toHex(id)) ?? [])].sort((a, b) => a.atMs - b.atMs)
  }

  async sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    const nowMs = this.#clock.nowMs()
    let removed = 0
    for (const [hex, record] of this.#records) {
      if (removed === limits.batchMax) break
      if (this.#isHeld(record) || !mayRemove(record, nowMs)) continue
      this.#records.delete(hex)
      removed++
    }
    return { removed }
  }

  async stats(): Promise<StoreStats> {
    const records = [...this.#records.values()]
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

  async close(): Promise<void> {}

  #apply<E extends RecordEvent['type']>(
    id: Uint8Array,
    event: Extract<RecordEvent, { type: E }>,
    trace: Trace = { owner: '', traceId: '', reason: '' },
  ): Transition<E>['answer'] {
    const stored = this.#records.get(toHex(id))
    const before = this.#ruled(stored)
    const { record, answer } = transition<E>(before, event, this.#clock.nowMs())
    if (record !== undefined && record !== before) {
      const own = stored !== undefined && record.policy === before?.policy ? stored.policy : record.policy
      this.#records.set(toHex(id), { ...record, policy: own })
      const changed = trailEvent(before, record)
      // A claim that seals or quarantines brings no reason: the record knows it.
      if (changed !== undefined) this.#trace(record, changed, 'reason' in record ? { ...trace, reason: record.reason } : trace)
    }
    return answer
  }

  #trace(record: OncelyRecord, event: string, trace: Trace): void {
    const { token, attemptId } = record
    this.#trailOf(toHex(record.id)).push({ atMs: this.#clock.nowMs(), event, token: formatToken(token), attemptId, ...trace, count: 0 })
  }

  #trailOf(hex: string): TrailEntry[] {
    const trail = this.#trails.get(hex) ?? []
    this.#trails.set(hex, trail)
    return trail
  }
}

/** Only what has ended ages away; running, uncertain and quarantined records wait for their owner, resolver or operator. */
function mayRemove(record: OncelyRecord, nowMs: number): boolean {
  if (record.state === 'completed') return ageOf(record, nowMs) === 'absent'
  return record.state === 'released' && nowMs - record.releasedAtMs >= record.policy.tombstoneMs
}
