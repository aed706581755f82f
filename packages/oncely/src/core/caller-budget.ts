import { type BudgetCounter, type BudgetLimits, type BudgetPlace, ProcessBudget } from './budget.ts'
import { withTimeout } from './clock.ts'
import type { EngineParts, Tell } from './engine-parts.ts'
import { toHex } from './hex.ts'
import { lengthPrefixed } from './length-prefix.ts'
import type { Prepared } from './preparation.ts'
import { bounded } from './store-call.ts'

/** A place that was taken; it is given back when its claim is over, whatever the end. */
export interface TakenPlace {
  readonly word: 'taken'
  giveBack(used: { readonly newKey: boolean }): void
}

export type PlaceAnswer = TakenPlace | { readonly word: 'spent'; readonly retryAfterMs: number }

/**
 * Asks the counter before a claim. A caller whose budget is spent still gets the answers of keys that exist: only what would run
 * is refused. While a shared counter does not answer, this process counts alone.
 */
export class CallerBudget {
  readonly #parts: EngineParts
  readonly #limits: BudgetLimits
  readonly #counter: BudgetCounter | undefined
  readonly #here: ProcessBudget
  readonly #tell: Tell

  constructor(parts: EngineParts, limits: BudgetLimits, counter: BudgetCounter | undefined, tell: Tell) {
    this.#parts = parts
    this.#limits = limits
    this.#counter = counter
    this.#here = new ProcessBudget(parts.clock)
    this.#tell = tell
  }

  /** A place for this call's claim, or that the caller's budget is spent and the key is not known. */
  async take(prepared: Prepared): Promise<PlaceAnswer> {
    const { hasher, namespace, random } = this.#parts
    const place: BudgetPlace = {
      caller: toHex(hasher.sha256(lengthPrefixed([CALLER_DOMAIN, namespace, prepared.request.principal])).subarray(0, 16)),
      claim: random.uuid(),
      heldMs: prepared.operation.policy.leaseMs * heldLeases,
    }
    const counter = this.#counter ?? this.#here
    const answer = await this.#asked(prepared, counter, place)
    if (answer.answer.word === 'taken') {
      return { word: 'taken', giveBack: (used) => this.#giveBack(answer.counter, place, used) }
    }
    const { retryAfterMs } = answer.answer
    if (await this.#exists(prepared)) return { word: 'taken', giveBack: () => {} }
    return { word: 'spent', retryAfterMs }
  }

  async #asked(prepared: Prepared, counter: BudgetCounter, place: BudgetPlace) {
    const { clock, limits } = this.#parts
    try {
      const asked = counter.take(place, this.#limits)
      const answer = 'word' in asked ? asked : await withTimeout(clock, limits.cacheTimeoutMs, asked)
      if (typeof answer === 'object') return { answer, counter }
      this.#tell('budget-down', prepared, 0, `${counter.name} did not answer in time`)
      // It may have counted all the same.
      this.#giveBack(counter, place, { newKey: false })
    } catch (error) {
      this.#tell('budget-down', prepared, 0, counter.name, error)
    }
    return { answer: this.#here.take(place, this.#limits), counter: this.#here }
  }

  #giveBack(counter: BudgetCounter, place: BudgetPlace, used: { readonly newKey: boolean }): void {
    // A place that is not given back is free again after `heldMs`.
    void (async () => counter.giveBack(place, used))().catch(() => {})
  }

  /** Whether the store would answer this key without running anything. It may change until the claim: then one runs too many. */
  async #exists({ id }: Prepared): Promise<boolean> {
    const { clock, limits, store } = this.#parts
    const record = await bounded(clock, limits.storeTimeoutMs, 'a look at a key', () => store.read(id))
    return record !== undefined && record.state !== 'released'
  }
}

const CALLER_DOMAIN = 'oncely budget caller 1'
/** A handler that is renewed for longer than this is not counted any more; one whose process died is counted that long. */
const heldLeases = 4
