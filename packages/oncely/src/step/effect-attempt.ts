import {
  ConfigurationError,
  EffectAmbiguous,
  type EffectCall,
  type EffectLookup,
  type EffectOptions,
  isRejection,
  parseDuration,
  type ResolverVerdict,
  type StepPoint,
  sleep,
  timedOut,
  withTimeout,
} from '../core/index.ts'
import { fateOf } from './effect-failure.ts'
import { parkedEffect } from './step-error.ts'
import type { StepWriter } from './step-writer.ts'

/**
 * One effect in one attempt.
 *
 *   new ──intend──▶ called ──value──▶ done
 *                     │ ├─not applied──▶ withdrawn ──▶ called again, same key
 *                     │ └─unknown, or found so at the start─▶ by `onAmbiguous`:
 *                     │      retry-with-key: called again, same key, while the other side knows it; then look-up, else parked
 *                     │      lookup:         applied: done │ not applied: new generation, stored, called │ unknown: a later attempt
 *                     │      quarantine:     parked
 *                     └─replay of a stored failure──▶ look-up, else parked
 */
export class EffectAttempt<Value> {
  readonly #writer: StepWriter
  readonly #path: string
  readonly #name: string
  readonly #options: CheckedEffect<Value>
  readonly #run: (call: EffectCall) => Promise<Value> | Value
  #generation = 1
  #key: string
  #calls = 0
  /** A call of this generation has an unknown fate; what a later one says of itself does not settle it. */
  #doubt = false
  /** On the monotonic clock: until when the other side knows the key, and when it was called last. */
  #expiresMs: number | undefined
  #calledMs: number | undefined

  constructor(
    writer: StepWriter,
    path: string,
    name: string,
    options: CheckedEffect<Value>,
    run: (call: EffectCall) => Promise<Value> | Value,
  ) {
    this.#writer = writer
    this.#path = path
    this.#name = name
    this.#options = options
    this.#run = run
    this.#key = this.#keyOf(1)
  }

  /** The effect's value, once it is stored. `recorded` is what an earlier attempt left. */
  async value(recorded: StepPoint | undefined): Promise<Value> {
    let fate: Fate<Value> = { word: 'not-called' }
    const call = recorded?.call
    if (call !== undefined) {
      this.#generation = call.generation
      this.#key = call.key
      this.#expiresMs = this.#writer.monotonicOf(call.expiresAtMs)
      this.#calledMs = this.#writer.monotonicOf(call.calledAtMs)
      if (recorded?.state === 'intended') fate = this.#doubted(undefined)
      else if (!this.#keyLives()) this.#newGeneration()
    }
    for (;;) {
      switch (fate.word) {
        case 'applied':
          await this.#writer.settle({ path: this.#path, kind: 'effect', name: this.#name, state: 'done' }, fate.value)
          return fate.value
        case 'not-called':
          fate = await this.#call()
          continue
        case 'not-applied':
          await this.#writer.settle({ path: this.#path, kind: 'effect', name: this.#name, state: 'withdrawn' }, undefined)
          if (isRejection(fate.cause) || this.#calls >= this.#options.callsMax) throw fate.cause
          await this.#pause()
          if (!this.#keyLives()) this.#newGeneration()
          fate = await this.#call()
          continue
        case 'unknown':
        case 'failure-replayed':
          fate = await this.#inDoubt(fate)
          continue
        default:
          fate satisfies never
      }
    }
  }

  /** One call, after the lease was renewed and the intent stored under the token. */
  async #call(): Promise<Fate<Value>> {
    const { clock } = this.#writer
    this.#calls++
    const sentMs = clock.monotonicMs()
    await this.#writer.intend({
      path: this.#path,
      name: this.#name,
      key: this.#key,
      generation: this.#generation,
      lifetimeMs: this.#options.remoteKeyLifetimeMs,
    })
    this.#expiresMs ??= sentMs + this.#options.remoteKeyLifetimeMs
    this.#calledMs = clock.monotonicMs()
    try {
      const value = await this.#bounded((call) => this.#run(call))
      return value === timedOut ? this.#doubted(new Error('the call was not answered in time')) : { word: 'applied', value }
    } catch (error) {
      this.#writer.check()
      // Whoever rejects here has read an answer that says no.
      if (isRejection(error)) return { word: 'not-applied', cause: error }
      const word = fateOf(error)
      if (word === 'not-applied') return this.#doubt ? this.#doubted(error) : { word, cause: error }
      return word === 'unknown' ? this.#doubted(error) : { word, cause: error }
    }
  }

  #doubted(cause: unknown): InDoubt {
    this.#doubt = true
    return { word: 'unknown', cause }
  }

  /** Only after every call before was proven not applied; `intend` stores the key before it is used. */
  #newGeneration(): void {
    this.#generation++
    this.#key = this.#keyOf(this.#generation)
    this.#expiresMs = undefined
    this.#doubt = false
  }

  async #inDoubt(fate: InDoubt): Promise<Fate<Value>> {
    const { onAmbiguous, lookup } = this.#options
    if (onAmbiguous === 'quarantine') throw parkedEffect(this.#name, 'a call may have been applied', fate.cause)
    if (onAmbiguous !== 'retry-with-key') return this.#lookUp(onAmbiguous.lookup, fate)
    if (fate.word === 'failure-replayed') {
      if (lookup === undefined)
        throw parkedEffect(this.#name, 'the other side replays a stored failure, and there is no look-up', fate.cause)
      return this.#lookUp(lookup, fate)
    }
    if (!this.#keyLives()) return this.#afterLifetime('a call may have been applied, and the other side forgets its key', fate.cause)
    if (this.#calls >= this.#options.callsMax) throw this.#ambiguous('its answer is not known', fate.cause)
    if (this.#calls > 0) await this.#pause()
    return this.#call()
  }

  #afterLifetime(reason: string, cause?: unknown): Promise<Fate<Value>> {
    const { lookup, onAmbiguous } = this.#options
    const ask = typeof onAmbiguous === 'object' ? onAmbiguous.lookup : lookup
    if (ask === undefined) throw parkedEffect(this.#name, reason, cause)
    return this.#lookUp(ask, { word: 'unknown', cause })
  }

  async #lookUp(lookup: EffectLookup<Value>, fate: InDoubt): Promise<Fate<Value>> {
    await this.#writer.renew()
    // A call without an answer may still be under way: what is not there yet is not "not applied".
    const early = fate.word === 'unknown' && this.#sinceCalledMs() < this.#writer.effectTimeoutMs
    let found: ResolverVerdict<Value> | typeof timedOut
    try {
      found = await this.#bounded((call) => lookup(call))
    } catch (error) {
      this.#writer.check()
      throw this.#ambiguous('its look-up failed', error)
    }
    if (found === timedOut) throw this.#ambiguous('its look-up was not answered in time', fate.cause)
    if (found.verdict === 'applied') return { word: 'applied', value: found.value }
    if (found.verdict === 'unknown') throw this.#ambiguous('its look-up does not know', fate.cause)
    if (early) throw this.#ambiguous('its look-up came before an unanswered call must have arrived', fate.cause)
    if (this.#calls >= this.#options.callsMax) throw this.#ambiguous('it was not applied by any call of this attempt', fate.cause)
    this.#newGeneration()
    return { word: 'not-called' }
  }

  async #bounded<R>(run: (call: EffectCall) => Promise<R> | R): Promise<R | typeof timedOut> {
    const { clock, signal } = this.#writer
    const controller = new AbortController()
    const stop = (): void => controller.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    try {
      this.#writer.check()
      const work = Promise.resolve(run({ key: this.#key, signal: controller.signal, generation: this.#generation }))
      const answer = await withTimeout(clock, this.#options.timeoutMs, work)
      if (answer === timedOut) controller.abort(new Error(`The call was not answered within ${this.#options.timeoutMs} ms.`))
      return answer
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** A call is sent only when it ends while the other side still knows the key. */
  #keyLives(): boolean {
    return this.#writer.clock.monotonicMs() + this.#options.timeoutMs <= (this.#expiresMs ?? Number.POSITIVE_INFINITY)
  }

  #sinceCalledMs(): number {
    return this.#writer.clock.monotonicMs() - (this.#calledMs ?? Number.NEGATIVE_INFINITY)
  }

  #keyOf(generation: number): string {
    return this.#writer.deriveKey(`step ${generation} ${this.#name}`)
  }

  async #pause(): Promise<void> {
    const { clock, random, signal } = this.#writer
    await sleep(clock, Math.min(5_000, 100 * 2 ** (this.#calls - 1)) * (0.5 + random.fraction() / 2), signal)
    this.#writer.check()
  }

  #ambiguous(what: string, cause: unknown): EffectAmbiguous {
    return new EffectAmbiguous(`Effect "${this.#name}" may have been applied: ${what}. It goes on with the next attempt.`, { cause })
  }
}

type Fate<Value> =
  | { readonly word: 'not-called' }
  | { readonly word: 'applied'; readonly value: Value }
  | { readonly word: 'not-applied'; readonly cause: unknown }
  | InDoubt

interface InDoubt {
  readonly word: 'unknown' | 'failure-replayed'
  readonly cause: unknown
}

/** The options of an effect with every default in its place. */
export interface CheckedEffect<Value> extends Pick<EffectOptions<Value>, 'onAmbiguous' | 'lookup'> {
  readonly remoteKeyLifetimeMs: number
  readonly timeoutMs: number
  readonly callsMax: number
}

/** Refuses what cannot work or is not stated. */
export function checkEffect<Value>(name: string, options: EffectOptions<Value>, effectTimeoutMs: number): CheckedEffect<Value> {
  const { onAmbiguous, lookup, callsMax = 3 } = options
  const remoteKeyLifetimeMs = parseDuration(`effect "${name}": remoteKeyLifetime`, options.remoteKeyLifetime)
  const timeoutMs = options.timeout === undefined ? effectTimeoutMs : parseDuration(`effect "${name}": timeout`, options.timeout)
  if (onAmbiguous !== 'retry-with-key' && onAmbiguous !== 'quarantine' && typeof onAmbiguous?.lookup !== 'function')
    throw new ConfigurationError(
      `Effect "${name}" does not say what follows a call whose fate is unknown; write onAmbiguous: 'retry-with-key', { lookup } or 'quarantine'.`,
    )
  if (lookup !== undefined && onAmbiguous !== 'retry-with-key')
    throw new ConfigurationError(`Effect "${name}": lookup beside onAmbiguous is for 'retry-with-key'; else write onAmbiguous: { lookup }.`)
  if (timeoutMs < 1 || timeoutMs >= remoteKeyLifetimeMs)
    throw new ConfigurationError(
      `Effect "${name}": timeout is ${timeoutMs} ms, not from 1 ms to below remoteKeyLifetime ${remoteKeyLifetimeMs} ms; no call could be repeated under its key.`,
    )
  if (!Number.isInteger(callsMax) || callsMax < 1 || callsMax > 100)
    throw new ConfigurationError(`Effect "${name}": callsMax is ${String(callsMax)}; it must be a whole number from 1 to 100.`)
  return { onAmbiguous, lookup: lookup as EffectLookup<Value>, remoteKeyLifetimeMs, timeoutMs, callsMax }
}
