import type {
  AuditCount,
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
  ErasureBatch,
  Hold,
  HoldTarget,
  InboxStore,
  OncelyRecord,
  OutboxStore,
  Outcome,
  OwnerAnswer,
  Ownership,
  ReleaseAnswer,
  RenewAnswer,
  Resolution,
  ResolveAnswer,
  SqlLayer,
  StorageUsage,
  StoreCapabilities,
  StoreInfo,
  StoreStats,
  SweepAnswer,
  TrailEntry,
  TransactionalStore,
  TransactionEnd,
  TransactionErrorMeaning,
  TransactionOptions,
  TransactionResult,
  TransactionScope,
  TransactionWork,
} from '../../core/index.ts'
import { checkBound, fromHex, holdParts, RecordHeld, toHex } from '../../core/index.ts'
import { claimLine, holdRow, recordRow, stateCodes, trailRows } from '../../sql/index.ts'
import { serverInfo } from './durability.ts'
import { checkSchema, migrate } from './migrate.ts'
import { errorFacts, meaningOf, storeError, transactionMeaning } from './postgres-error.ts'
import { PostgresInbox } from './postgres-inbox.ts'
import { PostgresOutbox } from './postgres-outbox.ts'
import { PostgresSteps } from './postgres-steps.ts'
import { bytes, flag, integer, text } from './sql-call.ts'
import { sqlPlace } from './sql-name.ts'
import { storageUsage } from './storage-usage.ts'
import { owned, StoreFunctions, stored } from './store-function.ts'
import { Transact } from './transact.ts'
import { PostgresScope } from './transaction-scope.ts'

/** Where the tables are and how they are kept; everything has a default. */
export interface PostgresStoreOptions {
  /** Default `public`. */
  readonly schema?: string
  /** What the names of tables and functions begin with; default `oncely_`. */
  readonly prefix?: string
  /** `check` (default) refuses a schema that is not up to date; `auto` migrates it when the store is opened. */
  readonly migrate?: 'auto' | 'check'
  /** Days for which the audit trail is kept; default 365. */
  readonly trailDays?: number
}

/**
 * Keeps records in PostgreSQL 15 or newer, in the database of the user's own rows: claim, rows and outcome are one commit.
 *
 * ```ts
 * const store = postgresStore(fromPg(pool), { schema: 'payments' })
 * await store.migrate()
 * ```
 *
 * @throws ConfigurationError when an option is out of its bounds.
 */
export function postgresStore<Tx>(layer: SqlLayer<Tx>, options: PostgresStoreOptions = {}): TransactionalStore<Tx> {
  return new PostgresStore(layer, options)
}

/** Every method is one call of one function in the database; their text is in `migrations/`. */
class PostgresStore<Tx> implements TransactionalStore<Tx> {
  readonly name = 'postgres'
  readonly capabilities: StoreCapabilities = { transactional: true, clock: 'server', shared: true, seesOpenTransactions: true }
  readonly outbox: OutboxStore<Tx>
  readonly inbox: InboxStore<Tx>
  readonly steps: PostgresSteps<Tx>
  readonly #functions: StoreFunctions<Tx>
  readonly #migrate: 'auto' | 'check'
  readonly #trailDays: number
  #instanceId: string | undefined

  constructor(layer: SqlLayer<Tx>, options: PostgresStoreOptions) {
    this.#functions = new StoreFunctions(layer, sqlPlace(options.schema ?? 'public', options.prefix ?? 'oncely_'))
    this.outbox = new PostgresOutbox(this.#functions)
    this.inbox = new PostgresInbox(this.#functions)
    this.steps = new PostgresSteps(this.#functions)
    this.#migrate = options.migrate ?? 'check'
    this.#trailDays = checkBound('trailDays', options.trailDays, { preset: 365, min: 1, max: 36_500 })
  }

  async open(): Promise<StoreInfo> {
    if (this.#migrate === 'auto') await this.migrate()
    else await this.#mapped('its schema', () => checkSchema(this.#functions.layer, this.#functions.place))
    const info = await serverInfo(this.#functions)
    this.#instanceId = info.instanceId
    return info
  }

  async migrate(): Promise<void> {
    await this.#mapped('a migration', () => migrate(this.#functions.layer, this.#functions.place))
    await this.#upkeep(1)
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const ids = await this.#functions.dictionaryIds(request)
    const line = await this.#functions.word('a claim', this.#functions.claim(request, ids, false, undefined))
    return claimLine(line, request.id, request.attemptId).answer
  }

  async renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<RenewAnswer> {
    const call = this.#functions.call('renew', [...owned(ownership), integer(change.leaseMs), flag(change.begun ?? false)])
    return (await this.#functions.word('a renewal', call)) as RenewAnswer
  }

  async complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    return (await this.#functions.word('a completion', this.#functions.complete(false, undefined, ownership, outcome))) as CompleteAnswer
  }

  async release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    const call = this.#functions.call('release', [...owned(ownership), flag(change.declared ?? false), text(change.reason)])
    return (await this.#functions.word('a release', call)) as ReleaseAnswer
  }

  async seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    const call = this.#functions.call('seal', [...owned(ownership), text(''), text(''), text(change.reason)])
    return (await this.#functions.word('a seal', call)) as OwnerAnswer
  }

  async resolve(id: Uint8Array, { expected, verdict, by, reason }: Resolution): Promise<ResolveAnswer> {
    const { state, token } = expected
    const outcome = stored(verdict.applied ? verdict.outcome : undefined)
    const given = [bytes(id), integer(stateCodes[state]), integer(token.epoch), integer(token.seq), ...outcome, text(by), text(reason)]
    const line = await this.#functions.word('a resolution', this.#functions.call('resolve', given))
    const [word, retryAfterMs] = line.split(' ') as [ResolveAnswer['word'], string?]
    return word === 'early' ? { word, retryAfterMs: Number(retryAfterMs) } : { word }
  }

  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    const { rows } = await this.#functions.rows('a read', this.#readStatement(), [id])
    return rows[0] === undefined ? undefined : recordRow(rows[0])
  }

  async forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean> {
    const call = this.#functions.call('forget', [bytes(id), text(change.reason)])
    const word = await this.steps.erasedBy(call, `SELECT ${bytes(id).literal}::bytea FROM erasure WHERE answer = 'forgotten'`)
    if (word === 'held') throw new RecordHeld('The record is under a legal hold and was not erased. Lift the hold first.')
    return word === 'forgotten'
  }

  async erasePrincipal(principal: Uint8Array, change: { readonly reason: string; readonly batchMax: number }): Promise<ErasureBatch> {
    const call = this.#functions.call('erase_principal', [bytes(principal), text(change.reason), integer(change.batchMax)])
    const taken = `SELECT decode(hex, 'hex') FROM erasure, unnest(string_to_array(substr(split_part(answer, ' ', 3), 2), ',')) hex`
    const [held = '', kept = '', ids = ''] = (await this.steps.erasedBy(call, taken)).split(' ')
    const erased = ids
      .slice(1)
      .split(',')
      .filter((hex) => hex !== '')
    return { erased: erased.map(fromHex), held: Number(held), kept: Number(kept) }
  }

  async hold(target: HoldTarget, change: { readonly held: boolean; readonly by: string; readonly reason: string }): Promise<boolean> {
    const { kind, digest } = holdParts(target)
    const call = this.#functions.call('hold', [text(kind), bytes(digest), flag(change.held), text(change.by), text(change.reason)])
    return (await this.#functions.word('a legal hold', call)) === 'changed'
  }

  async holds(): Promise<readonly Hold[]> {
    const { rows } = await this.#functions.rows('legal holds', `SELECT * FROM ${this.#functions.nameOf('holds')} ORDER BY placed, digest`)
    return rows.map(holdRow)
  }

  async audit(counts: readonly AuditCount[]): Promise<void> {
    if (counts.length === 0) return
    await this.#functions.rows('audit counts', this.#auditStatement(summed(counts)))
  }

  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    const ms = (column: string): string => `floor(date_part('epoch', e.${column}) * 1000)::bigint AS ${column}`
    const statement = `SELECT ${ms('at')}, ${ms('claimed')}, e.event, e.epoch, e.seq, e.attempt_id, e.owner, e.trace_id, e.reason, e.count
FROM (SELECT * FROM ${this.#functions.nameOf('events')} UNION ALL SELECT * FROM ${this.#functions.nameOf('held_events')}) e
WHERE e.id = $1 ORDER BY e.at`
    const { rows } = await this.#functions.rows('a trail', statement, [id])
    return rows.flatMap(trailRows).sort((a, b) => a.atMs - b.atMs)
  }

  async sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    const removed = Number(await this.#functions.word('a sweep', this.#functions.call('sweep', [integer(limits.batchMax)])))
    await this.steps.sweep(limits.batchMax)
    if (removed < limits.batchMax) await this.#upkeep(limits.batchMax)
    return { removed }
  }

  async stats(): Promise<StoreStats> {
    const line = await this.#functions.word('statistics', this.#functions.call('stats', []))
    const [records = 0, running = 0, uncertain = 0, quarantined = 0, completed = 0, size = 0] = line.split(' ').map(Number)
    return { records, running, uncertain, quarantined, completed, bytes: size }
  }

  async usage(): Promise<StorageUsage> {
    return storageUsage(this.#functions, this.#trailDays)
  }

  async instanceId(): Promise<string> {
    return (await serverInfo(this.#functions)).instanceId
  }

  /** The pool belongs to the user, who closes it. */
  async close(): Promise<void> {}

  transact<R>(
    request: ClaimRequest | undefined,
    options: TransactionOptions,
    body: (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>,
  ): Promise<TransactionResult<R>> {
    return new Transact(this.#functions, request, options, body).run()
  }

  within(tx: Tx): TransactionScope {
    return new PostgresScope(this.#functions, async () => this.#instanceId ?? (await this.open()).instanceId, tx)
  }

  classify(error: unknown): TransactionErrorMeaning {
    return transactionMeaning(meaningOf(error, this.#functions.place))
  }

  /** Partitions ahead and behind. A role that may not make them leaves that to one that may: the default partitions hold all. */
  async #upkeep(batchMax: number): Promise<void> {
    try {
      await this.#functions.word('its upkeep', this.#functions.call('upkeep', [integer(this.#trailDays), integer(batchMax)]))
    } catch (error) {
      if (errorFacts(error).sqlState !== '42501') throw error
    }
  }

  async #mapped<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw storeError(error, this.#functions.place, what)
    }
  }

  #readStatement(): string {
    const name = (table: string): string => this.#functions.nameOf(table)
    return `SELECT k.*, n.name AS operation_name, p.name AS policy_name, p.retention_ms, p.tombstone_ms, p.attempts_max, p.takeover,
  p.effect_timeout_ms, coalesce(o.codec, h.codec) AS codec, coalesce(o.checksum, h.checksum) AS checksum, coalesce(o.bytes, h.bytes) AS bytes
FROM ${name('instance')} i
  JOIN ${name('keys')} k ON k.id = $1 AND k.region = i.region
  JOIN ${name('operations')} n ON n.id = k.operation
  JOIN ${name('policies')} p ON p.id = k.policy
  LEFT JOIN ${name('outcomes')} o ON o.id = k.id AND o.region = k.region AND o.seq = k.seq AND o.day = k.outcome_day
  LEFT JOIN ${name('held_outcomes')} h ON h.id = k.id AND h.region = k.region AND h.seq = k.seq
WHERE k.state <> 2 OR ${name('now_ms')}() - k.since < greatest(p.retention_ms, p.tombstone_ms)`
  }

  /** Rows in one order everywhere, so that two batches wait for each other instead of deadlocking. */
  #auditStatement(counts: readonly AuditCount[]): string {
    const rows = counts.map(
      ({ id, minuteMs, reason, count }) =>
        `(${[bytes(id), integer(minuteMs), text(reason), integer(count)].map(({ literal }) => literal).join(', ')})`,
    )
    return `INSERT INTO ${this.#functions.nameOf('events')} AS e (day, at, id, region, event, reason, count)
SELECT (to_timestamp(c.minute_ms::bigint / 1000.0) AT TIME ZONE 'UTC')::date, to_timestamp(c.minute_ms::bigint / 1000.0), c.id::bytea, i.region, 'duplicates', c.reason, c.count::integer
FROM (VALUES ${rows.join(', ')}) AS c (id, minute_ms, reason, count), ${this.#functions.nameOf('instance')} i
ON CONFLICT (id, region, at, reason, day) WHERE event = 'duplicates' DO UPDATE SET count = e.count + excluded.count`
  }
}

/** One row for each (record, minute, reason): a statement may not meet the same row twice. */
function summed(counts: readonly AuditCount[]): readonly AuditCount[] {
  const sums = new Map<string, AuditCount>()
  for (const one of counts) {
    const key = `${toHex(one.id)} ${one.minuteMs} ${one.reason}`
    sums.set(key, { ...one, count: one.count + (sums.get(key)?.count ?? 0) })
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum)
}
