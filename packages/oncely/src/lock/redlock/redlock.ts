import {
  type Clock,
  ConfigurationError,
  checkBound,
  checkLock,
  LeasedLock,
  type Lock,
  type LockProvider,
  type LockRequest,
  StoreUnavailable,
  sleep,
  timedOut,
  toHex,
  withTimeout,
} from '../../core/index.ts'
import { nodeClock, nodeRandom } from '../../platform/index.ts'
import { type RedlockClient, type RedlockNode, redlockNode } from './redlock-node.ts'

export interface RedlockOptions {
  /** What every lock's key begins with; default `oncely-lock`. */
  readonly prefix?: string
  /** Longest wait for one server; default 200. Far below the lease, so that servers that are down cost little of it. */
  readonly nodeMs?: number
  /** How much faster than this process's a server's clock may run, as a share of the lease; default 0.01. */
  readonly driftShare?: number
  /** Decides waits and, for the holder's process, the lease; the process's own clock when left out. */
  readonly clock?: Clock
}

/** In: the lock's key, the holder's value, the lease. Extends the holder's own lock; answers 1, else 0. */
const renewScript = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`
/** In: the lock's key, the holder's value. Removes the holder's own lock; answers 1, else 0. */
const releaseScript = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`

const pauseMs = { first: 20, longest: 200 } as const

type Said = 'yes' | 'no' | 'silent'

/**
 * Locks on several independent Redis servers (Redlock): a lock is held while more than half of them hold this holder's value.
 * Without a token, for Redis has nothing that grows over all servers and their crashes; code that needs one refuses this
 * provider. https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
 *
 *   SET NX PX on all ──a majority, in time──▶ held ──release──▶ removed where the value is ours
 *        └──else──▶ removed again, random pause, again until waitMs ▶ busy
 *
 * @throws ConfigurationError for fewer than three clients, an even number of them, or an option outside its bounds.
 *
 * @example
 * const locks = redlock([new Redis(urlA), new Redis(urlB), new Redis(urlC)])
 * const lock = await locks.acquire('report:2025-01', { waitMs: 2_000, leaseMs: 30_000 })
 * if (lock !== 'busy') await buildReport(lock.signal).finally(() => lock.release())
 */
export function redlock(clients: readonly RedlockClient[], options: RedlockOptions = {}): LockProvider {
  return new Redlocks(clients, options)
}

class Redlocks implements LockProvider {
  readonly capabilities = { token: false } as const
  readonly #nodes: readonly RedlockNode[]
  readonly #majority: number
  readonly #prefix: string
  readonly #nodeMs: number
  readonly #driftShare: number
  readonly #clock: Clock

  constructor(clients: readonly RedlockClient[], options: RedlockOptions) {
    if (clients.length < 3 || clients.length % 2 === 0)
      throw new ConfigurationError(
        `redlock was given ${clients.length} clients; it needs 3, 5 or 7 of servers that know nothing of each other.`,
      )
    this.#nodes = clients.map(redlockNode)
    this.#majority = (clients.length + 1) / 2
    this.#prefix = options.prefix ?? 'oncely-lock'
    this.#nodeMs = checkBound('nodeMs', options.nodeMs, { preset: 200, min: 1, max: 60_000 })
    this.#driftShare = options.driftShare ?? 0.01
    if (!(this.#driftShare >= 0 && this.#driftShare <= 0.5))
      throw new ConfigurationError(`driftShare is ${this.#driftShare}; it must be 0 to 0.5. Leave it out where clocks are ordinary.`)
    this.#clock = options.clock ?? nodeClock
  }

  async acquire(name: string, request: LockRequest): Promise<Lock | 'busy'> {
    const key = `${this.#prefix}:${toHex(checkLock(name, request))}`
    const { waitMs, signal } = request
    signal?.throwIfAborted()
    const endMs = this.#clock.monotonicMs() + waitMs
    for (let pause: number = pauseMs.first; ; pause = Math.min(pause * 2, pauseMs.longest)) {
      const tried = await this.#try(key, request)
      if (tried !== 'busy') return tried
      signal?.throwIfAborted()
      const leftMs = endMs - this.#clock.monotonicMs()
      if (leftMs <= 0) return 'busy'
      // Random, so that two who split the servers do not split them again.
      await sleep(this.#clock, Math.min(leftMs, pause * (0.5 + nodeRandom.fraction())), signal)
      signal?.throwIfAborted()
    }
  }

  async #try(key: string, { leaseMs, signal }: LockRequest): Promise<Lock | 'busy'> {
    const value = nodeRandom.uuid()
    const startedMs = this.#clock.monotonicMs()
    const said = await this.#askAll(async (node) => (await node('SET', key, value, 'NX', 'PX', String(Math.ceil(leaseMs)))) !== null)
    const heldMs = this.#heldMs(leaseMs)
    const inTime = this.#clock.monotonicMs() < startedMs + heldMs
    if (count(said, 'yes') >= this.#majority && inTime && !signal?.aborted) return this.#held({ key, value, leaseMs, startedMs })
    // Also where nothing was said: the command may still arrive, and the removal comes after it.
    await this.#askAll((node) => removed(node, key, value))
    signal?.throwIfAborted()
    if (count(said, 'silent') < this.#majority) return 'busy'
    throw new StoreUnavailable(
      `${count(said, 'silent')} of ${said.length} Redis servers gave no answer within ${this.#nodeMs} ms; a lock needs ${this.#majority}. What reached them ends by itself.`,
      { applied: 'no' },
    )
  }

  #held({ key, value, leaseMs, startedMs }: { key: string; value: string; leaseMs: number; startedMs: number }): Lock {
    const release = async (): Promise<'released' | 'lost'> => {
      const said = await this.#askAll((node) => removed(node, key, value))
      return count(said, 'yes') >= this.#majority ? 'released' : 'lost'
    }
    return new LeasedLock({
      clock: this.#clock,
      token: null,
      leaseMs: this.#heldMs(leaseMs),
      startedMs,
      renew: async () => {
        const extended = (node: RedlockNode) => node('EVAL', renewScript, '1', key, value, String(Math.ceil(leaseMs)))
        const said = await this.#askAll(async (node) => Number(await extended(node)) === 1)
        if (count(said, 'yes') >= this.#majority) return 'renewed'
        if (count(said, 'no') > said.length - this.#majority) return 'lost'
        throw new StoreUnavailable('Too few Redis servers answered a renewal.', { applied: 'unknown' })
      },
      release,
      abandon: () => void release(),
    })
  }

  /** What is left of a lease when the servers' clocks run as fast as they may, and Redis forgets a key up to a millisecond early. */
  #heldMs(leaseMs: number): number {
    return leaseMs - leaseMs * this.#driftShare - 2
  }

  /** Each server's word; one that fails or is late is silent. */
  #askAll(ask: (node: RedlockNode) => Promise<boolean>): Promise<readonly Said[]> {
    return Promise.all(
      this.#nodes.map(async (node): Promise<Said> => {
        const said = await withTimeout(this.#clock, this.#nodeMs, ask(node)).catch(() => timedOut)
        return said === timedOut ? 'silent' : said ? 'yes' : 'no'
      }),
    )
  }
}

async function removed(node: RedlockNode, key: string, value: string): Promise<boolean> {
  return Number(await node('EVAL', releaseScript, '1', key, value)) === 1
}

function count(said: readonly Said[], word: Said): number {
  return said.filter((each) => each === word).length
}
