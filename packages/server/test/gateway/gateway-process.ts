import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

const command = join(import.meta.dirname, '../../../oncely/bin/oncely.js')
const built = join(import.meta.dirname, '../../dist/cli.js')

/** A new SQLite file, gone when the test has passed. */
export function temporaryStore(): string {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-gateway-'))
  onTestFinished(({ task }) => {
    if (task.result?.state !== 'fail') rmSync(folder, { recursive: true, force: true })
  })
  return `sqlite:${join(folder, 'gateway.db')}`
}

/** The gateway as a user starts it, killed at the end of the test whatever happens. */
export class GatewayProcess {
  readonly url: string
  readonly #process: ChildProcess
  readonly #output: () => string

  private constructor(process: ChildProcess, url: string, output: () => string) {
    this.#process = process
    this.url = url
    this.#output = output
  }

  static async start(upstream: string | undefined, options: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<GatewayProcess> {
    if (!existsSync(built)) throw new Error(`${built} is missing; run npm run build first.`)
    const caller = options.includes('--principal') ? [] : ['--principal', 'header:x-account']
    const service = upstream === undefined ? [] : ['--upstream', upstream]
    const child = spawn(process.execPath, ['--no-warnings', command, 'gateway', '--port', '0', ...service, ...caller, ...options], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(() => {
      child.kill('SIGKILL')
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    for (;;) {
      const url = /oncely gateway: (https?:\S+)/.exec(output)?.[1]
      if (url !== undefined) return new GatewayProcess(child, url, () => output)
      if (child.exitCode !== null) throw new Error(`the gateway ended with exit code ${child.exitCode}: ${output}`)
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    }
  }

  get output(): string {
    return this.#output()
  }

  /** Waits until it has said so. */
  async said(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      if (this.#process.exitCode !== null) throw new Error(`the gateway ended: ${this.output}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name)
  }

  /** Memory that the process holds, as the kernel counts it. */
  get residentBytes(): number {
    const pages = readFileSync(`/proc/${this.#process.pid}/statm`, 'utf8').split(' ')[1]
    return Number(pages) * 4_096
  }

  /** As the operating system does when memory runs out: nothing is closed. */
  async kill(): Promise<void> {
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exited
  }

  /** Asks it to stop and answers the exit code. */
  async stop(): Promise<number | null> {
    const exited = once(this.#process, 'exit') as Promise<[number | null]>
    this.#process.kill('SIGTERM')
    return (await exited)[0]
  }

  /** Sends a booking: the same key and body each time, unless the test says otherwise. */
  async book(
    key: string,
    change: { body?: unknown; account?: string; headers?: Record<string, string>; path?: string } = {},
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${change.path ?? '/bookings'}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key, 'x-account': change.account ?? 'acme', ...change.headers },
      body: JSON.stringify(change.body ?? { seat: '12A' }),
    })
    const text = await response.text()
    const type = response.headers.get('content-type') ?? ''
    const problem = type.startsWith('application/problem+json') ? (JSON.parse(text) as Problem) : undefined
    return { status: response.status, replayed: response.headers.get('idempotent-replayed'), headers: response.headers, text, problem }
  }

  /** Books until the record is no longer running. */
  async bookWhenSettled(key: string): Promise<Answer> {
    for (;;) {
      const answer = await this.book(key)
      if (answer.problem?.operation_state !== 'running') return answer
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

export interface Answer {
  readonly status: number
  readonly replayed: string | null
  readonly headers: Headers
  readonly text: string
  readonly problem: Problem | undefined
}

interface Problem {
  readonly type: string
  readonly retryable: boolean
  readonly same_key: boolean
  readonly safe_new_key: boolean
  readonly operation_state?: string
}
