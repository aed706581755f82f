// Redis 7.0 or newer, alone, as a cluster of three primaries and as three that know nothing of each other, with durable settings: every write is flushed before its answer.
// Servers of our own: own folders, own ports, loopback only.
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { isAlive, isPortFree, placeFor, stopServers } from './host.mjs'

const versionMin = 7
const portFirst = 6444
const portLast = 6544
/** A server of a cluster also listens this much higher. */
const busOffset = 10_000
const slots = 16_384
const primaries = 3
const independents = 3
const startMsMax = 30_000
/** From the kindest on. @type {readonly NodeJS.Signals[]} */
const stopSignals = ['SIGTERM', 'SIGKILL']
const usualFolders = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']

/** @type {import('../services.mjs').Service} */
export const redis = {
  name: 'redis',
  title: `Redis ${versionMin}.0 or newer`,
  variable: 'ONCELY_TEST_REDIS_URL',
  debianPackages: ['redis-server'],
  find: findServer,
  start: async ({ instance, detached }) => {
    const place = placeFor(instance, {})
    const { process: server, port } = await startServer(place, { detached, clustered: false })
    return { url: `redis://127.0.0.1:${port}`, pid: server.pid ?? 0, place, stop: () => stopServers([server], stopSignals) }
  },
  stopSignal: stopSignals[0],
  processOf: (place) => processIn(place),
}

/** @type {import('../services.mjs').Service} */
export const redisCluster = {
  name: 'rediscluster',
  title: `Redis ${versionMin}.0 or newer, as a cluster`,
  variable: 'ONCELY_TEST_REDIS_CLUSTER_URL',
  debianPackages: ['redis-server'],
  find: findServer,
  start: async ({ instance, detached }) => {
    const { started, ports } = await startSeveral(instance, { detached, count: primaries, clustered: true })
    await formCluster(ports)
    return { ...started, url: `redis://127.0.0.1:${ports[0]}` }
  },
  stopSignal: stopSignals[0],
  processOf: (place) => foldersOf(place, primaries).flatMap((folder) => processIn(folder) ?? []),
}

/** For locks that ask several servers: the URL names them all, separated by commas. @type {import('../services.mjs').Service} */
export const redisNodes = {
  name: 'redisnodes',
  title: `Redis ${versionMin}.0 or newer, ${independents} servers`,
  variable: 'ONCELY_TEST_REDIS_NODES_URL',
  debianPackages: ['redis-server'],
  find: findServer,
  start: async ({ instance, detached }) => {
    const { started, ports } = await startSeveral(instance, { detached, count: independents, clustered: false })
    return { ...started, url: ports.map((port) => `redis://127.0.0.1:${port}`).join(',') }
  },
  stopSignal: stopSignals[0],
  processOf: (place) => foldersOf(place, independents).flatMap((folder) => processIn(folder) ?? []),
}

/**
 * @param {string} instance
 * @param {{ detached: boolean, clustered: boolean, count: number }} options
 */
async function startSeveral(instance, { count, ...options }) {
  const place = placeFor(instance, {})
  /** @type {Awaited<ReturnType<typeof startServer>>[]} */
  const servers = []
  for (const folder of foldersOf(place, count)) servers.push(await startServer(folder, options))
  const processes = servers.map(({ process }) => process)
  const [first, ...others] = processes.map(({ pid }) => pid ?? 0)
  const started = { pid: first ?? 0, companions: others, place, stop: () => stopServers(processes, stopSignals) }
  return { started, ports: servers.map(({ port }) => port) }
}

/** @param {string} place @param {number} count */
function foldersOf(place, count) {
  return Array.from({ length: count }, (_, index) => join(place, `${index + 1}`))
}

/** @returns {string | undefined} */
function findServer() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...usualFolders]
  const server = folders.map((folder) => join(folder, 'redis-server')).find(existsSync)
  if (server === undefined) return
  const [, major = '0'] = /v=(\d+)/.exec(execFileSync(server, ['--version'], { encoding: 'utf8' })) ?? []
  return Number(major) >= versionMin ? server : undefined
}

/**
 * @param {string} place
 * @param {{ detached: boolean, clustered: boolean }} options
 */
async function startServer(place, { detached, clustered }) {
  const binary = findServer()
  if (binary === undefined) throw new Error(`${redis.title} is not installed`)
  mkdirSync(place, { recursive: true })
  const running = processIn(place)
  if (running !== undefined && isAlive(running, place)) throw new Error(`a Redis server (process ${running}) already uses ${place}`)
  for (let port = portFirst; port <= portLast; port++) {
    if (!(await isPortFree(port)) || (clustered && !(await isPortFree(port + busOffset)))) continue
    const settings = {
      ...{ port, bind: '127.0.0.1', dir: place, pidfile: join(place, 'pid'), daemonize: 'no' },
      // The command line keeps naming the folder, by which the process is told from others.
      'set-proc-title': 'no',
      ...{ appendonly: 'yes', appendfsync: 'always', save: '', 'maxmemory-policy': 'noeviction' },
      ...(clustered ? { 'cluster-enabled': 'yes', 'cluster-config-file': 'nodes.conf' } : {}),
    }
    const log = openSync(join(place, 'log'), 'w')
    const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
    const server = spawn(binary, options, { cwd: place, detached, stdio: ['ignore', log, log] })
    closeSync(log)
    if (detached) server.unref()
    const answer = await untilReady(server, port)
    if (answer === 'ready') return { process: server, port }
    await stopServers([server], stopSignals)
    const said = readFileSync(join(place, 'log'), 'utf8')
    // Another server took the port between our look and its start: the next port is as good.
    if (!/already in use|could not create server/i.test(said)) {
      throw new Error(`Redis did not start (${answer}):\n${said.trim().split('\n').slice(-12).join('\n')}`)
    }
  }
  throw new Error(`no free port between ${portFirst} and ${portLast} for Redis`)
}

/** @param {import('node:child_process').ChildProcess} server @param {number} port */
async function untilReady(server, port) {
  const deadline = Date.now() + startMsMax
  while (Date.now() < deadline) {
    if (server.exitCode !== null || server.signalCode !== null) return `it ended with ${server.exitCode ?? server.signalCode}`
    const answered = await withClient(port, (client) => client.ping()).catch(() => undefined)
    if (answered === 'PONG') return 'ready'
    await delay(20)
  }
  return `no answer within ${startMsMax} ms`
}

/** Gives each server its share of the slots and makes them known to each other. @param {readonly number[]} ports */
async function formCluster(ports) {
  const [first = 0] = ports
  for (const [index, port] of ports.entries()) {
    await withClient(port, async (client) => {
      // Servers that were a cluster before, with their data, still are.
      if (/cluster_slots_assigned:0\b/.test(String(await client.call('CLUSTER', 'INFO')))) {
        const range = [Math.ceil((index * slots) / ports.length), Math.ceil(((index + 1) * slots) / ports.length) - 1]
        await client.call('CLUSTER', 'ADDSLOTSRANGE', ...range)
        await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
      }
      await client.call('CLUSTER', 'MEET', '127.0.0.1', first)
    })
  }
  const deadline = Date.now() + startMsMax
  for (const port of ports) {
    const joined = new RegExp(`cluster_state:ok[^]*cluster_slots_ok:${slots}[^]*cluster_known_nodes:${ports.length}`)
    while (!joined.test(await withClient(port, async (client) => String(await client.call('CLUSTER', 'INFO'))))) {
      if (Date.now() > deadline) throw new Error(`the Redis servers at ${ports.join(', ')} did not become a cluster`)
      await delay(50)
    }
  }
}

/**
 * @template T
 * @param {number} port
 * @param {(client: Redis) => Promise<T>} use
 */
async function withClient(port, use) {
  const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, connectTimeout: 2_000, retryStrategy: () => null })
  client.on('error', () => {})
  try {
    await client.connect()
    return await use(client)
  } finally {
    client.disconnect()
  }
}

/** @param {string} place */
function processIn(place) {
  const file = join(place, 'pid')
  return existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : undefined
}
