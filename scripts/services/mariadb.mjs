// MariaDB 10.6 or newer (or MySQL through ONCELY_TEST_MYSQL_URL) with durable settings: every commit is flushed, as in production.
// A server of our own: own data folder, own port, loopback and one socket only, user and database `oncely`.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import { isAlive, isPortFree, placeFor, serverUser, stopServers } from './host.mjs'

const versionMin = [10, 6]
const portFirst = 3344
const portLast = 3444
const startMsMax = 30_000
/** From the kindest on. @type {readonly NodeJS.Signals[]} */
const stopSignals = ['SIGTERM', 'SIGKILL']
const usualFolders = ['/usr/sbin', '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin', '/usr/local/mysql/bin']

/** @type {import('../services.mjs').Service} */
export const mariadb = {
  name: 'mariadb',
  title: `MariaDB ${versionMin.join('.')} or newer`,
  variable: 'ONCELY_TEST_MYSQL_URL',
  debianPackages: ['mariadb-server'],
  find: () => findBinaries()?.server,
  start,
  stopSignal: stopSignals[0],
  processOf,
}

/** @returns {{ server: string, installer: string, version: string } | undefined} */
function findBinaries() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...usualFolders]
  const fileOf = (/** @type {string} */ name) => folders.map((folder) => join(folder, name)).find(existsSync)
  const server = fileOf('mariadbd')
  const installer = fileOf('mariadb-install-db')
  if (server === undefined || installer === undefined) return
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(execFileSync(server, ['--version'], { encoding: 'utf8' })) ?? []
  const [majorMin = 0, minorMin = 0] = versionMin
  if (Number(major) < majorMin || (Number(major) === majorMin && Number(minor) < minorMin)) return
  return { server, installer, version: `${major}.${minor}` }
}

/**
 * @param {{ instance: string, detached: boolean }} options
 * @returns {Promise<import('../services.mjs').Started>}
 */
async function start({ instance, detached }) {
  const binaries = findBinaries()
  if (binaries === undefined) throw new Error(`${mariadb.title} is not installed`)
  const user = serverUser('mysql')
  const place = placeFor(instance, user)
  const running = processOf(place)
  if (running !== undefined && isAlive(running, place)) throw new Error(`a MariaDB server (process ${running}) already uses ${place}`)
  if (!existsSync(join(place, 'data/mysql'))) initialise(binaries.installer, place, user)

  for (let port = portFirst; port <= portLast; port++) {
    if (!(await isPortFree(port))) continue
    const server = launch(binaries.server, { place, port, user, detached })
    const url = `mysql://oncely@127.0.0.1:${port}/oncely`
    const answer = await untilReady(server, port)
    if (answer === 'ready') return { url, pid: server.pid ?? 0, place, stop: () => stopServers([server], stopSignals) }
    await stopServers([server], stopSignals)
    const log = readFileSync(join(place, 'log'), 'utf8')
    // Another server took the port between our look and its start: the next port is as good.
    if (!/Bind on TCP|already in use|Do you already have another/i.test(log)) {
      throw new Error(`MariaDB ${binaries.version} did not start (${answer}):\n${log.trim().split('\n').slice(-12).join('\n')}`)
    }
  }
  throw new Error(`no free port between ${portFirst} and ${portLast} for MariaDB`)
}

/** @param {string} installer @param {string} place @param {import('./host.mjs').ServerUser} user */
function initialise(installer, place, user) {
  const options = ['--no-defaults', `--datadir=${join(place, 'data')}`, '--auth-root-authentication-method=normal', '--skip-test-db']
  const made = spawnSync(installer, options, { ...user, cwd: place, encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`mariadb-install-db failed: ${made.error?.message ?? made.stderr}`)
}

/**
 * @param {string} binary
 * @param {{ place: string, port: number, user: import('./host.mjs').ServerUser, detached: boolean }} options
 */
function launch(binary, { place, port, user, detached }) {
  const scripts = join(place, 'init.sql')
  writeFileSync(
    scripts,
    [
      'CREATE DATABASE IF NOT EXISTS oncely CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;',
      "CREATE USER IF NOT EXISTS 'oncely'@'127.0.0.1';",
      "GRANT ALL ON *.* TO 'oncely'@'127.0.0.1' WITH GRANT OPTION;",
      '',
    ].join('\n'),
  )
  mkdirSync(place, { recursive: true })
  const settings = {
    datadir: join(place, 'data'),
    'bind-address': '127.0.0.1',
    port,
    socket: join(place, 'socket'),
    'pid-file': join(place, 'pid'),
    'init-file': scripts,
    'max-connections': 300,
    'innodb-flush-log-at-trx-commit': 1,
    'innodb-buffer-pool-size': '64M',
    'skip-name-resolve': 'ON',
  }
  const options = Object.entries(settings).map(([name, value]) => `--${name}=${value}`)
  const log = openSync(join(place, 'log'), 'w')
  const server = spawn(binary, ['--no-defaults', ...options], { ...user, cwd: place, detached, stdio: ['ignore', log, log] })
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
    try {
      const connection = await mysql.createConnection({ host: '127.0.0.1', port, user: 'oncely', database: 'oncely', connectTimeout: 2000 })
      await connection.end()
      return 'ready'
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    await delay(50)
  }
  return `no answer within ${startMsMax} ms; ${last}`
}

/** @param {string} place */
function processOf(place) {
  const file = join(place, 'pid')
  return existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : undefined
}
