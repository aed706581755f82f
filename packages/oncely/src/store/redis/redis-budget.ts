import type { BudgetAnswer, BudgetCounter, BudgetLimits, BudgetPlace } from '../../core/index.ts'
import { giveBackScript, takeScript } from './lua/budget.ts'
import { type RedisClient, type RedisLink, redisLink } from './redis-client.ts'
import { redisPlace } from './redis-name.ts'
import { listOf } from './redis-record.ts'
import { redisScript, runScript } from './redis-script.ts'

export interface RedisBudgetOptions {
  /** What every key begins with; default `oncely-budget`. */
  readonly prefix?: string
}

/**
 * Counts the budgets of callers for all processes, for `createOncely({ budget: { newKeysMax, runningMax, counter } })`: one round
 * trip before each claim and one after it. It lives beside the store and never in a claim's transaction; while it does not answer,
 * each process counts alone.
 *
 * @throws ConfigurationError when the prefix is none or the client is none that is known.
 */
export function redisBudget(client: RedisClient, options: RedisBudgetOptions = {}): BudgetCounter {
  return new RedisBudget(redisLink(client), redisPlace(options.prefix ?? 'oncely-budget', 1).prefix)
}

const scripts = { take: redisScript(takeScript), giveBack: redisScript(giveBackScript) } as const

class RedisBudget implements BudgetCounter {
  readonly name = 'redis'
  readonly #link: RedisLink
  readonly #prefix: string

  constructor(link: RedisLink, prefix: string) {
    this.#link = link
    this.#prefix = prefix
  }

  async take({ caller, claim, heldMs }: BudgetPlace, { newKeysMax, windowMs, runningMax }: BudgetLimits): Promise<BudgetAnswer> {
    const numbers = [newKeysMax, windowMs, runningMax, heldMs].map((number) => String(Math.ceil(number)))
    const [taken, retryAfterMs] = listOf(await runScript(this.#link, scripts.take, this.#keys(caller), [claim, ...numbers])).map(Number)
    return taken === 1 ? { word: 'taken' } : { word: 'spent', retryAfterMs: retryAfterMs ?? 1_000 }
  }

  async giveBack({ caller, claim }: BudgetPlace, { newKey }: { readonly newKey: boolean }): Promise<void> {
    await runScript(this.#link, scripts.giveBack, this.#keys(caller), [claim, newKey ? '1' : '0'])
  }

  #keys(caller: string): [newKeys: string, running: string] {
    const tag = `{${this.#prefix}:${caller}}`
    return [`${tag}:new`, `${tag}:running`]
  }
}
