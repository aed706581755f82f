import type { SimService } from './sim-network.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimWorld } from './world.ts'

/** One effect in the world outside: nobody can undo or forget it. */
export interface Effect {
  readonly id: number
  /** Whose effect it is: tenant and key as the test knows them. */
  readonly subject: string
  readonly execution: string
  readonly amount: number
}

/** The provider refused for good: nothing happened. */
class Declined extends Error {
  override readonly name = 'Declined'
}

/**
 * A provider with an append-only log, the only truth about effects. With `honoursKeys` it applies a request key once, as a
 * payment provider does with an idempotency key; without, each request that arrives is an effect.
 */
export class EffectLedger implements SimService {
  readonly name = 'provider'
  readonly up = true
  readonly honoursKeys: boolean
  readonly effects: Effect[] = []
  /** Chance that a request is declined. */
  declines = 0
  readonly #byKey = new Map<string, Effect>()
  readonly #random: SimRandom
  readonly #world: SimWorld

  constructor(world: SimWorld, honoursKeys: boolean) {
    this.#world = world
    this.#random = world.random.fork('provider')
    this.honoursKeys = honoursKeys
  }

  apply(requestKey: string, request: Omit<Effect, 'id'>): Effect {
    const before = this.#byKey.get(requestKey)
    if (this.honoursKeys && before !== undefined) return before
    if (this.declines > 0 && this.#random.chance(this.declines)) {
      this.#world.count('provider: declined')
      throw new Declined('the provider declined')
    }
    const effect: Effect = { id: this.effects.length + 1, ...request }
    this.effects.push(effect)
    if (before === undefined) this.#byKey.set(requestKey, effect)
    this.#world.note(this.name, () => `effect ${effect.id} for ${effect.subject} by ${effect.execution}`)
    return effect
  }

  /** The first effect under this request key. */
  find(requestKey: string): Effect | undefined {
    return this.#byKey.get(requestKey)
  }

  of(subject: string): readonly Effect[] {
    return this.effects.filter((effect) => effect.subject === subject)
  }
}
