import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './redis-server.ts'

interface Node {
  readonly client: string
  readonly peer: string
  process: ChildProcess | undefined
}

/** An etcd cluster of one test, whose nodes are killed, stopped and started again; they forget nothing of their own by that. */
export class EtcdCluster {
  readonly #folder = mkdtempSync(join(tmpdir(), 'oncely-etcd-'))
  readonly #nodes: readonly Node[]
  readonly #settings: Readonly<Record<string, string>>

  private constructor(nodes: readonly Node[], settings: Readonly<Record<string, string>>) {
    this.#nodes = nodes
    this.#settings = settings
  }

  /** Answers when each node knows a leader. */
  static async start({
    size = 3,
    settings = {},
  }: {
    size?: number
    settings?: Readonly<Record<string, string>>
  } = {}): Promise<EtcdCluster> {
    const nodes: Node[] = []
    for (let count = 0; count < size; count++) nodes.push({ client: await freeUrl(), peer: await freeUrl(), process: undefined })
    const cluster = new EtcdCluster(nodes, settings)
    for (const index of nodes.keys()) cluster.restart(index)
    await cluster.leader()
    return cluster
  }

  get endpoints(): readonly string[] {
    return this.#nodes.map(({ client }) => client)
  }

  restart(index: number): void {
    const node = this.#node(index)
    const settings = {
      name: `node-${index}`,
      'data-dir': join(this.#folder, String(index)),
      'listen-client-urls': node.client,
      'advertise-client-urls': node.client,
      'listen-peer-urls': node.peer,
      'initial-advertise-peer-urls': node.peer,
      'initial-cluster': this.#nodes.map(({ peer }, at) => `node-${at}=${peer}`).join(','),
      'initial-cluster-token': this.#folder,
      logger: 'zap',
      ...this.#settings,
    }
    node.process = spawn(
      'etcd',
      Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      { stdio: 'ignore' },
    )
  }

  /** A cluster of one that begins with what this one holds now, as after the loss of all its machines. */
  async restored(): Promise<EtcdCluster> {
    const cluster = new EtcdCluster([{ client: await freeUrl(), peer: await freeUrl(), process: undefined }], {})
    const control = (...parameters: readonly string[]): void => {
      execFileSync('etcdctl', parameters, { stdio: 'ignore', env: { ...process.env, ETCDCTL_API: '3' } })
    }
    const snapshot = join(this.#folder, 'snapshot')
    control('--endpoints', this.#node(0).client, 'snapshot', 'save', snapshot)
    const peer = cluster.#node(0).peer
    const identity = ['--name', 'node-0', '--initial-cluster', `node-0=${peer}`, '--initial-advertise-peer-urls', peer]
    control(
      'snapshot',
      'restore',
      snapshot,
      '--data-dir',
      join(cluster.#folder, '0'),
      ...identity,
      '--initial-cluster-token',
      cluster.#folder,
    )
    cluster.restart(0)
    await cluster.leader()
    return cluster
  }

  /** SIGSTOP: it keeps its connections and answers nothing. SIGCONT: it goes on. */
  signal(index: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#node(index).process?.kill(signal)
  }

  async kill(index: number): Promise<void> {
    const { process } = this.#node(index)
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return
    process.kill('SIGKILL')
    await once(process, 'exit')
  }

  /** The node that all who answer take for the leader; waits for it. */
  async leader(): Promise<number> {
    for (const deadlineMs = Date.now() + 30_000; Date.now() < deadlineMs; await delay(50)) {
      const said = await Promise.all(this.endpoints.map((endpoint) => status(endpoint).catch(() => undefined)))
      const leaders = new Set(said.flatMap((one) => (one === undefined ? [] : [one.leader])))
      const index = said.findIndex((one) => one !== undefined && one.leader === one.member && one.leader !== '0')
      if (leaders.size === 1 && index >= 0) return index
    }
    throw new Error('no leader within 30 s')
  }

  /** Kills what runs, and removes its data. */
  async remove(): Promise<void> {
    await Promise.all(this.#nodes.map((_, index) => this.kill(index)))
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #node(index: number): Node {
    const node = this.#nodes[index]
    if (node === undefined) throw new RangeError(`no node ${index}`)
    return node
  }
}

async function freeUrl(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`
}

async function status(endpoint: string): Promise<{ readonly member: string; readonly leader: string }> {
  const answer = await fetch(`${endpoint}/v3/maintenance/status`, { method: 'POST', body: '{}', signal: AbortSignal.timeout(1_000) })
  const { header, leader = '0' } = (await answer.json()) as { header: { member_id: string }; leader?: string }
  return { member: header.member_id, leader }
}
