import { randomBytes } from 'node:crypto'
import {
  type Clock,
  ConfigurationError,
  checkBound,
  checkLock,
  LeasedLock,
  type Lock,
  type LockProvider,
  type LockRequest,
  sleep,
  toHex,
} from '../../core/index.ts'
import { createdAt, type EtcdClient, get, put, remove } from '../../etcd/index.ts'
import { nodeClock } from '../../platform/index.ts'
import { KeyWatch } from './key-watch.ts'

export interface EtcdLockOptions {
  /** What every lock's key begins with; default `oncely-lock`. */
  readonly prefix?: string
  /** How often a held lock's key is looked at, at most, beside the watch; a third of the lease where that is shorter. Default 1000. */
  readonly probeMs?: number
  /** Decides waits and, for the holder's process, the lease; the process's own clock when left out. */
  readonly clock?: Clock
}

/** A waiter looks by itself so often, in case a watch is silent. */
const lookMs = 2_000

/**
 * Locks of etcd: a key under a lease of its own. Its token is the revision that created it.
 *
 *   look ──held──▶ wait for the watch, look again, until waitMs ▶ busy
 *    └──free──▶ grant a lease, create the key if it is not there ──▶ held(token = create revision) ──release──▶ key removed, lease revoked
 *                                                                     ├─ own clock: lease over ──▶ lease revoked
 *                                                                     └─ etcd: no renewal for the lease ──▶ key removed
 *
 * @throws ConfigurationError for an option outside its bounds.
 *
 * @example
 * const locks = etcdLock(etcdClient({ endpoints }))
 * const lock = await locks.acquire('report:2025-01', { waitMs: 2_000, leaseMs: 30_000 })
 * if (lock !== 'busy') await buildReport(lock.token, lock.signal).finally(() => lock.release())
 */
export function etcdLock(client: EtcdClient, options: EtcdLockOptions = {}): LockProvider {
  return new EtcdLocks(client, options)
}

class EtcdLocks implements LockProvider {
  readonly capabilities = { token: true } as const
  readonly #client: EtcdClient
  readonly #clock: Clock
  readonly #prefix: string
  readonly #probeMs: number
  readonly #watch: KeyWatch

  constructor(client: EtcdClient, options: EtcdLockOptions) {
    const prefix = options.prefix ?? 'oncely-lock'
    if (!/^[\w\-./:]{1,100}$/.test(prefix))
      throw new ConfigurationError('prefix must have 1 to 100 ASCII letters, digits or characters of "-_./:"; choose such a name.')
    this.#client = client
    this.#clock = options.clock ?? nodeClock
    this.#prefix = `${prefix}/`
    this.#probeMs = checkBound('probeMs', options.probeMs, { preset: 1_000, min: 10, max: 60_000 })
    this.#watch = new KeyWatch(client, this.#clock, this.#prefix)
  }

  async acquire(name: string, request: LockRequest): Promise<Lock | 'busy'> {
    const key = `${this.#prefix}${toHex(checkLock(name, request))}`
    const { waitMs, signal } = request
    signal?.throwIfAborted()
    const endMs = this.#clock.monotonicMs() + waitMs
    if (waitMs === 0) return this.#try(key, request)
    let wake = new AbortController()
    const stop = this.#watch.listen(key, () => wake.abort())
    const leave = (): void => wake.abort()
    signal?.addEventListener('abort', leave)
    try {
      for (;;) {
        const tried = await this.#try(key, request)
        if (tried !== 'busy') return tried
        const leftMs = endMs - this.#clock.monotonicMs()
        if (leftMs <= 0) return 'busy'
        await sleep(this.#clock, Math.min(lookMs, leftMs), wake.signal)
        signal?.throwIfAborted()
        wake = new AbortController()
      }
    } finally {
      stop()
      signal?.removeEventListener('abort', leave)
    }
  }

  async #try(key: string, { leaseMs, signal }: LockRequest): Promise<Lock | 'busy'> {
    const seen = await this.#client.transact({ success: [get(key)] })
    signal?.throwIfAborted()
    if (seen.found[0]?.[0] !== undefined) return 'busy'
    const lease = String(randomBytes(8).readBigUInt64BE() >> 1n || 1n)
    // From before the lease is asked for, so that this process's lease never ends after etcd's.
    const startedMs = this.#clock.monotonicMs()
    const abandon = (): void => void this.#client.revokeLease(lease).catch(() => {})
    try {
      await this.#client.grantLease(lease, Math.ceil(leaseMs / 1_000))
      const { succeeded, revision, found } = await this.#client.transact({
        compare: [createdAt(key, 0n)],
        success: [put(key, lease, lease)],
        failure: [get(key)],
      })
      const holder = found[0]?.[0]
      // The answer to an earlier sending was lost.
      const ours = holder !== undefined && new TextDecoder().decode(holder.value) === lease
      if ((succeeded || ours) && !signal?.aborted)
        return this.#held({ key, lease, leaseMs, startedMs, token: succeeded ? revision : (holder?.createRevision ?? 0n) })
    } catch (error) {
      abandon()
      throw error
    }
    abandon()
    signal?.throwIfAborted()
    return 'busy'
  }

  #held({
    key,
    lease,
    leaseMs,
    startedMs,
    token,
  }: {
    key: string
    lease: string
    leaseMs: number
    startedMs: number
    token: bigint
  }): Lock {
    const client = this.#client
    const abandon = (): void => {
      stop()
      client.revokeLease(lease).catch(() => {})
    }
    const lock = new LeasedLock({
      clock: this.#clock,
      ...{ token, leaseMs, startedMs, abandon },
      renew: async () => ((await client.keepLease(lease)) > 0 ? 'renewed' : 'lost'),
      release: async () => {
        stop()
        const { succeeded } = await client.transact({ compare: [createdAt(key, token)], success: [remove(key)] })
        if (succeeded) client.revokeLease(lease).catch(() => {})
        return succeeded ? 'released' : 'lost'
      },
      probe: {
        everyMs: Math.min(this.#probeMs, leaseMs / 3),
        ask: async () => ((await client.transact({ success: [get(key)] })).found[0]?.[0]?.createRevision === token ? 'held' : 'lost'),
      },
    })
    const stop = this.#watch.listen(key, () => void lock.look())
    return lock
  }
}
