// What the message brokers' services have in common: free ports, one folder each, and a start that waits until clients are served.
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, isPortFree, placeFor, stopServers } from './host.mjs'

const startMsMax = 90_000
/** From the kindest on. @type {readonly NodeJS.Signals[]} */
export const stopSignals = ['SIGTERM', 'SIGKILL']

/**
 * @typedef {import('node:child_process').ChildProcess} ChildProcess
 * @typedef {object} Launch
 * @property {string} place
 * @property {readonly number[]} ports
 * @property {boolean} detached
 * @property {number} log what standard output and error go to
 *
 * @typedef {object} Broker
 * @property {string} name
 * @property {readonly [first: number, last: number]} portRange
 * @property {readonly number[]} portOffsets the ports it takes, from its first one on
 * @property {(launch: Launch) => readonly ChildProcess[]} launch the broker, then its companions
 * @property {(port: number) => Promise<void>} ask throws until clients are served
 * @property {(port: number) => string} url
 */

/**
 * @param {Broker} broker
 * @param {{ instance: string, detached: boolean }} options
 * @returns {Promise<import('../services.mjs').Started>}
 */
export async function startBroker(broker, { instance, detached }) {
  const place = placeFor(instance, {})
  const [running] = processesIn(place)
  if (running !== undefined && isAlive(running, place)) throw new Error(`${broker.name} (process ${running}) already uses ${place}`)
  const [first, last] = broker.portRange
  for (let port = first; port <= last; port++) {
    const ports = broker.portOffsets.map((offset) => port + offset)
    if ((await Promise.all(ports.map(isPortFree))).includes(false)) continue
    let servers = launchIn(place, broker, ports, detached)
    const answer = await untilReady(broker, servers, port)
    if (answer === 'ready') {
      return {
        url: broker.url(port),
        pid: servers[0]?.pid ?? 0,
        companions: servers.slice(1).map(({ pid }) => pid ?? 0),
        place,
        stop: () => stopServers(servers, stopSignals),
        restart: async (signal) => {
          await stopServers(servers, signal === undefined ? stopSignals : [signal])
          servers = launchIn(place, broker, ports, detached)
          const again = await untilReady(broker, servers, port)
          if (again !== 'ready') throw new Error(notStarted(broker, again, place))
        },
        signal: (signal) => {
          servers[0]?.kill(signal)
        },
      }
    }
    await stopServers(servers, stopSignals)
    // Another server took the port between our look and its start: the next port is as good.
    if (!/already in use|eaddrinuse|failed to bind|could not be bound/i.test(readFileSync(join(place, 'log'), 'utf8'))) {
      throw new Error(notStarted(broker, answer, place))
    }
  }
  throw new Error(`no free port between ${first} and ${last} for ${broker.name}`)
}

/** @param {string} place @param {Broker} broker @param {readonly number[]} ports @param {boolean} detached */
function launchIn(place, broker, ports, detached) {
  const log = openSync(join(place, 'log'), 'w')
  const servers = broker.launch({ place, ports, detached, log })
  closeSync(log)
  writeFileSync(join(place, 'pids'), servers.map(({ pid }) => pid).join('\n'))
  if (detached) for (const server of servers) server.unref()
  return servers
}

/** @param {Broker} broker @param {readonly ChildProcess[]} servers @param {number} port */
async function untilReady(broker, servers, port) {
  const deadline = Date.now() + startMsMax
  let last = ''
  while (Date.now() < deadline) {
    const ended = servers.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null)
    if (ended !== undefined) return `${ended.spawnfile} ended with ${ended.exitCode ?? ended.signalCode}`
    try {
      await broker.ask(port)
      return 'ready'
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    await delay(50)
  }
  return `no answer within ${startMsMax} ms; ${last}`
}

/** @param {Broker} broker @param {string} answer @param {string} place */
function notStarted(broker, answer, place) {
  const log = readFileSync(join(place, 'log'), 'utf8').trim().split('\n').slice(-12).join('\n')
  return `${broker.name} did not start (${answer}):\n${log}`
}

/** @param {string} place @returns {number[]} */
export function processesIn(place) {
  try {
    return readFileSync(join(place, 'pids'), 'utf8').split('\n').map(Number)
  } catch {
    return []
  }
}
