import type {
  AuditCount,
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
  FencingToken,
  OncelyRecord,
  Outcome,
  OwnerAnswer,
  Ownership,
  RecordEvent,
  ReleaseAnswer,
  RenewAnswer,
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
import { ageOf, checkBound, StoreUnavailable, toHex, trailEvent, transition } from '../../core/index.ts'
import {
  after as afterPrefix,
  type EtcdClient,
  get,
  getCreated,
  getRange,
  type KeyValue,
  type Operation,
  put,
  remove,
  type TransactionAnswer,
  unchanged,
} from '../../etcd/index.ts'
import { nodeRandom } from '../../platform/index.ts'
import { EtcdPlace, type RecordKeys } from './etcd-name.ts'
import { currentInstance, type Instance, instanceOf } from './instance.ts'
import { countsOf, outcomeFrame, ownRevision, recordOf, recordValue, summaryOf, trailLine, trailOf } from './record-value.ts'
import { Sweeper } from './sweeper.ts'

/** Where the records are and how long their trail is kept; everything has a default. */
export interface EtcdStoreOptions {
  /** What every key begins with; default `oncely`. */
  readonly prefix?: string
  /** Days for which the audit trail is kept after its record was removed; default 90. */
  readonly trailDays?: number
}

interface Trace {
  readonly owner: string
  readonly traceId: string
  readonly reason: string
}

const untraced: Trace = { owner: '', traceId: '', reason: '' }
/** Each lost round is a step that somebody else made. */
const roundsMax = 200
const pageMax = 500

/**
 * Keeps records in etcd 3.4 or newer, over its JSON gateway, on a client that you hand in. Lease mode only: etcd takes no part in
 * the transaction of your rows. For a small, hot set of keys that must outlive any machine: etcd holds a few GiB.
 *
 * ```ts
 * const store = etcdStore(etcdClient({ endpoints }))
 * ```
 *
 * @throws ConfigurationError when an option is out of its bounds.
 */
export function etcdStore(client: EtcdClient, options: EtcdStoreOptions = {}): Store {
  return new EtcdStore(client, options)
}

/** What one look found: the record, and what the next step must find unchanged. */
interface Look {
  readonly record: OncelyRecord | undefined
  readonly modRevision: bigint
  readonly instance: Instance | undefined
  /** Of the step's own line in the trail: the step happened, and the answer to it was lost. */
  readonly ownLine: KeyValue | undefined
}

/**
 * Every step is: look, move the record with `transition`, write in one transaction that compares what was looked at.
 *
 *   look ──▶ transition ──unchanged──▶ answer
 *     ▲          └──changed──▶ transaction (record, outcome, trail line, due) ──succeeded──▶ answer
 *     └────────── its other branch: the record as it is now ◀──compare failed──┘
 *
 * The looks are linearizable reads. A transaction whose answer was lost is sent again: its compare fails then, and its own line in
 * the trail tells that it happened. The token of a claim is the revision of its transaction.
 */
class EtcdStore implements Store {
  readonly name = 'etcd'
  readonly capabilities: StoreCapabilities = { transactional: false, clock: 'server', shared: true, seesOpenTransactions: true }
  readonly #client: EtcdClient
  readonly #place: EtcdPlace
  readonly #trailMs: number
  readonly #sweeper: Sweeper

  constructor(client: EtcdClient, options: EtcdStoreOptions) {
    this.#client = client
    this.#place = new EtcdPlace(options.prefix ?? 'oncely')
    this.#trailMs = checkBound('trailDays', options.trailDays, { preset: 90, min: 1, max: 36_500 }) * 86_400_000
    this.#sweeper = new Sweeper(client, this.#place, this.#trailMs)
  }

  async open(): Promise<StoreInfo> {
    const { instanceId } = await currentInstance(this.#client, this.#place.instance)
    const voters = await this.#client.voters()
    await this.#client.time()
    const flushed = 'each write is flushed on a majority before its answer (unless --unsafe-no-fsync, which no answer tells)'
    return voters > 1
      ? { survives: 'failover', survivesBecause: `${voters} voting nodes: ${flushed}`, instanceId }
      : { survives: 'power', survivesBecause: `one voting node: ${flushed}; nobody has a copy`, instanceId }
  }

  /** `open()` does it too: there is no schema but the number of the layout. */
  async migrate(): Promise<void> {
    await this.instanceId()
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const trace = { owner: request.owner, traceId: request.traceId, reason: '' }
    return this.#step<'claim'>(request.id, ({ epoch }) => ({ type: 'claim', request, token: { epoch, seq: ownRevision } }), trace)
  }

  async renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<RenewAnswer> {
    const { leaseMs, begun = false } = change
    return this.#step<'renew'>(ownership.id, () => ({ type: 'renew', ownership, leaseMs, begun }))
  }

  async complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    return this.#step<'complete'>(ownership.id, () => ({ type: 'complete', ownership, outcome }))
  }

  async release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    const { reason, declared = false } = change
    return this.#step<'release'>(ownership.id, () => ({ type: 'release', ownership, declared }), { ...untraced, reason })
  }

  async seal(ownership: Ownership, { reason }: { readonly reason: string }): Promise<OwnerAnswer> {
    return this.#step<'seal'>(ownership.id, () => ({ type: 'seal', ownership, reason }), { ...untraced, reason })
  }

  async resolve(id: Uint8Array, resolution: Resolution): Promise<ResolveAnswer> {
    const trace = { owner: resolution.by, traceId: '', reason: resolution.reason }
    return this.#step<'resolve'>(id, () => ({ type: 'resolve', resolution }), trace)
  }

  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    const { record } = await this.#look(id, '')
    if (record?.state !== 'completed') return record
    return ageOf(record, (await this.#client.time()).nowMs) === 'absent' ? undefined : record
  }

  async forget(id: Uint8Array, { reason }: { readonly reason: string }): Promise<boolean> {
    const keys = this.#place.keysOf(id)
    const writeId = nodeRandom.uuid()
    let look = await this.#look(id, writeId)
    for (let round = 0; round < roundsMax; round++) {
      if (look.record === undefined) return false
      const { nowMs } = await this.#client.time()
      const { token, attemptId } = look.record
      const line = trailLine({ atMs: nowMs, event: 'forgotten', attemptId, ...untraced, reason }, token)
      const answer = await this.#client.transact({
        compare: [unchanged(keys.record, look.modRevision)],
        success: [
          remove(keys.record),
          remove(keys.outcome),
          put(`${keys.trail}${writeId}`, line),
          put(this.#place.due(nowMs + this.#trailMs, keys.hex), ''),
        ],
        failure: this.#reads(keys, writeId),
      })
      if (answer.succeeded) return true
      look = lookOf(id, answer)
      if (look.ownLine !== undefined) return true
    }
    throw crowded()
  }

  async audit(counts: readonly AuditCount[]): Promise<void> {
    const records = new Map<string, Record<string, number>>()
    for (const { id, minuteMs, reason, count } of counts) {
      const sums = records.get(toHex(id)) ?? {}
      const name = `${minuteMs} ${reason}`
      sums[name] = (sums[name] ?? 0) + count
      records.set(toHex(id), sums)
    }
    await Promise.all([...records].map(([hex, sums]) => this.#count(this.#place.keysOf(hex), sums)))
  }

  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    const { trail, counts } = this.#place.keysOf(id)
    const { found } = await this.#client.transact({ success: [getCreated(trail), get(counts)] })
    return trailOf(found[0] ?? [], found[1]?.[0])
  }

  sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    return this.#sweeper.sweep(limits.batchMax)
  }

  /** Reads every record, a page at a time; the outcomes lie elsewhere and are not read. */
  async stats(): Promise<StoreStats> {
    const states = { running: 0, released: 0, uncertain: 0, quarantined: 0, completed: 0 }
    let [records, bytes] = [0, 0]
    const end = afterPrefix(this.#place.records)
    for (let from = this.#place.records; ; ) {
      const { found } = await this.#client.transact({ success: [getRange(from, end, pageMax, false)] })
      const page = found[0] ?? []
      for (const { state, outcomeBytes } of page.map(summaryOf)) {
        states[state]++
        records++
        bytes += outcomeBytes
      }
      const last = page.at(-1)
      if (last === undefined || page.length < pageMax) break
      from = `${last.key}\0`
    }
    const { running, uncertain, quarantined, completed } = states
    return { records, running, uncertain, quarantined, completed, bytes }
  }

  async instanceId(): Promise<string> {
    return (await currentInstance(this.#client, this.#place.instance)).instanceId
  }

  /** The client belongs to the user, who closes it. */
  async close(): Promise<void> {}

  async #step<E extends RecordEvent['type']>(
    id: Uint8Array,
    eventOf: (instance: Instance) => Extract<RecordEvent, { type: E }>,
    trace: Trace = untraced,
  ): Promise<Transition<E>['answer']> {
    const writeId = nodeRandom.uuid()
    const keys = this.#place.keysOf(id)
    let look = await this.#look(id, writeId)
    for (let round = 0; round < roundsMax; round++) {
      const instance = look.instance ?? (await currentInstance(this.#client, this.#place.instance))
      const event = eventOf(instance)
      const nowMs = this.#decisive(look.record, await this.#client.time(), event.type)
      const { record, answer } = transition<E>(look.record, event, nowMs)
      if (record === undefined || record === look.record) return answer
      const transaction = await this.#client.transact({
        compare: [unchanged(keys.record, look.modRevision), unchanged(this.#place.instance, instance.modRevision)],
        success: this.#writes(keys, look.record, record, nowMs, { writeId, trace }),
        failure: this.#reads(keys, writeId),
      })
      if (transaction.succeeded) return withToken(answer, transaction.revision)
      look = lookOf(id, transaction)
      if (look.ownLine !== undefined) return withToken(answer, look.ownLine.createRevision)
    }
    throw crowded()
  }

  /** A lease has ended when no node's clock says that it still runs: inside the doubt, the claim hears `in-progress`. */
  #decisive(
    record: OncelyRecord | undefined,
    { nowMs, earliestMs }: { nowMs: number; earliestMs: number },
    type: RecordEvent['type'],
  ): number {
    if (type !== 'claim' || record?.state !== 'running') return nowMs
    return earliestMs < record.leaseEndMs && nowMs >= record.leaseEndMs ? record.leaseEndMs - 1 : nowMs
  }

  async #look(id: Uint8Array, writeId: string): Promise<Look> {
    return lookOf(id, await this.#client.transact({ success: this.#reads(this.#place.keysOf(id), writeId) }))
  }

  #reads(keys: RecordKeys, writeId: string): readonly Operation[] {
    return [get(keys.record), get(keys.outcome), get(this.#place.instance), get(`${keys.trail}${writeId}`)]
  }

  #writes(
    keys: RecordKeys,
    before: OncelyRecord | undefined,
    record: OncelyRecord,
    nowMs: number,
    { writeId, trace }: { readonly writeId: string; readonly trace: Trace },
  ): readonly Operation[] {
    const writes = [put(keys.record, recordValue(record))]
    const { token, attemptId, policy } = record
    const event = trailEvent(before, record)
    // A claim that seals or quarantines brings no reason: the record knows it.
    const told = { ...trace, reason: 'reason' in record ? record.reason : trace.reason }
    if (event !== undefined) writes.push(put(`${keys.trail}${writeId}`, trailLine({ atMs: nowMs, event, attemptId, ...told }, token)))
    if (record.state === 'completed') {
      if (record.outcome !== undefined) writes.push(put(keys.outcome, outcomeFrame(record.outcome)))
      writes.push(put(this.#place.due(nowMs + policy.retentionMs, keys.hex), ''))
    } else if (before?.state === 'completed') writes.push(remove(keys.outcome))
    if (record.state === 'released') writes.push(put(this.#place.due(nowMs + policy.tombstoneMs, keys.hex), ''))
    return writes
  }

  async #count(keys: RecordKeys, sums: Readonly<Record<string, number>>): Promise<void> {
    const writeId = nodeRandom.uuid()
    const reads = [get(keys.counts)]
    let answer = await this.#client.transact({ success: reads })
    for (let round = 0; round < roundsMax; round++) {
      const stored = answer.found[0]?.[0]
      const before = countsOf(stored)
      if (before.writeId === writeId) return
      const counts: Record<string, number> = { ...before.counts }
      for (const [name, count] of Object.entries(sums)) counts[name] = (counts[name] ?? 0) + count
      const writes = [put(keys.counts, JSON.stringify({ writeId, counts }))]
      // Counts may come when their record is gone; then this is what removes them.
      if (stored === undefined) writes.push(put(this.#place.due((await this.#client.time()).nowMs + this.#trailMs, keys.hex), ''))
      answer = await this.#client.transact({
        compare: [unchanged(keys.counts, stored?.modRevision ?? 0n)],
        success: writes,
        failure: reads,
      })
      if (answer.succeeded) return
    }
    throw crowded()
  }
}

function lookOf(id: Uint8Array, { found, clusterId }: TransactionAnswer): Look {
  const [stored, outcome, instance, ownLine] = found.map((each) => each[0])
  return {
    record: stored === undefined ? undefined : recordOf(id, stored, outcome),
    modRevision: stored?.modRevision ?? 0n,
    instance: instanceOf(instance, clusterId),
    ownLine,
  }
}

/** A claim's token is the revision that its transaction got. */
function withToken<A>(answer: A, revision: bigint): A {
  const claimed = answer as { readonly word?: string; readonly ownership?: Ownership }
  if (claimed.word !== 'acquired' || claimed.ownership?.token.seq !== ownRevision) return answer
  const token: FencingToken = { epoch: claimed.ownership.token.epoch, seq: revision }
  return { ...claimed, ownership: { ...claimed.ownership, token } } as A
}

function crowded(): StoreUnavailable {
  return new StoreUnavailable(`The record changed ${roundsMax} times between look and write; come back later.`, { applied: 'no' })
}
