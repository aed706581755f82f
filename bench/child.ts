import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Place, pinned } from './processor-core.ts'
import { compiled } from './repository.ts'

/** The answers of a child, by the name of the question: what is asked and what is answered both travel as JSON. */
export type Answers = Readonly<Record<string, (detail: never) => unknown>>

type Question<A extends Answers> = keyof A & string
type Detail<A extends Answers, Q extends Question<A>> = Parameters<A[Q]>[0]
type Answer<A extends Answers, Q extends Question<A>> = Awaited<ReturnType<A[Q]>>

interface Asked {
  readonly nth: number
  readonly question: string
  readonly detail: unknown
}

interface Answered {
  readonly nth: number
  readonly answer?: unknown
  readonly error?: string
}

/** A process of its own that runs one file of the benchmarks in its place and answers questions. */
export class Child<A extends Answers> {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>()
  #asked = 0

  /** `file` is named without its extension and calls `answerParent`. Its profile goes to the folder `profile`, if there is one. */
  constructor(place: Place, file: string, profile?: string) {
    const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
    const [command, words] = pinned(place, process.execPath, [...flags, join(compiled, `${file}.js`)])
    this.#process = spawn(command, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#process.on('message', (message) => this.#hear(message as Answered))
    this.#process.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${file} ended (${code ?? signal}) before it answered`))
      this.#waiting.clear()
    })
  }

  ask<Q extends Question<A>>(question: Q, ...[detail]: Detail<A, Q> extends undefined ? [] : [Detail<A, Q>]): Promise<Answer<A, Q>> {
    const nth = this.#asked++
    return new Promise((resolve, reject) => {
      this.#waiting.set(nth, { resolve, reject })
      this.#process.send({ nth, question, detail } satisfies Asked)
    })
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.disconnect()
    await ended
  }

  #hear({ nth, answer, error }: Answered): void {
    const waiting = this.#waiting.get(nth)
    this.#waiting.delete(nth)
    if (error === undefined) waiting?.resolve(answer as never)
    else waiting?.reject(new Error(error))
  }
}

/** The child's side: answers what the parent asks, and ends with it. */
export function answerParent(answers: Answers): void {
  process.on('message', async ({ nth, question, detail }: Asked) => {
    try {
      const answer = await (answers[question] as (detail: unknown) => unknown)(detail)
      process.send?.({ nth, answer } satisfies Answered)
    } catch (error) {
      process.send?.({ nth, error: error instanceof Error ? (error.stack ?? error.message) : String(error) } satisfies Answered)
    }
  })
  process.once('disconnect', () => process.exit())
}
