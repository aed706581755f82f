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
import { asked, modes, type Word, type ZookeeperClient, type ZookeeperError, type ZookeeperStat } from './zookeeper-client.ts'

export interface ZookeeperLockOptions {
  /** Where the locks' nodes lie; default `/oncely-lock`. */
  readonly root?: string
  /** How often a held lock's node is asked for, at most; a ninth of the session where that is shorter. Default 1000. */
  readonly probeMs?: number
  /** Longest wait for one answer; default 5000. */
  readonly answerMs?: number
  /** Decides waits and, for the holder's process, the lease; the process's own clock when left out. */
  readonly clock?: Clock
}

/** A waiter looks by itself so often, in case its watch is lost with a connection. */
const lookMs = 2_000
/** The share of a session without an answer after which its locks count as lost. */
const proofShare = 2 / 3
const pauseMs = 200

/**
 * Locks of ZooKeeper: ephemeral sequential nodes below a node of the lock's name; the lowest number holds, and each waiter watches
 * the one before it. The token is the transaction that created the holder's node (czxid).
 *
 *   create ──▶ lowest? ──yes──▶ held(token = czxid) ──release──▶ node removed
 *                └──no──▶ watch the one before, look again, until waitMs ▶ node removed, busy
 *   held ──own clock: lease over; or no answer for two thirds of the session──▶ lost, node removed once that can be said
 *        ──ZooKeeper: session over──▶ node gone
 *
 * All locks of a client live in its one session. The client does not say that its session is over while it is cut off, so the
 * provider keeps a watch of its own: an answer to its question after each `probeMs` is the only sign of life.
 *
 * @throws ConfigurationError for an option outside its bounds.
 *
 * @example
 * const client = zookeeper.createClient('10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181', { sessionTimeout: 10_000 })
 * client.connect()
 * const locks = zookeeperLock(client)
 * const lock = await locks.acquire('report:2025-01', { waitMs: 2_000, leaseMs: 30_000 })
 * if (lock !== 'busy') await buildReport(lock.token, lock.signal).finally(() => lock.release())
 */
export function zookeeperLock(client: ZookeeperClient, options: ZookeeperLockOptions = {}): LockProvider {
  return new ZookeeperLocks(client, options)
}

interface Seat {
  readonly parent: string
  /** Part of the node's name, so that it is found again when the answer to its creation was lost. */
  readonly id: string
  readonly path: string
}

class ZookeeperLocks implements LockProvider {
  readonly capabilities = { token: true } as const
  readonly #client: ZookeeperClient
  readonly #root: string
  readonly #probeMs: number
  readonly #answerMs: number
  readonly #clock: Clock
  /** Looks of the locks that are held. */
  readonly #looks = new Set<() => void>()
  /** Who waits for a node to go, by its path. */
  readonly #watches = new Map<string, Set<() => void>>()
  /** After its session a client calls some of its callbacks never. */
  #over = false

  constructor(client: ZookeeperClient, options: ZookeeperLockOptions) {
    this.#client = client
    this.#root = options.root ?? '/oncely-lock'
    if (!/^(\/[\w\-.:]{1,100})+$/.test(this.#root) || /\/\.{1,2}(\/|$)/.test(this.#root))
      throw new ConfigurationError('root must be a path such as "/oncely-lock", of ASCII letters, digits and "-_.:"; choose such a path.')
    this.#probeMs = checkBound('probeMs', options.probeMs, { preset: 1_000, min: 10, max: 60_000 })
    this.#answerMs = checkBound('answerMs', options.answerMs, { preset: 5_000, min: 10, max: 600_000 })
    this.#clock = options.clock ?? nodeClock
    client.once('expired', () => {
      this.#over = true
      for (const look of this.#looks) look()
    })
  }

  async acquire(name: string, request: LockRequest): Promise<Lock | 'busy'> {
    const parent = `${this.#root}/${toHex(checkLock(name, request))}`
    const { waitMs, signal } = request
    signal?.throwIfAborted()
    const endMs = this.#clock.monotonicMs() + waitMs
    // Who would not wait does not stand in the way of those who do.
    if (waitMs === 0 && (await this.#seats(parent)).length > 0) return 'busy'
    const seat = await this.#sit(parent)
    try {
      for (;;) {
        signal?.throwIfAborted()
        const turn = await this.#turn(seat, request)
        if (typeof turn === 'object') return turn
        const leftMs = endMs - this.#clock.monotonicMs()
        if (leftMs <= 0) {
          this.#leave(seat)
          return 'busy'
        }
        await this.#watch(`${parent}/${turn}`, Math.min(leftMs, lookMs), signal)
      }
    } catch (error) {
      this.#leave(seat)
      throw error
    }
  }

  /** A node of our own, found again where the answer to its creation was lost. */
  async #sit(parent: string): Promise<Seat> {
    const id = nodeRandom.uuid()
    const created = (path: string): Seat => ({ parent, id, path })
    try {
      for (;;) {
        const { word, value } = await this.#ask<string>('a place', (callback) =>
          this.#client.create(`${parent}/${id}-`, Buffer.alloc(0), modes.ephemeralSequential, callback),
        )
        if (word === 'done' && value !== undefined) return created(value)
        if (word !== 'noNode') throw unavailable(`refused a place (${word})`)
        await this.#makeParents(parent)
      }
    } catch (error) {
      this.#leave(created(''))
      throw error
    }
  }

  /** The held lock, or the name of the node before ours. */
  async #turn(seat: Seat, { leaseMs }: LockRequest): Promise<Lock | string> {
    const startedMs = this.#clock.monotonicMs()
    const seats = await this.#seats(seat.parent)
    const mine = seats.findIndex((name) => name.startsWith(seat.id))
    if (mine < 0) throw unavailable('ended the session while its lock was waited for')
    const before = seats[mine - 1]
    if (before !== undefined) return before
    const { value: stat } = await this.#exists(seat.path)
    if (stat === undefined || stat === null) throw unavailable('ended the session while its lock was waited for')
    return this.#held(seat, stat, leaseMs, startedMs)
  }

  #held(seat: Seat, stat: ZookeeperStat, leaseMs: number, startedMs: number): Lock {
    const token = stat.czxid.readBigInt64BE()
    const sessionMs = this.#client.getSessionTimeout()
    const ask = async (): Promise<'held' | 'lost'> => {
      if (this.#over) return 'lost'
      const { word, value } = await this.#exists(seat.path)
      return word === 'done' && value?.czxid.readBigInt64BE() === token ? 'held' : 'lost'
    }
    const stop = (): void => void this.#looks.delete(look)
    const look = (): void => void lock.look()
    const lock = new LeasedLock({
      clock: this.#clock,
      ...{ token, leaseMs, startedMs },
      renew: async () => ((await ask()) === 'held' ? 'renewed' : 'lost'),
      release: async () => {
        stop()
        const { word } = await this.#ask('a removal', (callback) => this.#client.remove(seat.path, callback))
        this.#removeParent(seat.parent)
        return word === 'done' ? 'released' : 'lost'
      },
      abandon: () => {
        stop()
        this.#leave(seat)
      },
      probe: { everyMs: Math.min(this.#probeMs, leaseMs / 3, sessionMs / 9), proofMs: sessionMs * proofShare, ask },
    })
    this.#looks.add(look)
    return lock
  }

  /** Returns when the node goes, after `limitMs`, or when the caller left. */
  async #watch(path: string, limitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const wake = new AbortController()
    const leave = (): void => wake.abort()
    // The client keeps every watch until it fires, so a node is watched once, however many wait for it and however often.
    const watching = this.#watches.get(path)
    const waiting = watching ?? new Set()
    waiting.add(leave)
    signal?.addEventListener('abort', leave, { once: true })
    try {
      if (watching === undefined) await this.#watchOnce(path, waiting)
      if (!signal?.aborted) await sleep(this.#clock, limitMs, wake.signal)
    } finally {
      waiting.delete(leave)
      signal?.removeEventListener('abort', leave)
    }
  }

  async #watchOnce(path: string, waiting: Set<() => void>): Promise<void> {
    const fire = (): void => {
      if (this.#watches.get(path) === waiting) this.#watches.delete(path)
      for (const wake of [...waiting]) wake()
    }
    this.#watches.set(path, waiting)
    try {
      const { value } = await this.#ask<ZookeeperStat | null>('a watch', (callback) => this.#client.exists(path, fire, callback))
      if (value === null || value === undefined) fire()
    } catch (error) {
      fire()
      throw error
    }
  }

  /**
   * Removes our node as soon as ZooKeeper can be told: nobody else would, as long as the session lives. Goes on in the
   * background until it is gone or the session is.
   */
  #leave(seat: Seat): void {
    const remove = async (): Promise<boolean> => {
      const name = (await this.#seats(seat.parent)).find((each) => each.startsWith(seat.id))
      if (name !== undefined) await this.#ask('a removal', (callback) => this.#client.remove(`${seat.parent}/${name}`, callback))
      this.#removeParent(seat.parent)
      return true
    }
    const insist = async (): Promise<void> => {
      while (!this.#over) {
        if (await remove().catch(() => false)) return
        await new Promise<void>((resolve) => this.#clock.after(pauseMs, resolve, 'background'))
      }
    }
    void insist()
  }

  /** The names of those who hold or wait, in their order. */
  async #seats(parent: string): Promise<readonly string[]> {
    const { value = [] } = await this.#ask<readonly string[]>('the list of holders', (callback) =>
      this.#client.getChildren(parent, callback),
    )
    const numberOf = (name: string): number => Number(name.slice(-10))
    return [...value].sort((a, b) => numberOf(a) - numberOf(b))
  }

  #exists(path: string): Promise<{ readonly word: Word; readonly value?: ZookeeperStat | null }> {
    return this.#ask<ZookeeperStat | null>('a look', (callback) => this.#client.exists(path, callback))
  }

  async #makeParents(path: string): Promise<void> {
    const parts = path.split('/').slice(1)
    for (const index of parts.keys()) {
      const each = `/${parts.slice(0, index + 1).join('/')}`
      await this.#ask('a folder', (callback) => this.#client.create(each, Buffer.alloc(0), modes.persistent, callback))
    }
  }

  /** So that names do not pile up; refused while somebody is in it. */
  #removeParent(parent: string): void {
    this.#ask('a removal', (callback) => this.#client.remove(parent, callback)).catch(() => {})
  }

  async #ask<T>(
    what: string,
    call: (callback: (error: ZookeeperError | null, value?: T) => void) => void,
  ): Promise<{ readonly word: Word; readonly value?: T }> {
    if (this.#over) throw unavailable('ended the session; make a new client')
    const answer = await withTimeout(this.#clock, this.#answerMs, asked<T>(call)).catch((error: unknown) => {
      throw unavailable(`did not answer a request for ${what}`, error)
    })
    if (answer === timedOut) throw unavailable(`gave no answer to a request for ${what} within ${this.#answerMs} ms`)
    return answer
  }
}

function unavailable(what: string, cause?: unknown): StoreUnavailable {
  return new StoreUnavailable(`ZooKeeper ${what}.`, { applied: 'no' }, cause === undefined ? undefined : { cause })
}
