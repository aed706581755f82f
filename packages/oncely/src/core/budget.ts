import type { Clock } from './clock.ts'
import { type Duration, parseDuration } from './duration.ts'
import { ConfigurationError } from './errors.ts'
import { checkBound } from './limits.ts'

/** How much one caller may use up; a caller is a principal, and all anonymous ones are the same. */
export interface BudgetOptions {
  /** New keys in a window. Replays, conflicts and repeats of a key that was free again do not count. */
  readonly newKeysMax: number
  /** From the first new key on; default `'1m'`. */
  readonly window?: Duration
  /** Keys that may run at once. */
  readonly runningMax: number
  /** Where it is counted: in this process by default; `redisBudget` of `oncely/store/redis` counts for all processes. */
  readonly counter?: BudgetCounter
}

/** The limits, with every default filled in. */
export interface BudgetLimits {
  readonly newKeysMax: number
  readonly windowMs: number
  readonly runningMax: number
}

/** One claim that takes a place in its caller's budget. */
export interface BudgetPlace {
  /** A digest of namespace and principal. */
  readonly caller: string
  /** Names this claim among those of the caller. */
  readonly claim: string
  /** After this time the place is free again, whatever became of its process. */
  readonly heldMs: number
}

export type BudgetAnswer = { readonly word: 'taken' } | { readonly word: 'spent'; readonly retryAfterMs: number }

/**
 * Counts what callers use up. It is asked before a claim and never takes part in the claim's transaction: a count that rolls
 * back with its claim would limit nobody, and a row a caller would make its requests wait for each other.
 */
export interface BudgetCounter {
  readonly name: string
  /** Takes a place among the running and among the window's new keys, both or neither. */
  take(place: BudgetPlace, limits: BudgetLimits): BudgetAnswer | Promise<BudgetAnswer>
  /** Gives the running place back; with `newKey: false` the window's too. */
  giveBack(place: BudgetPlace, used: { readonly newKey: boolean }): void | Promise<void>
}

/** The limits as given, checked. */
export function checkBudget(options: BudgetOptions): BudgetLimits {
  for (const name of ['newKeysMax', 'runningMax'] as const)
    if (options[name] === undefined) throw new ConfigurationError(`budget.${name} is missing; say how much one caller may use up.`)
  const windowMs = parseDuration('budget.window', options.window ?? '1m')
  return {
    newKeysMax: checkBound('budget.newKeysMax', options.newKeysMax, { preset: 1, min: 1, max: 1_000_000_000 }),
    runningMax: checkBound('budget.runningMax', options.runningMax, { preset: 1, min: 1, max: 1_000_000 }),
    windowMs: checkBound('budget.window', windowMs, { preset: 60_000, min: 1_000, max: 86_400_000 }),
  }
}

interface Used {
  newKeys: number
  windowEndMs: number
  /** The end of each running claim's place. */
  readonly running: Map<string, number>
}

/** Counts in this process, for a bounded number of callers. Callers that run nothing are forgotten first, the oldest of them. */
export class ProcessBudget implements BudgetCounter {
  readonly name = 'process'
  readonly #clock: Clock
  readonly #callersMax: number
  readonly #callers = new Map<string, Used>()

  constructor(clock: Clock, callersMax = 100_000) {
    this.#clock = clock
    this.#callersMax = callersMax
  }

  take({ caller, claim, heldMs }: BudgetPlace, limits: BudgetLimits): BudgetAnswer {
    const nowMs = this.#clock.monotonicMs()
    const used = this.#of(caller)
    for (const [running, endMs] of used.running) if (endMs <= nowMs) used.running.delete(running)
    if (used.windowEndMs <= nowMs) {
      used.newKeys = 0
      used.windowEndMs = nowMs + limits.windowMs
    }
    if (used.running.size >= limits.runningMax) return { word: 'spent', retryAfterMs: runningRetryMs }
    if (used.newKeys >= limits.newKeysMax) return { word: 'spent', retryAfterMs: used.windowEndMs - nowMs }
    used.newKeys++
    used.running.set(claim, nowMs + heldMs)
    return { word: 'taken' }
  }

  giveBack({ caller, claim }: BudgetPlace, { newKey }: { readonly newKey: boolean }): void {
    const used = this.#callers.get(caller)
    if (used?.running.delete(claim) && !newKey) used.newKeys = Math.max(0, used.newKeys - 1)
  }

  #of(caller: string): Used {
    const used = this.#callers.get(caller) ?? { newKeys: 0, windowEndMs: 0, running: new Map() }
    this.#callers.delete(caller)
    this.#callers.set(caller, used)
    if (this.#callers.size > this.#callersMax) {
      for (const [oldest, { running }] of this.#callers) {
        if (running.size > 0 || oldest === caller) continue
        this.#callers.delete(oldest)
        break
      }
    }
    return used
  }
}

/** When a running key may have ended: nobody knows. */
export const runningRetryMs = 1_000
