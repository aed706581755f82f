// ZooKeeper 3.8, one node from Debian's jars, with durable settings: every write is flushed before its answer.
// A server of our own: own data folder, own port, loopback only.
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, isPortFree, placeFor, stopServers } from './host.mjs'

const portFirst = 21_844
const portLast = 21_943
const startMsMax = 60_000
/** From the kindest on. @type {readonly NodeJS.Signals[]} */
const stopSignals = ['SIGTERM', 'SIGKILL']
const usualFolders = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
/** Its manifest names the jars that it needs. */
const jar = '/usr/share/java/zookeeper.jar'

/** @type {import('../services.mjs').Service} */
export const zookeeper = {
  name: 'zookeeper',
  title: 'ZooKeeper 3.6 or newer, as Debian packages it',
  variable: 'ONCELY_TEST_ZOOKEEPER_URL',
  debianPackages: ['zookeeper'],
  find: () => (findJava() !== undefined && existsSync(jar) ? jar : undefined),
  start,
  stopSignal: stopSignals[0],
  processOf,
}

/** @returns {string | undefined} */
function findJava() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...usualFolders]
  return folders.map((folder) => join(folder, 'java')).find(existsSync)
}

/**
 * @param {{ instance: string, detached: boolean }} options
 * @returns {Promise<import('../services.mjs').Started>}
 */
async function start({ instance, detached }) {
  const java = findJava()
  if (java === undefined || !existsSync(jar)) throw new Error(`${zookeeper.title} is not installed`)
  const place = placeFor(instance, {})
  const running = processOf(place)
  if (running !== undefined && isAlive(running, place)) throw new Error(`a ZooKeeper server (process ${running}) already uses ${place}`)
  for (let port = portFirst; port <= portLast; port++) {
    if (!(await isPortFree(port))) continue
    const server = launch(java, { place, port, detached })
    const answer = await untilReady(server, port)
    if (answer === 'ready') return { url: `127.0.0.1:${port}`, pid: server.pid ?? 0, place, stop: () => stopServers([server], stopSignals) }
    await stopServers([server], stopSignals)
    const log = readFileSync(join(place, 'log'), 'utf8')
    // Another server took the port between our look and its start: the next port is as good.
    if (!/already in use|BindException/i.test(log)) {
      throw new Error(`ZooKeeper did not start (${answer}):\n${log.trim().split('\n').slice(-12).join('\n')}`)
    }
  }
  throw new Error(`no free port between ${portFirst} and ${portLast} for ZooKeeper`)
}

/**
 * @param {string} java
 * @param {{ place: string, port: number, detached: boolean }} options
 */
function launch(java, { place, port, detached }) {
  const settings = {
    // Sessions may be as short as two ticks.
    ...{ tickTime: 200, dataDir: join(place, 'data'), clientPort: port, clientPortAddress: '127.0.0.1', forceSync: 'yes' },
    ...{ maxClientCnxns: 0, 'admin.enableServer': 'false', '4lw.commands.whitelist': 'ruok' },
  }
  const configuration = join(place, 'zoo.cfg')
  writeFileSync(
    configuration,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  const log = openSync(join(place, 'log'), 'w')
  const options = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', jar]
  const server = spawn(java, [...options, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', configuration], {
    cwd: place,
    detached,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  writeFileSync(join(place, 'pid'), String(server.pid ?? 0))
  if (detached) server.unref()
  return server
}

/** @param {import('node:child_process').ChildProcess} server @param {number} port */
async function untilReady(server, port) {
  const deadline = Date.now() + startMsMax
  while (Date.now() < deadline) {
    if (server.exitCode !== null || server.signalCode !== null) return `it ended with ${server.exitCode ?? server.signalCode}`
    if ((await ask(port, 'ruok').catch(() => '')) === 'imok') return 'ready'
    await delay(50)
  }
  return `no answer within ${startMsMax} ms`
}

/** @param {number} port @param {string} command @returns {Promise<string>} */
function ask(port, command) {
  return new Promise((resolve, reject) => {
    let said = ''
    const socket = connect(port, '127.0.0.1', () => socket.end(command))
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')))
    socket.on('data', (data) => {
      said += data
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(said))
  })
}

/** @param {string} place */
function processOf(place) {
  const file = join(place, 'pid')
  return existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : undefined
}
