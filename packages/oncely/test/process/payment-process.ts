import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { PaymentMessage, PaymentTask } from './payment-task.ts'

const compiled = join(import.meta.dirname, '../../.build/test/process/payment-worker.js')

/** A process of the test, killed at its end whatever happens. */
export class PaymentProcess {
  readonly #process: ChildProcess
  readonly #messages: PaymentMessage[] = []

  constructor(task: PaymentTask) {
    if (!existsSync(compiled)) throw new Error(`${compiled} is missing; run npm run build first.`)
    this.#process = fork(compiled, [JSON.stringify(task)], { execArgv: ['--no-warnings'] })
    this.#process.on('message', (message) => this.#messages.push(message as PaymentMessage))
    onTestFinished(() => {
      this.#process.kill('SIGKILL')
    })
  }

  /** Waits for what the process says; fails when it ends before. */
  async said<Say extends PaymentMessage['say']>(say: Say): Promise<Extract<PaymentMessage, { say: Say }>> {
    for (;;) {
      const found = this.#messages.find((message) => message.say === say)
      if (found !== undefined) return found as Extract<PaymentMessage, { say: Say }>
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) throw new Error(`the process ended before it said "${say}"`)
      await Promise.race([once(this.#process, 'message'), once(this.#process, 'exit')])
    }
  }

  go(): void {
    this.#process.send('go')
  }

  /** As the operating system does when memory runs out: no handler runs, nothing is closed. */
  async kill(): Promise<void> {
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exited
  }
}

/** Starts a process that gets inside its handler, and kills it there. */
export async function killInside(task: PaymentTask): Promise<void> {
  const dying = new PaymentProcess(task)
  await dying.said('ready')
  dying.go()
  await dying.said('inside')
  await dying.kill()
}

/** Lets several processes race at once and adds up what their racers were told. */
export async function raceTogether(taskOf: (racers: number) => PaymentTask, shares: readonly number[]): Promise<Record<string, number>> {
  const processes = shares.map((share) => new PaymentProcess(taskOf(share)))
  for (const one of processes) await one.said('ready')
  for (const one of processes) one.go()
  const totals: Record<string, number> = {}
  for (const one of processes) {
    for (const [word, count] of Object.entries((await one.said('done')).words)) totals[word] = (totals[word] ?? 0) + count
  }
  return totals
}
