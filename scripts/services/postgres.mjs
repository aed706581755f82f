// PostgreSQL 15 or newer with its durable defaults: fsync and synchronous_commit stay on, as in production.
// A server of our own: own data folder, own port, loopback and one socket folder only, user and database `oncely`.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { isAlive, isPortFree, placeFor, serverUser, stopServers } from './host.mjs'

const versionMin = 15
const portFirst = 5544
const portLast = 5644
const startMsMax = 30_000
/** From the kindest on. @type {readonly NodeJS.Signals[]} */
const stopSignals = ['SIGINT', 'SIGQUIT', 'SIGKILL']
const usualFolders = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt', '/usr/local']

/** @type {import('../services.mjs').Service} */
export const postgres = {
  name: 'postgres',
  title: `PostgreSQL ${versionMin} or newer`,
  variable: 'ONCELY_TEST_POSTGRES_URL',
  debianPackages: ['postgresql'],
  find: () => findBinaries()?.folder,
  start,
  stopSignal: stopSignals[0],
  processOf,
}

/**
 * The newest installed server, the one on PATH first.
 * @returns {{ folder: string, version: number } | undefined}
 */
function findBinaries() {
  const onPath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'postgres'))
    .filter(existsSync)
    .map((file) => dirname(realpathSync(file)))
  const elsewhere = usualFolders
    .filter(existsSync)
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name, 'bin')))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
  for (const folder of [...onPath, ...elsewhere]) {
    if (!existsSync(join(folder, 'postgres')) || !existsSync(join(folder, 'initdb'))) continue
    const version = Number(/(\d+)/.exec(execFileSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8' }))?.[1])
    if (version >= versionMin) return { folder, version }
  }
  return undefined
}

/**
 * @param {{ instance: string, detached: boolean }} options
 * @returns {Promise<import('../services.mjs').Started>}
 */
async function start({ instance, detached }) {
  const binaries = findBinaries()
  if (binaries === undefined) throw new Error(`${postgres.title} is not installed`)
  const user = serverUser('postgres')
  const place = placeFor(instance, user)
  const data = join(place, 'data')
  removeStaleLock(data)
  if (!existsSync(join(data, 'PG_VERSION'))) initialise(binaries.folder, data, user)

  for (let port = portFirst; port <= portLast; port++) {
    if (!(await isPortFree(port))) continue
    const server = launch(binaries.folder, { place, data, port, user, detached })
    const url = `postgres://oncely@127.0.0.1:${port}/oncely`
    const answer = await untilReady(server, port)
    if (answer === 'ready') return { url, pid: server.pid ?? 0, place, stop: () => stopServers([server], stopSignals) }
    await stopServers([server], stopSignals)
    const log = readFileSync(join(place, 'log'), 'utf8')
    // Another server took the port between our look and its start: the next port is as good.
    if (!/could not bind|already in use|could not create any TCP/i.test(log)) {
      throw new Error(`PostgreSQL ${binaries.version} did not start (${answer}):\n${log.trim().split('\n').slice(-12).join('\n')}`)
    }
  }
  throw new Error(`no free port between ${portFirst} and ${portLast} for PostgreSQL`)
}

/** @param {string} binaries @param {string} data @param {import('./host.mjs').ServerUser} user */
function initialise(binaries, data, user) {
  const options = ['-D', data, '--username=oncely', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync']
  const made = spawnSync(join(binaries, 'initdb'), options, { ...user, cwd: dirname(data), encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`)
}

/**
 * @param {string} binaries
 * @param {{ place: string, data: string, port: number, user: import('./host.mjs').ServerUser, detached: boolean }} options
 */
function launch(binaries, { place, data, port, user, detached }) {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: place,
    max_connections: 200,
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const log = openSync(join(place, 'log'), 'w')
  const server = spawn(join(binaries, 'postgres'), ['-D', data, ...options], { ...user, cwd: place, detached, stdio: ['ignore', log, log] })
  closeSync(log)
  if (detached) server.unref()
  return server
}

/** @param {import('node:child_process').ChildProcess} server @param {number} port */
async function untilReady(server, port) {
  const deadline = Date.now() + startMsMax
  let last = ''
  while (Date.now() < deadline) {
    if (server.exitCode !== null || server.signalCode !== null) return `it ended with ${server.exitCode ?? server.signalCode}`
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'oncely', database: 'postgres', connectionTimeoutMillis: 2000 })
    client.on('error', () => {})
    try {
      await client.connect()
      const found = await client.query("SELECT 1 FROM pg_database WHERE datname = 'oncely'")
      if (found.rowCount === 0) await client.query('CREATE DATABASE oncely')
      return 'ready'
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    } finally {
      await client.end().catch(() => {})
    }
    await delay(50)
  }
  return `no answer within ${startMsMax} ms; ${last}`
}

/** A lock file outlives a server that was killed; PostgreSQL refuses to start while its number belongs to another process. @param {string} data */
function removeStaleLock(data) {
  const pid = processOf(dirname(data))
  if (pid === undefined) return
  if (isAlive(pid, data)) throw new Error(`a PostgreSQL server (process ${pid}) already uses ${data}`)
  rmSync(join(data, 'postmaster.pid'))
}

/** @param {string} place */
function processOf(place) {
  const lock = join(place, 'data/postmaster.pid')
  return existsSync(lock) ? Number(readFileSync(lock, 'utf8').split('\n')[0]) : undefined
}
