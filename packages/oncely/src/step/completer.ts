import {
  type AbandonedRun,
  bounded,
  type CompleterOptions,
  checkBound,
  type EngineParts,
  type ResumableOperation,
  stepsOf,
} from '../core/index.ts'

/**
 * Resumes operations whose owner is gone: looks every `everyMs`, takes a batch, and lets each one go its usual way, claim first. Two
 * completers that find the same operation are told apart by its claim. How often it is tried is the policy's `attemptsMax`.
 */
export class Completer {
  readonly #parts: EngineParts
  readonly #operations: ReadonlyMap<string, ResumableOperation>
  readonly #everyMs: number
  readonly #batchMax: number
  readonly #backoff: { readonly backoffMs: number; readonly backoffMaxMs: number }
  readonly #running = new Set<string>()
  #cancel: () => void = () => {}
  #stopped = false

  constructor(parts: EngineParts, operations: ReadonlyMap<string, ResumableOperation>, options: CompleterOptions) {
    this.#parts = parts
    this.#operations = operations
    this.#everyMs = checkBound('completer.everyMs', options.everyMs, { preset: 5_000, min: 10, max: 3_600_000 })
    this.#batchMax = checkBound('completer.batchMax', options.batchMax, { preset: 10, min: 1, max: 1_000 })
    this.#backoff = {
      backoffMs: checkBound('completer.backoffMs', options.backoffMs, { preset: 1_000, min: 1, max: 3_600_000 }),
      backoffMaxMs: checkBound('completer.backoffMaxMs', options.backoffMaxMs, { preset: 300_000, min: 1, max: 86_400_000 }),
    }
    this.#later(0)
  }

  /** Takes up nothing new. What runs belongs to the engine, which drains it. */
  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #later(delayMs: number): void {
    if (!this.#stopped) this.#cancel = this.#parts.clock.after(delayMs, () => void this.#look(), 'background')
  }

  async #look(): Promise<void> {
    const free = this.#batchMax - this.#running.size
    // An outage of the store ends with the next look.
    const found = free === 0 ? [] : await this.#find(free + this.#running.size).catch(() => [])
    for (const run of found) {
      if (this.#stopped || this.#running.size >= this.#batchMax) break
      this.#resume(run)
    }
    this.#later(this.#everyMs)
  }

  #find(limit: number): Promise<readonly AbandonedRun[]> {
    const { clock, store, limits } = this.#parts
    const steps = stepsOf(store)
    const operations = [...this.#operations.keys()]
    if (steps === undefined || operations.length === 0) return Promise.resolve([])
    return bounded(clock, limits.storeTimeoutMs, 'a search', () => steps.abandoned({ limit, operations, ...this.#backoff }))
  }

  #resume(run: AbandonedRun): void {
    const name = Array.from(run.id, (byte) => String.fromCharCode(byte)).join('')
    const operation = this.#operations.get(run.operation)
    if (operation === undefined || this.#running.has(name)) return
    this.#running.add(name)
    // A failure is an attempt like any other: its event is told, and its backoff runs.
    void operation
      .resume(run)
      .catch(() => {})
      .finally(() => this.#running.delete(name))
  }
}
