import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'

const script = join(import.meta.dirname, '../../../../scripts/services.mjs')

/** A message broker of one test, to be restarted, killed and frozen; it ends with the test's process, whatever happens to that. */
export class HeldBroker {
  readonly url: string
  readonly #process: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(url: string, process: ChildProcess, lines: AsyncIterator<string>) {
    this.url = url
    this.#process = process
    this.#lines = lines
  }

  static async start(name: 'kafka' | 'rabbitmq' | 'nats'): Promise<HeldBroker> {
    const holder = spawn(process.execPath, [script, 'hold', name], { stdio: ['pipe', 'pipe', 'inherit'] })
    const input: Interface = createInterface({ input: holder.stdout })
    const lines = input[Symbol.asyncIterator]()
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`${name} did not start`)
    return new HeldBroker(value, holder, lines)
  }

  /** Where it listens, as `host:port`. */
  get address(): string {
    return new URL(this.url).host
  }

  /** Ends it, orderly or by a signal, and starts it again on the same port with the same data; returns when it serves. */
  restart(signal?: 'SIGKILL'): Promise<void> {
    return this.#say(signal === undefined ? 'restart' : `restart ${signal}`)
  }

  /** SIGSTOP: it keeps its connections and answers nothing. SIGCONT: it goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    return this.#say(signal)
  }

  /** Ends it and removes its data. */
  async end(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.stdin?.end()
    await ended
  }

  async #say(line: string): Promise<void> {
    this.#process.stdin?.write(`${line}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true || value !== line) throw new Error(`the broker was told "${line}" and answered "${value}"`)
  }
}
