import type { EffectOptions, EffectUndo, Step } from '../core/index.ts'
import { mismatch } from './step-error.ts'

/** What a scope asks of its run. */
export interface ScopeRun<Tx> {
  transaction<Value>(
    path: string,
    name: string,
    run: (tx: Tx) => Promise<Value> | Value,
    undo: ((tx: Tx, value: Value) => Promise<void> | void) | undefined,
  ): Promise<Value>
  effect<Value>(
    path: string,
    name: string,
    options: EffectOptions<Value>,
    run: (call: never) => Promise<Value> | Value,
    undo: EffectUndo<Value> | undefined,
  ): Promise<Value>
  branch(prefix: string): StepScope<Tx>
  failed(error: unknown): void
}

/** Numbers the steps of one sequence, and refuses a second one while the first runs. */
export class StepScope<Tx> {
  readonly step: Step<Tx>
  readonly #prefix: string
  readonly #run: ScopeRun<Tx>
  #count = 0
  #running: Promise<unknown> | undefined

  constructor(prefix: string, run: ScopeRun<Tx>) {
    this.#prefix = prefix
    this.#run = run
    this.step = {
      transaction: (name, body, options) => this.#next(name, (path) => this.#run.transaction(path, name, body, options?.undo)),
      effect: (name, options, body) => this.#next(name, (path) => this.#run.effect(path, name, options, body as never, options.undo)),
      parallel: (branches) => this.#next('parallel', (path) => this.#branches(path, branches)) as never,
    }
  }

  /** Waits for a step that nobody waited for; it is a mistake of the handler's. */
  async close(failed: (error: unknown) => void): Promise<void> {
    if (this.#running === undefined) return
    await this.#running.catch(() => {})
    failed(mismatch('The handler ended while a step of its own still ran; await every step.'))
  }

  async #branches(path: string, branches: readonly ((step: Step<Tx>) => Promise<unknown>)[]): Promise<readonly unknown[]> {
    const scopes = branches.map((_, index) => this.#run.branch(`${path}.${index}.`))
    const ends = await Promise.allSettled(
      branches.map(async (branch, index) => {
        const scope = scopes[index] as StepScope<Tx>
        const value = await branch(scope.step)
        await scope.close((error) => this.#run.failed(error))
        return value
      }),
    )
    for (const scope of scopes) await scope.close((error) => this.#run.failed(error))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return ends.map((end) => (end as PromiseFulfilledResult<unknown>).value)
  }

  #next<Value>(name: string, run: (path: string) => Promise<Value>): Promise<Value> {
    if (this.#running !== undefined) {
      const error = mismatch(`Step "${name}" began while another one ran; await the one before, or declare both with step.parallel().`)
      this.#run.failed(error)
      return Promise.reject(error)
    }
    this.#count++
    const work = run(`${this.#prefix}${this.#count}`).finally(() => {
      this.#running = undefined
    })
    this.#running = work
    return work
  }
}
