import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { WorkerMessage, WorkerTask } from './sqlite-worker.ts'

const compiled = join(import.meta.dirname, '../../.build/test/process/sqlite-worker.js')

/** A worker process of this test, killed at its end whatever happens. */
export class WorkerProcess {
  readonly process: ChildProcess
  readonly #messages: WorkerMessage[] = []

  constructor(task: WorkerTask) {
    if (!existsSync(compiled)) throw new Error(`${compiled} is missing; run npm run build first.`)
    this.process = fork(compiled, [JSON.stringify(task)], { execArgv: ['--no-warnings'] })
    this.process.on('message', (message) => this.#messages.push(message as WorkerMessage))
    onTestFinished(() => {
      this.process.kill('SIGKILL')
    })
  }

  /** Waits for what the worker says; fails when it ends before. */
  async said<Say extends WorkerMessage['say']>(say: Say): Promise<Extract<WorkerMessage, { say: Say }>> {
    for (;;) {
      const found = this.#messages.find((message) => message.say === say)
      if (found !== undefined) return found as Extract<WorkerMessage, { say: Say }>
      if (this.process.exitCode !== null || this.process.signalCode !== null) throw new Error(`the worker ended before it said "${say}"`)
      await Promise.race([once(this.process, 'message'), once(this.process, 'exit')])
    }
  }

  go(): void {
    this.process.send('go')
  }

  /** As the operating system does when memory runs out: no handler runs, nothing is closed. */
  async kill(): Promise<void> {
    const exited = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await exited
  }
}
