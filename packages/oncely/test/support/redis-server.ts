import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** A Redis server of one test, to be stopped, killed and started again; it forgets nothing of its own by that. */
export class RedisServer {
  readonly port: number
  readonly #folder: string
  readonly #settings: Readonly<Record<string, string>>
  #process: ChildProcess | undefined

  private constructor(port: number, settings: Readonly<Record<string, string>>) {
    this.port = port
    this.#folder = mkdtempSync(join(tmpdir(), 'oncely-redis-'))
    this.#settings = settings
  }

  /** With durable settings, changed by those given. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), { appendonly: 'yes', appendfsync: 'always', ...settings })
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const settings = { port: String(this.port), bind: '127.0.0.1', dir: this.#folder, save: '', ...this.#settings }
    const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, ...(value === '' ? [''] : value.split(' '))])
    this.#process = spawn('redis-server', options, { stdio: 'ignore' })
    await this.command('PING')
  }

  /** SIGSTOP: it keeps its connections and answers nothing. SIGCONT: it goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal)
  }

  async kill(): Promise<void> {
    const server = this.#process
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGKILL')
    await once(server, 'exit')
  }

  /** Kills it, and removes its data. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** One command, on a connection of its own; waits for a server that is just starting. */
  async command(name: string, ...args: readonly (string | number | Buffer)[]): Promise<unknown> {
    const client = new Redis(this.url, { lazyConnect: true, maxRetriesPerRequest: 200, retryStrategy: () => 25 })
    client.on('error', () => {})
    try {
      return await client.call(name, ...args)
    } finally {
      client.disconnect()
    }
  }
}

/** Waits for something that the server does by itself. */
export async function until(condition: () => Promise<boolean>, limitMs = 15_000): Promise<void> {
  const deadline = Date.now() + limitMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`it did not happen within ${limitMs} ms`)
    await delay(20)
  }
}

/** Below the ports that the system gives to connections, so that none takes it before its server does. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(24_000, 32_000)
    const probe = createServer().listen(port, '127.0.0.1')
    const isFree = await once(probe, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
}
