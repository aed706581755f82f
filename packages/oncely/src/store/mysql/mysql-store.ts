import type {
  AuditCount,
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
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
import { checkBound, toHex } from '../../core/index.ts'
import { claimLine, recordRow, stateCodes, trailRows } from '../../sql/index.ts'
import { serverInfo } from './durability.ts'
import { checkSchema, migrate } from './migrate.ts'
import { nowMs } from './migrations/migration.ts'
import { meaningOf, storeError, transactionMeaning } from './mysql-error.ts'
import { MysqlInbox } from './mysql-inbox.ts'
import { MysqlOutbox } from './mysql-outbox.ts'
import { MysqlSteps } from './mysql-steps.ts'
import { bytes, flag, integer, text } from './sql-literal.ts'
import { sqlPlace } from './sql-name.ts'
import { owned, StoreProcedures, stored } from './store-procedure.ts'
import { Transact } from './transact.ts'
import { MysqlScope } from './transaction-scope.ts'

/** Where the tables are and how they are kept; everything has a default. */
export interface MysqlStoreOptions {
  /** What the names of tables and procedures begin with; default `oncely_`. They are in the database of the layer's connections. */
  readonly prefix?: string
  /** `check` (default) refuses a schema that is not up to date; `auto` migrates it when the store is opened. */
  readonly migrate?: 'auto' | 'check'
  /** Days for which the audit trail is kept; default 365. */
  readonly trailDays?: number
}

/**
 * Keeps records in MariaDB 10.6 or MySQL 8.0 or newer, in the database of the user's own rows: claim, rows and outcome are one
 * commit. Tested on MariaDB 10.11.
 *
 * ```ts
 * const store = mysqlStore(fromMysql2(createPool({ uri })))
 * await store.migrate()
 * ```
 *
 * @throws ConfigurationError when an option is out of its bounds.
 */
export function mysqlStore<Tx>(layer: SqlLayer<Tx>, options: MysqlStoreOptions = {}): TransactionalStore<Tx> {
  return new MysqlStore(layer, options)
}

/** Every method is one call of one procedure in the database; their text is in `migrations/`. */
class MysqlStore<Tx> implements TransactionalStore<Tx> {
  readonly name = 'mysql'
  readonly capabilities: StoreCapabilities = { transactional: true, clock: 'server', shared: true, seesOpenTransactions: true }
  readonly outbox: OutboxStore<Tx>
  readonly inbox: InboxStore<Tx>
  readonly steps: MysqlSteps<Tx>
  readonly #procedures: StoreProcedures<Tx>
  readonly #migrate: 'auto' | 'check'
  readonly #trailDays: number
  #instanceId: string | undefined

  constructor(layer: SqlLayer<Tx>, options: MysqlStoreOptions) {
    this.#procedures = new StoreProcedures(layer, sqlPlace(options.prefix ?? 'oncely_'))
    this.outbox = new MysqlOutbox(this.#procedures)
    this.inbox = new MysqlInbox(this.#procedures)
    this.steps = new MysqlSteps(this.#procedures)
    this.#migrate = options.migrate ?? 'check'
    this.#trailDays = checkBound('trailDays', options.trailDays, { preset: 365, min: 1, max: 36_500 })
  }

  async open(): Promise<StoreInfo> {
    if (this.#migrate === 'auto') await this.migrate()
    else await this.#mapped('its schema', () => checkSchema(this.#procedures.layer, this.#procedures.place))
    const info = await serverInfo(this.#procedures)
    this.#instanceId = info.instanceId
    return info
  }

  async migrate(): Promise<void> {
    await this.#mapped('a migration', () => migrate(this.#procedures.layer, this.#procedures.place))
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const ids = await this.#procedures.dictionaryIds(request)
    const line = await this.#procedures.word('a claim', this.#procedures.claimAlone(request, ids))
    return claimLine(line, request.id, request.attemptId).answer
  }

  async renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<RenewAnswer> {
    const given = [...owned(ownership), integer(change.leaseMs), flag(change.begun ?? false)]
    return (await this.#word('a renewal', 'renew', given)) as RenewAnswer
  }

  async complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    return (await this.#procedures.word('a completion', this.#procedures.completeAlone(ownership, outcome))) as CompleteAnswer
  }

  async release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    const given = [...owned(ownership), flag(change.declared ?? false), text(change.reason)]
    return (await this.#word('a release', 'release', given)) as ReleaseAnswer
  }

  async seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    return (await this.#word('a seal', 'seal', [...owned(ownership), text(''), text(''), text(change.reason)])) as OwnerAnswer
  }

  async resolve(id: Uint8Array, { expected, verdict, by, reason }: Resolution): Promise<ResolveAnswer> {
    const { state, token } = expected
    const outcome = stored(verdict.applied ? verdict.outcome : undefined)
    const given = [bytes(id), integer(stateCodes[state]), integer(token.epoch), integer(token.seq), ...outcome, text(by), text(reason)]
    const [word, retryAfterMs] = (await this.#word('a resolution', 'resolve', given)).split(' ') as [ResolveAnswer['word'], string?]
    return word === 'early' ? { word, retryAfterMs: Number(retryAfterMs) } : { word }
  }

  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    const { rows } = await this.#procedures.rows('a read', this.#readStatement(id))
    return rows[0] === undefined ? undefined : recordRow(rows[0])
  }

  async forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean> {
    const word = await this.#word('an erasure', 'forget', [bytes(id), text(change.reason)])
    await this.steps.erase(id)
    return word === 'forgotten'
  }

  async audit(counts: readonly AuditCount[]): Promise<void> {
    if (counts.length === 0) return
    await this.#procedures.rows('audit counts', this.#auditStatement(summed(counts)))
  }

  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    const name = (table: string): string => this.#procedures.nameOf(table)
    const statement = `SELECT e.number, e.at, e.claimed, e.event, e.epoch, CAST(e.seq AS CHAR) AS seq, e.attempt_id, e.owner, e.trace_id, e.reason, 0 AS count
FROM ${name('events')} e WHERE e.id = ${bytes(id)}
UNION ALL SELECT 0, d.at, NULL, 'duplicates', NULL, NULL, '', '', '', CONVERT(d.reason USING utf8mb4), d.count FROM ${name('duplicates')} d WHERE d.id = ${bytes(id)}
ORDER BY at, number`
    const { rows } = await this.#procedures.rows('a trail', statement)
    return rows.flatMap(trailRows).sort((a, b) => a.atMs - b.atMs)
  }

  async sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    const removed = Number(await this.#word('a sweep', 'sweep', [integer(limits.batchMax)]))
    await this.steps.sweep(limits.batchMax)
    if (removed < limits.batchMax) await this.#word('its upkeep', 'upkeep', [integer(this.#trailDays), integer(limits.batchMax)])
    return { removed }
  }

  async stats(): Promise<StoreStats> {
    const line = await this.#word('statistics', 'stats', [])
    const [records = 0, running = 0, uncertain = 0, quarantined = 0, completed = 0, size = 0] = line.split(' ').map(Number)
    return { records, running, uncertain, quarantined, completed, bytes: size }
  }

  async instanceId(): Promise<string> {
    return (await serverInfo(this.#procedures)).instanceId
  }

  /** The pool belongs to the user, who closes it. */
  async close(): Promise<void> {}

  transact<R>(
    request: ClaimRequest | undefined,
    options: TransactionOptions,
    body: (work: TransactionWork<Tx>) => Promise<TransactionEnd<R>>,
  ): Promise<TransactionResult<R>> {
    return new Transact(this.#procedures, request, options, body).run()
  }

  within(tx: Tx): TransactionScope {
    return new MysqlScope(this.#procedures, async () => this.#instanceId ?? (await this.open()).instanceId, tx)
  }

  classify(error: unknown): TransactionErrorMeaning {
    return transactionMeaning(meaningOf(error))
  }

  #word(what: string, procedure: string, given: readonly string[]): Promise<string> {
    return this.#procedures.word(what, this.#procedures.call(procedure, given))
  }

  async #mapped<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw storeError(error, this.#procedures.place, what)
    }
  }

  /** Numbers beyond 2^53 as text, which no driver rounds. */
  #readStatement(id: Uint8Array): string {
    const name = (table: string): string => this.#procedures.nameOf(table)
    return `SELECT k.id, k.bind, k.principal, k.actor, k.fp_version, k.fp_key_id, k.fp, k.created, k.epoch, CAST(k.seq AS CHAR) AS seq, k.attempt_id,
  k.attempt, k.begun_attempt, k.state, k.lease_end, k.since, k.resolver_until, k.reason, CONVERT(n.name USING utf8mb4) AS operation_name,
  CONVERT(p.name USING utf8mb4) AS policy_name, p.retention_ms, p.tombstone_ms, p.attempts_max, p.takeover, p.effect_timeout_ms,
  o.codec, o.checksum, o.bytes
FROM ${name('instance')} i
  JOIN ${name('keys')} k ON k.id = ${bytes(id)} AND k.region = i.region
  JOIN ${name('operations')} n ON n.id = k.operation
  JOIN ${name('policies')} p ON p.id = k.policy
  LEFT JOIN ${name('outcomes')} o ON o.id = k.id AND o.region = k.region AND o.seq = k.seq AND o.day = k.outcome_day
WHERE k.state <> 2 OR ${nowMs} - k.since < GREATEST(p.retention_ms, p.tombstone_ms)`
  }

  /** Rows in one order everywhere, so that two batches wait for each other instead of deadlocking. */
  #auditStatement(counts: readonly AuditCount[]): string {
    const region = `(SELECT i.region FROM ${this.#procedures.nameOf('instance')} i)`
    const rows = counts.map(
      ({ id, minuteMs, reason, count }) => `(${[bytes(id), region, integer(minuteMs), text(reason), integer(count)].join(', ')})`,
    )
    return `INSERT INTO ${this.#procedures.nameOf('duplicates')} (id, region, at, reason, count) VALUES ${rows.join(', ')}
ON DUPLICATE KEY UPDATE count = count + VALUES(count)`
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
