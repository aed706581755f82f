import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'

const startMsMax = 20_000

/** Every child that runs; whoever ends the demo early ends them too. */
const children = new Set<ChildProcess>()

export function killChildren(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** A process of the demo, as its parent sees it. */
export interface Child {
  /** Where it listens, if it does. */
  readonly port: number
  /** Sends a message and resolves with the answer. */
  ask<Answer>(message: unknown): Promise<Answer>
  /** Ends it without warning; resolves when it is gone. */
  kill(): Promise<void>
}

/**
 * Starts one of the files beside this one as a process of its own, and waits until it says that it is ready.
 *
 * @throws Error with what the process wrote to its standard error, when it ends before it is ready.
 */
export async function startChild(name: string, childSettings: object): Promise<Child> {
  const child = fork(join(import.meta.dirname, `${name}.js`), [JSON.stringify(childSettings)], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  children.add(child)
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void gone.then(() => children.delete(child))

  let complaint = ''
  child.stderr?.on('data', (chunk) => {
    complaint = (complaint + chunk).slice(-4_000)
  })
  const waiting = new Map<number, (answer: never) => void>()
  let asked = 0
  const port = await new Promise<number>((resolve, reject) => {
    const tooLate = setTimeout(() => reject(new Error(`${name} was not ready within ${startMsMax} ms.\n${complaint}`)), startMsMax)
    child.on('message', (message: { readonly port?: number; readonly id?: number; readonly answer?: never }) => {
      if (message.id !== undefined) waiting.get(message.id)?.(message.answer as never)
      else resolve(message.port ?? 0)
    })
    void gone.then(() => reject(new Error(`${name} ended before it was ready.\n${complaint}`)))
    child.once('error', reject)
    void gone.finally(() => clearTimeout(tooLate))
    child.once('message', () => clearTimeout(tooLate))
  })
  return {
    port,
    ask: (message) =>
      new Promise((resolve, reject) => {
        const id = ++asked
        waiting.set(id, (answer) => {
          waiting.delete(id)
          resolve(answer)
        })
        child.send({ id, message })
        void gone.then(() => reject(new Error(`${name} ended without an answer.\n${complaint}`)))
      }),
    kill: async () => {
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** In a child: what its parent started it with. */
export function settings<Settings>(): Settings {
  return JSON.parse(process.argv[2] ?? '{}')
}

/** In a child: tells the parent that it can start, and ends when the parent does. */
export function ready(facts: { readonly port: number }): void {
  process.once('disconnect', () => process.exit())
  process.send?.(facts)
}

/** In a child: answers what the parent asks. */
export function answerWith<Message>(handler: (message: Message) => unknown): void {
  process.on('message', async ({ id, message }: { readonly id: number; readonly message: Message }) => {
    process.send?.({ id, answer: await handler(message) })
  })
}
