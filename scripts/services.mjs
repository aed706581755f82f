// Starts the real servers that tests need, and stops them. One file a service in scripts/services/.
//
//   npm run services start [name…]     keeps them running until `stop`; `npm test` then uses them
//   npm run services stop [name…]
//   npm run services status
//   npm run services:install           installs what is missing (Debian packages, as root; Kafka through Maven)
//   npm run services hold <name>       one more server of a message broker, for whoever holds it: it obeys the lines `restart`,
//                                      `restart SIGKILL`, `SIGSTOP` and `SIGCONT` on its input, and ends with it
//
// The test runner calls `startServices`: each server is then a direct child of the runner, in a folder of its own that is
// removed with it, so that several runs at once do not meet.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { chromium } from './services/chromium.mjs'
import { etcd } from './services/etcd.mjs'
import { homes, isAlive } from './services/host.mjs'
import { kafka } from './services/kafka.mjs'
import { mariadb } from './services/mariadb.mjs'
import { nats } from './services/nats.mjs'
import { postgres } from './services/postgres.mjs'
import { rabbitmq } from './services/rabbitmq.mjs'
import { redis, redisCluster, redisNodes } from './services/redis.mjs'
import { zookeeper } from './services/zookeeper.mjs'
import { root } from './tools.mjs'

/**
 * @typedef {{ url: string, pid: number, companions?: readonly number[], place: string, stop: () => Promise<void>, restart?: (signal?: NodeJS.Signals) => Promise<void>, signal?: (signal: NodeJS.Signals) => void }} Started companions: further processes of a cluster
 * @typedef {object} Service
 * @property {string} name
 * @property {string} title what a reader calls it, with the oldest version that will do
 * @property {string} variable the environment variable through which tests get its URL
 * @property {readonly string[]} debianPackages
 * @property {() => void} [install] the rest of the installation, once those packages are there
 * @property {() => string | undefined} find where it is installed
 * @property {NodeJS.Signals | undefined} [stopSignal] what asks it to end without waiting for its clients; default SIGTERM
 * @property {(options: { instance: string, detached: boolean }) => Promise<Started>} [start] absent for a program that tests start themselves
 * @property {(place: string) => number | readonly number[] | undefined} processOf what serves a folder, to end what a killed runner left
 */

/** @type {readonly Service[]} */
const services = [postgres, mariadb, redis, redisCluster, redisNodes, etcd, zookeeper, chromium, kafka, rabbitmq, nats]

const stateFolder = join(root, '.cache/services')

/** Servers that this process started and that end with it. @type {Set<Started>} */
const children = new Set()

/**
 * Makes services reachable: by the URL that the environment gives, by what `npm run services start` left running, else by
 * starting them as children of this process.
 * @param {readonly string[]} names
 * @returns {Promise<Record<string, { url: string, reason?: undefined } | { url?: undefined, reason: string }>>}
 */
export async function startServices(names) {
  removeLeftovers()
  /** @type {Awaited<ReturnType<typeof startServices>>} */
  const reached = {}
  for (const service of names.map(named)) {
    const url = process.env[service.variable] || runningDetached(service)?.url
    if (url) {
      reached[service.name] = { url }
      continue
    }
    if (service.find() === undefined && process.env.CI === 'true') install([service])
    if (service.find() === undefined) {
      const reason = `${service.title} is not installed; run \`npm run services:install\` (Debian, as root) or set ${service.variable}`
      reached[service.name] = { reason }
      continue
    }
    if (service.start === undefined) {
      reached[service.name] = { url: service.find() ?? '' }
      continue
    }
    try {
      const started = await service.start({ instance: `${service.name}-${process.pid}`, detached: false })
      children.add(started)
      reached[service.name] = { url: started.url }
    } catch (error) {
      reached[service.name] = { reason: error instanceof Error ? error.message : String(error) }
    }
  }
  return reached
}

/** Stops what `startServices` started, and removes its data. */
export async function stopServices() {
  for (const started of children) {
    await started.stop()
    rmSync(started.place, { recursive: true, force: true })
    children.delete(started)
  }
}

/** For a process that is about to exit and cannot wait: its data goes with the next run. */
export function killServices() {
  for (const { pid, companions = [] } of children) for (const each of [pid, ...companions]) if (isAlive(each)) process.kill(each, 'SIGQUIT')
}

/** @param {string} name */
export function variableOf(name) {
  return named(name).variable
}

/** @param {string} name @returns {Service} */
function named(name) {
  const service = services.find((known) => known.name === name)
  if (service === undefined) throw new Error(`unknown service "${name}"; known: ${services.map((known) => known.name).join(', ')}`)
  return service
}

/** @param {readonly Service[]} wanted */
function install(wanted) {
  const missing = wanted.filter((service) => service.find() === undefined)
  const packages = missing.flatMap((service) => service.debianPackages)
  if (packages.length === 0) return
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).status !== 0) {
    console.error(`cannot install ${packages.join(', ')}: that takes apt-get and root; install them by hand`)
    return
  }
  const settings = { stdio: /** @type {const} */ ('inherit'), env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  spawnSync('apt-get', ['update', '-qq'], settings)
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], settings)
  for (const service of missing) service.install?.()
}

/** Ends servers, and removes folders, of runners that were killed before they could. */
function removeLeftovers() {
  for (const home of homes().filter(existsSync)) {
    for (const folder of readdirSync(home)) {
      const [, name, runner] = /^([a-z]+)-(\d+)$/.exec(folder) ?? []
      if (name === undefined || isAlive(Number(runner))) continue
      const place = join(home, folder)
      const servers = services.find((known) => known.name === name)?.processOf(place) ?? []
      for (const server of [servers].flat()) if (isAlive(server, place)) process.kill(server, 'SIGKILL')
      rmSync(place, { recursive: true, force: true })
    }
  }
}

/** @param {Service} service */
function stateFile(service) {
  return join(stateFolder, `${service.name}.json`)
}

/** @param {Service} service @returns {{ url: string, pid: number, companions?: readonly number[], place: string } | undefined} */
function runningDetached(service) {
  if (!existsSync(stateFile(service))) return
  const state = JSON.parse(readFileSync(stateFile(service), 'utf8'))
  return isAlive(state.pid, state.place) ? state : undefined
}

/** @param {Service} service */
async function startDetached(service) {
  if (service.start === undefined) return console.log(`${service.name}: nothing to start; tests start it themselves`)
  const running = runningDetached(service)
  if (running !== undefined) return console.log(`${service.name}: already runs, ${service.variable}=${running.url}`)
  const { url, pid, companions, place } = await service.start({ instance: service.name, detached: true })
  mkdirSync(stateFolder, { recursive: true })
  writeFileSync(stateFile(service), `${JSON.stringify({ url, pid, companions, place })}\n`)
  console.log(`${service.name}: ${service.variable}=${url}`)
}

/** @param {Service} service */
async function stopDetached(service) {
  const running = runningDetached(service)
  if (running === undefined) return console.log(`${service.name}: does not run`)
  for (const pid of [running.pid, ...(running.companions ?? [])]) {
    if (isAlive(pid, running.place)) process.kill(pid, service.stopSignal)
    while (isAlive(pid, running.place)) await delay(50)
  }
  rmSync(stateFile(service))
  console.log(`${service.name}: stopped; its data stays in ${running.place}`)
}

/** @param {Service} service */
async function hold(service) {
  removeLeftovers()
  const started = await service.start?.({ instance: `${service.name}-${process.pid}`, detached: false })
  if (started?.restart === undefined || started.signal === undefined) throw new Error(`${service.name} cannot be held`)
  children.add(started)
  process.on('exit', killServices)
  console.log(started.url)
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, signal] = /** @type {[string, NodeJS.Signals | undefined]} */ (line.split(' '))
    if (command === 'restart') await started.restart(signal)
    else started.signal(/** @type {NodeJS.Signals} */ (command))
    console.log(line)
  }
  started.signal('SIGCONT')
  await stopServices()
}

/** @param {Service} service */
function printStatus(service) {
  const running = runningDetached(service)
  console.log(`${service.name}: ${running?.url ?? 'does not run'}; ${service.title}: ${service.find() ?? 'not installed'}`)
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [command, ...names] = process.argv.slice(2)
  const chosen = names.length === 0 ? services : names.map(named)
  if (command === 'start') for (const service of chosen) await startDetached(service)
  else if (command === 'stop') for (const service of chosen) await stopDetached(service)
  else if (command === 'hold' && names.length === 1) for (const service of chosen) await hold(service)
  else if (command === 'status') chosen.forEach(printStatus)
  else if (command === 'install') {
    install(chosen)
    chosen.forEach(printStatus)
    if (chosen.some((service) => service.find() === undefined)) process.exitCode = 1
  } else {
    console.error('usage: npm run services start|stop|status|install [name…], or hold <name>')
    process.exitCode = 1
  }
}
