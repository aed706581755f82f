// NATS 2.9 or newer with JetStream, its streams on disk. A server of our own: own folder, own port, loopback only.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { processesIn, startBroker, stopSignals } from './broker.mjs'

const versionMin = [2, 9]
const usualFolders = ['/usr/sbin', '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']

/** @type {import('../services.mjs').Service} */
export const nats = {
  name: 'nats',
  title: `NATS ${versionMin.join('.')} or newer`,
  variable: 'ONCELY_TEST_NATS_URL',
  debianPackages: ['nats-server'],
  find: findServer,
  start: (options) => startBroker(broker, options),
  stopSignal: stopSignals[0],
  processOf: processesIn,
}

/** @type {import('./broker.mjs').Broker} */
const broker = {
  name: 'NATS',
  portRange: [4422, 4522],
  portOffsets: [0],
  url: (port) => `nats://127.0.0.1:${port}`,
  launch: ({ place, ports, detached, log }) => {
    const options = ['--jetstream', '--store_dir', join(place, 'data'), '--addr', '127.0.0.1', '--port', String(ports[0])]
    return [spawn(findServer() ?? 'nats-server', options, { cwd: place, detached, stdio: ['ignore', log, log] })]
  },
  ask: async (port) => {
    const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false, timeout: 2_000 })
    try {
      await jetstreamManager(connection)
    } finally {
      await connection.close()
    }
  },
}

/** @returns {string | undefined} */
function findServer() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...usualFolders]
  const server = folders.map((folder) => join(folder, 'nats-server')).find(existsSync)
  if (server === undefined) return
  const [, major = '0', minor = '0'] = /v(\d+)\.(\d+)/.exec(execFileSync(server, ['--version'], { encoding: 'utf8' })) ?? []
  const [majorMin = 0, minorMin = 0] = versionMin
  return Number(major) > majorMin || (Number(major) === majorMin && Number(minor) >= minorMin) ? server : undefined
}
