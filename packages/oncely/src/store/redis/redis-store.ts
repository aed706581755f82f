import type {
  AuditCount,
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
  OncelyRecord,
  Outcome,
  OwnerAnswer,
  Ownership,
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
} from '../../core/index.ts'
import { ConfigurationError, checkBound, isOncelyError, StoreSchemaMismatch, StoreUnavailable, toHex } from '../../core/index.ts'
import { nodeRandom } from '../../platform/index.ts'
import { readSurvival } from './durability.ts'
import { claimScript } from './lua/claim.ts'
import { completeScript, releaseScript, renewScript, resolveScript, sealScript } from './lua/owner.ts'
import { recordPrelude } from './lua/record.ts'
import { ageScript, auditScript, dueScript, forgetScript, instanceScript, readScript, statsScript, trailScript } from './lua/upkeep.ts'
import { type RedisArgument, type RedisClient, type RedisLink, type RedisReply, redisLink } from './redis-client.ts'
import { storeError } from './redis-error.ts'
import { countsKey, instanceKey, partitionKeys, type RedisPlace, recordKeys, redisPlace } from './redis-name.ts'
import { claimAnswer, listOf, numberOf, outcomeFrame, recordOf, textOf, trailOf } from './redis-record.ts'
import { known, type RedisScript, redisScript, runScript } from './redis-script.ts'

/** Where the records are and how they are kept; everything has a default. */
export interface RedisStoreOptions {
  /** What every key begins with; default `oncely`. */
  readonly prefix?: string
  /** Over how many hash tags records are spread; every process says the same. Default 64, at most 4096. */
  readonly partitions?: number
  /** Days for which the audit trail is kept after its last line; default 365. */
  readonly trailDays?: number
  /** Replicas that must have received a write before it counts; default 0. Not on a cluster, nor with the resending of ioredis. */
  readonly waitReplicas?: number
  /** How long a write waits for them; default 1000. */
  readonly waitMs?: number
}

/**
 * Keeps records in Redis 7 or newer, alone, behind Sentinels or as a cluster, on a client of `ioredis` or `redis` that you hand
 * in. Lease mode only: Redis takes no part in the transaction of your rows.
 *
 * What the server survives is read from it when the store is opened: without `appendonly` it is nothing, and a policy that needs
 * more is refused.
 *
 * ```ts
 * const store = redisStore(new Redis('redis://127.0.0.1:6379'))
 * ```
 *
 * @throws ConfigurationError when an option is out of its bounds or the client is none that is known.
 */
export function redisStore(client: RedisClient, options: RedisStoreOptions = {}): Store {
  return new RedisStore(redisLink(client), options)
}

/** The layout of the keys; another one is refused. */
const layout = '1'
const sweepChunk = 100

const scripts = {
  claim: redisScript(recordPrelude, claimScript),
  renew: redisScript(recordPrelude, renewScript),
  complete: redisScript(recordPrelude, completeScript),
  release: redisScript(recordPrelude, releaseScript),
  seal: redisScript(recordPrelude, sealScript),
  resolve: redisScript(recordPrelude, resolveScript),
  read: redisScript(recordPrelude, readScript),
  forget: redisScript(recordPrelude, forgetScript),
  age: redisScript(recordPrelude, ageScript),
  due: redisScript(dueScript),
  audit: redisScript(auditScript),
  trail: redisScript(trailScript),
  stats: redisScript(statsScript),
  instance: redisScript(instanceScript),
} as const

/** Every method is one script; their text is in `lua/`. */
class RedisStore implements Store {
  readonly name = 'redis'
  readonly capabilities: StoreCapabilities = { transactional: false, clock: 'server', shared: true, seesOpenTransactions: true }
  readonly #link: RedisLink
  readonly #place: RedisPlace
  readonly #trailMs: string
  readonly #waitReplicas: number
  readonly #waitMs: number

  constructor(link: RedisLink, options: RedisStoreOptions) {
    this.#link = link
    this.#place = redisPlace(options.prefix ?? 'oncely', checkBound('partitions', options.partitions, { preset: 64, min: 1, max: 4_096 }))
    this.#trailMs = String(checkBound('trailDays', options.trailDays, { preset: 365, min: 1, max: 36_500 }) * 86_400_000)
    this.#waitReplicas = checkBound('waitReplicas', options.waitReplicas, { preset: 0, min: 0, max: 100 })
    this.#waitMs = checkBound('waitMs', options.waitMs, { preset: 1_000, min: 1, max: 60_000 })
    if (this.#waitReplicas > 0 && !link.ordered)
      throw new ConfigurationError(
        `waitReplicas is ${this.#waitReplicas}, but this client may send WAIT on another connection than the write. Use createClient of redis, or a Redis of ioredis with autoResendUnfulfilledCommands: false.`,
      )
  }

  async open(): Promise<StoreInfo> {
    try {
      const instanceId = await this.#instance()
      return { ...(await readSurvival(this.#link, this.#waitReplicas)), instanceId }
    } catch (error) {
      throw isOncelyError(error) ? error : storeError(error, 'its settings')
    }
  }

  /** `open()` does it too: there is no schema but the name of the layout. */
  async migrate(): Promise<void> {
    await this.instanceId()
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    return claimAnswer(await this.#write('a claim', scripts.claim, request.id, claimArguments(request, this.#trailMs)), request)
  }

  async renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<RenewAnswer> {
    const args = [...owned(ownership), whole(change.leaseMs), flag(change.begun ?? false), this.#trailMs]
    return textOf(await this.#write('a renewal', scripts.renew, ownership.id, args)) as RenewAnswer
  }

  async complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    const args = [...owned(ownership), outcomeFrame(outcome), this.#trailMs]
    return textOf(await this.#write('a completion', scripts.complete, ownership.id, args)) as CompleteAnswer
  }

  async release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    const args = [...owned(ownership), flag(change.declared ?? false), change.reason, this.#trailMs]
    return textOf(await this.#write('a release', scripts.release, ownership.id, args)) as ReleaseAnswer
  }

  async seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    return textOf(
      await this.#write('a seal', scripts.seal, ownership.id, [...owned(ownership), change.reason, this.#trailMs]),
    ) as OwnerAnswer
  }

  async resolve(id: Uint8Array, { expected, verdict, by, reason }: Resolution): Promise<ResolveAnswer> {
    const { state, token } = expected
    const decided = [flag(verdict.applied), verdict.applied ? outcomeFrame(verdict.outcome) : '']
    const args = [state, String(token.epoch), String(token.seq), ...decided, by, reason, this.#trailMs]
    const [head, retryAfterMs] = listOf(await this.#write('a resolution', scripts.resolve, id, args))
    const word = textOf(head) as ResolveAnswer['word']
    return word === 'early' ? { word, retryAfterMs: numberOf(retryAfterMs) } : { word }
  }

  async read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    return recordOf(id, await this.#run('a read', scripts.read, recordKeys(this.#place, id), []))
  }

  async forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean> {
    return numberOf(await this.#write('an erasure', scripts.forget, id, [change.reason, this.#trailMs])) === 1
  }

  /** One script a record: a batch may lie on several servers. */
  async audit(counts: readonly AuditCount[]): Promise<void> {
    const records = new Map<string, { readonly key: string; readonly args: string[] }>()
    for (const { id, minuteMs, reason, count } of counts) {
      const record = records.get(toHex(id)) ?? { key: countsKey(this.#place, id), args: [] }
      record.args.push(`${minuteMs} ${reason}`, String(count))
      records.set(toHex(id), record)
    }
    await Promise.all(
      [...records.values()].map(({ key, args }) => this.#run('audit counts', scripts.audit, [key], [this.#trailMs, ...args])),
    )
  }

  async trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    return trailOf(await this.#run('a trail', scripts.trail, [recordKeys(this.#place, id)[4], countsKey(this.#place, id)], []))
  }

  async sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    let removed = 0
    for (let partition = 0; partition < this.#place.partitions && removed < limits.batchMax; partition++) {
      removed += await this.#sweepPartition(partition, limits.batchMax - removed)
    }
    return { removed }
  }

  /** Each record is aged by a step of its own, so that nobody waits behind a batch. */
  async #sweepPartition(partition: number, limit: number): Promise<number> {
    const { due } = partitionKeys(this.#place, partition)
    let removed = 0
    while (removed < limit) {
      const atMost = Math.min(sweepChunk, limit - removed)
      const ids = listOf(await this.#run('a sweep', scripts.due, [due], [String(atMost)])).map(textOf)
      const aged = await Promise.all(ids.map((id) => this.#run('a sweep', scripts.age, recordKeys(this.#place, id), [])))
      removed += aged.reduce<number>((sum, one) => sum + numberOf(one), 0)
      if (ids.length < atMost) break
    }
    return removed
  }

  async stats(): Promise<StoreStats> {
    const partitions = Array.from({ length: this.#place.partitions }, (_, partition) => partitionKeys(this.#place, partition).state)
    const replies = await Promise.all(partitions.map((state) => this.#run('statistics', scripts.stats, [state], [])))
    const sum = (index: number): number => replies.reduce<number>((total, reply) => total + numberOf(listOf(reply)[index]), 0)
    const [running, released, uncertain, quarantined, completed] = [sum(0), sum(1), sum(2), sum(3), sum(4)]
    return { records: running + released + uncertain + quarantined + completed, running, uncertain, quarantined, completed, bytes: sum(5) }
  }

  async instanceId(): Promise<string> {
    try {
      return await this.#instance()
    } catch (error) {
      throw isOncelyError(error) ? error : storeError(error, 'its instance id')
    }
  }

  /** The client belongs to the user, who closes it. */
  async close(): Promise<void> {}

  async #instance(): Promise<string> {
    const { partitions } = this.#place
    const reply = await runScript(this.#link, scripts.instance, [instanceKey(this.#place)], [layout, String(partitions), nodeRandom.uuid()])
    const [foundLayout, foundPartitions, id] = listOf(reply).map(textOf)
    if (foundLayout !== layout)
      throw new StoreSchemaMismatch(`The keys "${this.#place.prefix}" have layout ${foundLayout}, and this version reads ${layout}.`)
    if (foundPartitions !== String(partitions))
      throw new StoreSchemaMismatch(
        `The keys "${this.#place.prefix}" lie in ${foundPartitions} partitions, and partitions is ${partitions}: every process says the same number.`,
      )
    return id ?? ''
  }

  async #run(what: string, script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<RedisReply> {
    try {
      return await runScript(this.#link, script, keys, args)
    } catch (error) {
      throw storeError(error, what)
    }
  }

  /**
   * WAIT counts the replicas that received what its own connection wrote, so a write goes between: a step that only found itself
   * done already writes nothing. The three are sent together; when the connection is lost, each of them fails.
   */
  async #write(what: string, script: RedisScript, id: Uint8Array, args: readonly RedisArgument[]): Promise<RedisReply> {
    const keys = recordKeys(this.#place, id)
    if (this.#waitReplicas === 0) return this.#run(what, script, keys, args)
    const [first, , state] = keys
    const [reply, , received] = await known(script, (command, name) =>
      Promise.all([
        this.#link.call(first, command, [name, String(keys.length), ...keys, ...args]),
        this.#link.call(first, 'HINCRBY', [state, 'waits', '1']),
        this.#link.call(first, 'WAIT', [String(this.#waitReplicas), String(this.#waitMs)]),
      ]),
    ).catch((error: unknown) => Promise.reject(storeError(error, what)))
    if (numberOf(received) >= this.#waitReplicas) return reply
    throw new StoreUnavailable(
      `${numberOf(received)} of ${this.#waitReplicas} replicas received ${what} within ${this.#waitMs} ms; it happened on the primary only.`,
      { applied: 'unknown' },
    )
  }
}

function claimArguments(request: ClaimRequest, trailMs: string): RedisArgument[] {
  const { policy, fingerprint } = request
  const stored = fingerprint.keyed[0] ?? { keyId: 0, digest: fingerprint.plain }
  return [
    ...[request.operation, request.bind, request.principal, request.actor],
    ...[String(fingerprint.version), String(stored.keyId), stored.digest],
    ...[policy.name, whole(policy.retentionMs), whole(policy.tombstoneMs), String(policy.attemptsMax), policy.onLostLease],
    ...[whole(policy.effectTimeoutMs), whole(request.leaseMs), request.attemptId, flag(request.begun), flag(request.rerunnable)],
    ...[whole(request.resolverMs), request.owner, request.traceId, trailMs],
    ...fingerprint.keyed.flatMap(({ keyId, digest }) => [String(keyId), digest]),
  ]
}

function owned({ token, attemptId }: Ownership): string[] {
  return [String(token.epoch), String(token.seq), attemptId]
}

function flag(value: boolean): string {
  return value ? '1' : '0'
}

function whole(ms: number): string {
  return String(Math.round(ms))
}
