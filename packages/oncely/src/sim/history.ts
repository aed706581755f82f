import type { HistoryOperation } from '../testing/index.ts'
import type { SimWorld } from './world.ts'

/** An invoked operation; until one of its ends is called, its result is unknown. */
export interface Invocation<Output> {
  ok(output: Output): void
  /** It certainly did nothing. */
  fail(): void
  /** It may have done something: unknown again. */
  reached(): void
}

/** What clients saw, per object: every invocation and how it ended. */
export class History<Input, Output> {
  readonly #world: SimWorld
  readonly #operations = new Map<string, HistoryOperation<Input, Output>[]>()
  #closed = false

  constructor(world: SimWorld) {
    this.#world = world
  }

  /** Takes nothing more: the objects begin another life. */
  close(): void {
    this.#closed = true
  }

  invoke(object: string, input: Input): Invocation<Output> {
    if (this.#closed) return { ok: () => {}, fail: () => {}, reached: () => {} }
    const operations = this.#operations.get(object) ?? []
    this.#operations.set(object, operations)
    const index = operations.length
    const invokedAt = this.#world.sequence()
    operations.push({ input, invokedAt, returnedAt: Number.POSITIVE_INFINITY, result: { kind: 'unknown' } })
    const end = (result: HistoryOperation<Input, Output>['result']): void => {
      operations[index] = { input, invokedAt, returnedAt: this.#world.sequence(), result }
    }
    return { ok: (output) => end({ kind: 'ok', output }), fail: () => end({ kind: 'fail' }), reached: () => end({ kind: 'unknown' }) }
  }

  objects(): IterableIterator<[string, readonly HistoryOperation<Input, Output>[]]> {
    return this.#operations.entries()
  }
}
