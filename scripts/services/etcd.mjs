// etcd 3.4 or newer, as a cluster of three that flushes every write on a majority before its answer. Nodes of our own: own folders,
// own ports, loopback only. The URL names the clients' ends of all three, separated by commas.
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, isPortFree, placeFor, stopServers } from './host.mjs'

const versionMin = [3, 4]
const nodes = 3
const portFirst = 23_844
const portLast = 23_943
const startMsMax = 30_000
/** From the kindest on. @type {readonly NodeJS.Signals[]} */
const stopSignals = ['SIGTERM', 'SIGKILL']
const usualFolders = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']

/** @type {import('../services.mjs').Service} */
export const etcd = {
  name: 'etcd',
  title: `etcd ${versionMin.join('.')} or newer`,
  variable: 'ONCELY_TEST_ETCD_URL',
  debianPackages: ['etcd-server', 'etcd-client'],
  find: findServer,
  start,
  stopSignal: stopSignals[0],
  processOf: (place) => foldersOf(place).flatMap((folder) => processIn(folder) ?? []),
}

/** @returns {string | undefined} */
function findServer() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...usualFolders]
  const server = folders.map((folder) => join(folder, 'etcd')).find(existsSync)
  // Tests restore snapshots with the second.
  if (server === undefined || !folders.some((folder) => existsSync(join(folder, 'etcdctl')))) return
  const [, major = '0', minor = '0'] = /Version: (\d+)\.(\d+)/.exec(execFileSync(server, ['--version'], { encoding: 'utf8' })) ?? []
  const [majorMin = 0, minorMin = 0] = versionMin
  if (Number(major) < majorMin || (Number(major) === majorMin && Number(minor) < minorMin)) return
  return server
}

/**
 * @param {{ instance: string, detached: boolean }} options
 * @returns {Promise<import('../services.mjs').Started>}
 */
async function start({ instance, detached }) {
  const binary = findServer()
  if (binary === undefined) throw new Error(`${etcd.title} is not installed`)
  const place = placeFor(instance, {})
  for (const folder of foldersOf(place)) {
    const running = processIn(folder)
    if (running !== undefined && isAlive(running, folder)) throw new Error(`an etcd node (process ${running}) already uses ${folder}`)
    mkdirSync(folder, { recursive: true })
  }
  for (;;) {
    const ports = await portsFor(place)
    const servers = foldersOf(place).map((folder, index) => launch(binary, { folder, index, ports, detached }))
    const urls = clientUrls(ports)
    const answer = await untilReady(servers, urls)
    const [first, ...others] = servers
    if (answer === 'ready')
      return {
        url: urls.join(','),
        pid: first?.pid ?? 0,
        companions: others.map(({ pid }) => pid ?? 0),
        place,
        stop: () => stopServers(servers, stopSignals),
      }
    await stopServers(servers, stopSignals)
    const said = foldersOf(place).map((folder) => readFileSync(join(folder, 'log'), 'utf8'))
    // Another server took a port between our look and the start: other ports are as good, unless data is bound to these.
    const taken = said.some((log) => /address already in use/i.test(log)) && !existsSync(join(place, '1/data/member'))
    if (!taken)
      throw new Error(`etcd did not start (${answer}):\n${said.map((log) => log.trim().split('\n').slice(-2).join('\n')).join('\n')}`)
  }
}

/** Two ports a node: for clients, for the other nodes. Nodes with data keep theirs. @param {string} place @returns {Promise<number[]>} */
async function portsFor(place) {
  const kept = join(place, 'ports')
  if (existsSync(kept) && existsSync(join(place, '1/data/member'))) return JSON.parse(readFileSync(kept, 'utf8'))
  const ports = []
  for (let port = portFirst; port <= portLast && ports.length < 2 * nodes; port++) if (await isPortFree(port)) ports.push(port)
  if (ports.length < 2 * nodes) throw new Error(`no ${2 * nodes} free ports between ${portFirst} and ${portLast} for etcd`)
  writeFileSync(kept, JSON.stringify(ports))
  return ports
}

/** @param {readonly number[]} ports */
function clientUrls(ports) {
  return ports.slice(0, nodes).map((port) => `http://127.0.0.1:${port}`)
}

/**
 * @param {string} binary
 * @param {{ folder: string, index: number, ports: readonly number[], detached: boolean }} options
 */
function launch(binary, { folder, index, ports, detached }) {
  const peers = ports.slice(nodes).map((port) => `http://127.0.0.1:${port}`)
  const settings = {
    name: `node-${index + 1}`,
    'data-dir': join(folder, 'data'),
    'listen-client-urls': clientUrls(ports)[index],
    'advertise-client-urls': clientUrls(ports)[index],
    'listen-peer-urls': peers[index],
    'initial-advertise-peer-urls': peers[index],
    'initial-cluster': peers.map((peer, at) => `node-${at + 1}=${peer}`).join(','),
    'initial-cluster-token': dirname(folder),
    logger: 'zap',
  }
  const log = openSync(join(folder, 'log'), 'w')
  const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  const server = spawn(binary, options, { cwd: folder, detached, stdio: ['ignore', log, log] })
  closeSync(log)
  writeFileSync(join(folder, 'pid'), String(server.pid ?? 0))
  if (detached) server.unref()
  return server
}

/** Each node knows a leader. @param {readonly import('node:child_process').ChildProcess[]} servers @param {readonly string[]} urls */
async function untilReady(servers, urls) {
  const deadline = Date.now() + startMsMax
  while (Date.now() < deadline) {
    for (const { exitCode, signalCode } of servers)
      if (exitCode !== null || signalCode !== null) return `a node ended with ${exitCode ?? signalCode}`
    const healthy = await Promise.all(
      urls.map(async (url) => {
        const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) })
        return /** @type {{ health?: string }} */ (await answer.json()).health === 'true'
      }),
    ).catch(() => [false])
    if (healthy.every(Boolean)) return 'ready'
    await delay(50)
  }
  return `no healthy cluster within ${startMsMax} ms`
}

/** @param {string} place */
function foldersOf(place) {
  return Array.from({ length: nodes }, (_, index) => join(place, `${index + 1}`))
}

/** @param {string} folder */
function processIn(folder) {
  const file = join(folder, 'pid')
  return existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : undefined
}
