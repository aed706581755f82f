import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, until } from './redis-server.ts'

const jar = '/usr/share/java/zookeeper.jar'

/** A ZooKeeper server of one test, to be stopped and killed. */
export class ZookeeperServer {
  readonly address: string
  readonly #folder: string
  readonly #process: ChildProcess

  private constructor(port: number) {
    this.address = `127.0.0.1:${port}`
    this.#folder = mkdtempSync(join(tmpdir(), 'oncely-zookeeper-'))
    const configuration = join(this.#folder, 'zoo.cfg')
    const settings = { tickTime: 200, dataDir: join(this.#folder, 'data'), clientPort: port, clientPortAddress: '127.0.0.1' }
    const lines = Object.entries({ ...settings, 'admin.enableServer': false }).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(configuration, lines.join(''))
    const options = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', jar]
    this.#process = spawn('java', [...options, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', configuration], { stdio: 'ignore' })
  }

  static async start(): Promise<ZookeeperServer> {
    const server = new ZookeeperServer(await freePort())
    await until(() => server.#answers(), 30_000)
    return server
  }

  /** SIGSTOP: it keeps its connections and answers nothing. SIGCONT: it goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(signal)
  }

  async remove(): Promise<void> {
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exited
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #answers(): Promise<boolean> {
    const [host = '', port = ''] = this.address.split(':')
    return new Promise((resolve) => {
      let said = ''
      const socket = connect(Number(port), host, () => socket.end('srvr'))
      socket.setTimeout(2_000, () => socket.destroy())
      socket.on('data', (data) => {
        said += String(data)
      })
      socket.on('error', () => resolve(false))
      socket.on('close', () => resolve(said.includes('Mode: standalone')))
    })
  }
}
