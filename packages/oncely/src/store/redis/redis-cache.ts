import { type Cache, type CacheReading, checkBound, type Duration, parseDuration, toHex } from '../../core/index.ts'
import { nodeClock } from '../../platform/index.ts'
import { eraseScript, putHintScript, putOutcomeScript, removeHintScript } from './lua/cache.ts'
import { type RedisClient, type RedisLink, type RedisReply, redisLink } from './redis-client.ts'
import { redisPlace } from './redis-name.ts'
import { listOf } from './redis-record.ts'
import { redisScript, runScript } from './redis-script.ts'

/** Where the frames lie and for how long; everything has a default. */
export interface RedisCacheOptions {
  /** What every key begins with; default `oncely-cache`. */
  readonly prefix?: string
  /** How long an outcome is kept at most, `'1h'` by default, one week at most. */
  readonly keep?: Duration
  /** Larger frames are not kept; default 262144. */
  readonly frameBytesMax?: number
}

/**
 * A cache in Redis for `createOncely({ cache })`: completed outcomes that every process answers from, also while the store is
 * down, and hints that an attempt runs. It decides nothing, so it may be evicted, flushed or lost; give it an `allkeys-lru` of
 * its own. The frames are signed, not encrypted: whoever reads this Redis reads stored answers.
 *
 * ```ts
 * createOncely({ namespace: 'payments', store, cache: redisCache(new Redis()), secrets: [{ id: 1, key }] })
 * ```
 *
 * @throws ConfigurationError when an option is out of its bounds or the client is none that is known.
 */
export function redisCache(client: RedisClient, options: RedisCacheOptions = {}): Cache {
  return new RedisCache(redisLink(client), options)
}

const scripts = {
  putOutcome: redisScript(putOutcomeScript),
  putHint: redisScript(putHintScript),
  removeHint: redisScript(removeHintScript),
  erase: redisScript(eraseScript),
} as const

/** A minute that clocks may differ by, and how long a call may have been on its way. */
const skewMs = 60_000
const onTheWayMs = 60_000

class RedisCache implements Cache {
  readonly name = 'redis'
  readonly outcomeMs: number
  readonly frameBytesMax: number
  readonly #link: RedisLink
  readonly #prefix: string

  constructor(link: RedisLink, options: RedisCacheOptions) {
    this.#link = link
    this.#prefix = redisPlace(options.prefix ?? 'oncely-cache', 1).prefix
    const keepMs = options.keep === undefined ? undefined : parseDuration('keep', options.keep)
    this.outcomeMs = checkBound('keep', keepMs, { preset: 3_600_000, min: 1_000, max: 604_800_000 })
    this.frameBytesMax = checkBound('frameBytesMax', options.frameBytesMax, { preset: 262_144, min: 1_024, max: 67_108_864 })
  }

  async read(id: Uint8Array): Promise<CacheReading> {
    const keys = this.#keys(id)
    const [outcome, hint] = listOf(await this.#link.call(keys[0], 'MGET', keys)).map(bytesOf)
    return { outcome, hint: hint?.subarray(36) }
  }

  async putOutcome(id: Uint8Array, frame: Uint8Array, keepMs: number): Promise<void> {
    const until = String(nodeClock.nowMs() + skewMs + onTheWayMs)
    await runScript(this.#link, scripts.putOutcome, this.#keys(id), [until, String(Math.ceil(keepMs)), frame])
  }

  async putHint(id: Uint8Array, attemptId: string, frame: Uint8Array, keepMs: number): Promise<void> {
    const until = String(nodeClock.nowMs() + skewMs)
    await runScript(this.#link, scripts.putHint, this.#keys(id), [until, String(Math.ceil(keepMs)), attemptId, frame])
  }

  async removeHint(id: Uint8Array, attemptId: string): Promise<void> {
    await runScript(this.#link, scripts.removeHint, this.#keys(id), [attemptId])
  }

  /** The mark outlives whatever was sent before it. */
  async erase(id: Uint8Array): Promise<void> {
    await runScript(this.#link, scripts.erase, this.#keys(id), [String(2 * skewMs + onTheWayMs)])
  }

  #keys(id: Uint8Array): [outcome: string, hint: string] {
    const tag = `{${this.#prefix}:${toHex(id)}}`
    return [`${tag}:outcome`, `${tag}:hint`]
  }
}

/** Nothing for an absent frame and for the mark of an erasure. */
function bytesOf(reply: RedisReply): Uint8Array | undefined {
  return Buffer.isBuffer(reply) && reply.length > 0 ? new Uint8Array(reply) : undefined
}
