import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Delivery } from '../../src/inbox/index.ts'
import type { InboxTask, WireMessage, WorkerCommand, WorkerSaying } from './inbox-task.ts'

const compiled = join(import.meta.dirname, '../../.build/test/process/inbox-worker.js')

/** A consumer in a process of its own. */
export class InboxProcess {
  readonly #process: ChildProcess
  readonly #sayings: WorkerSaying[] = []
  readonly #waiting: (() => void)[] = []
  #batches = 0

  constructor(task: InboxTask) {
    if (!existsSync(compiled)) throw new Error(`${compiled} is missing; run npm run build first.`)
    this.#process = fork(compiled, [JSON.stringify(task)], { execArgv: ['--no-warnings'] })
    this.#process.on('message', (saying) => {
      this.#sayings.push(saying as WorkerSaying)
      this.#wake()
    })
    this.#process.on('exit', () => this.#wake())
    onTestFinished(() => {
      this.#process.kill('SIGKILL')
    })
  }

  get dead(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  tell(command: WorkerCommand): void {
    if (!this.dead) this.#process.send(command, () => {})
  }

  /** The words for a batch; undefined when the process died first. */
  async process(messages: readonly WireMessage[]): Promise<readonly Delivery[] | undefined> {
    const batch = ++this.#batches
    this.tell({ tell: 'process', batch, messages })
    const said = await this.#heard((saying) => (saying.say === 'answered' && saying.batch === batch ? saying : undefined))
    return said?.words
  }

  /** Waits for a saying; undefined when the process died first. */
  async said<Say extends WorkerSaying['say']>(say: Say): Promise<Extract<WorkerSaying, { say: Say }> | undefined> {
    return this.#heard((saying) => (saying.say === say ? (saying as Extract<WorkerSaying, { say: Say }>) : undefined))
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async #heard<S>(pick: (saying: WorkerSaying) => S | undefined): Promise<S | undefined> {
    for (;;) {
      for (const saying of this.#sayings) {
        const found = pick(saying)
        if (found !== undefined) return found
      }
      if (this.dead) return undefined
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }
}
