// RabbitMQ 3.10 or newer: quorum queues on disk. A server of our own: own node name, folder and ports, loopback only, and a port
// mapper (epmd) of its own, which Erlang needs and which ends with it.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import amqp from 'amqplib'
import { processesIn, startBroker, stopSignals } from './broker.mjs'

const versionMin = [3, 10]
const erlangFolder = '/usr/lib/rabbitmq/lib'

/** @type {import('../services.mjs').Service} */
export const rabbitmq = {
  name: 'rabbitmq',
  title: `RabbitMQ ${versionMin.join('.')} or newer`,
  variable: 'ONCELY_TEST_RABBITMQ_URL',
  debianPackages: ['rabbitmq-server'],
  find: () => findPrograms()?.server,
  start: (options) => startBroker(broker, options),
  stopSignal: stopSignals[0],
  processOf: processesIn,
}

/** @type {import('./broker.mjs').Broker} */
const broker = {
  name: 'RabbitMQ',
  portRange: [5772, 5872],
  // Clients, nodes of a cluster, port mapper.
  portOffsets: [0, 20_000, 22_000],
  url: (port) => `amqp://guest:guest@127.0.0.1:${port}`,
  launch: ({ place, ports: [port = 0, nodes = 0, mapper = 0], detached, log }) => {
    const programs = findPrograms()
    if (programs === undefined) throw new Error(`${rabbitmq.title} is not installed`)
    mkdirSync(join(place, 'data'), { recursive: true })
    writeFileSync(join(place, 'plugins'), '[].\n')
    writeFileSync(
      join(place, 'rabbitmq.conf'),
      [`listeners.tcp.local = 127.0.0.1:${port}`, 'disk_free_limit.absolute = 50MB', 'log.console.level = warning', ''].join('\n'),
    )
    const environment = {
      ...process.env,
      HOME: place,
      // Erlang itself instead of a shell that waits for it: a signal reaches the broker.
      detached: '1',
      ERL_EPMD_PORT: String(mapper),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: `oncely-${port}@localhost`,
      RABBITMQ_DIST_PORT: String(nodes),
      RABBITMQ_CONFIG_FILE: join(place, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(place, 'plugins'),
      RABBITMQ_MNESIA_BASE: join(place, 'data'),
      RABBITMQ_LOG_BASE: place,
      RABBITMQ_LOGS: '-',
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}`,
    }
    // By this name its command line tells whose it is.
    const mapperProgram = join(place, 'epmd')
    if (!existsSync(mapperProgram)) symlinkSync(programs.mapper, mapperProgram)
    const settings = {
      cwd: place,
      env: environment,
      detached,
      stdio: /** @type {import('node:child_process').StdioOptions} */ (['ignore', log, log]),
    }
    const companion = spawn(mapperProgram, ['-port', String(mapper), '-address', '127.0.0.1'], settings)
    return [spawn(programs.server, [], settings), companion]
  },
  ask: async (port) => {
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${port}`, { timeout: 2_000 })
    // A broker that stops while we ask.
    connection.on('error', () => {})
    await connection.close()
    await delay(0)
  },
}

/** Debian's own script insists on its one folder and its one user; the one below it does not. */
function findPrograms() {
  const fileOf = (/** @type {string} */ name, /** @type {readonly string[]} */ folders) =>
    folders.map((folder) => join(folder, name)).find(existsSync)
  const usual = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/bin', '/opt/homebrew/bin', '/opt/homebrew/sbin']
  const server = fileOf('rabbitmq-server', ['/usr/lib/rabbitmq/bin', ...usual])
  const mapper = fileOf('epmd', usual)
  if (server === undefined || mapper === undefined) return
  const installed = existsSync(erlangFolder) ? readdirSync(erlangFolder).join(' ') : ''
  const [, major, minor] = /rabbitmq_server-(\d+)\.(\d+)/.exec(installed) ?? []
  const [majorMin = 0, minorMin = 0] = versionMin
  // Elsewhere the folder does not tell the version; the tests would.
  const isOld = major !== undefined && (Number(major) < majorMin || (Number(major) === majorMin && Number(minor) < minorMin))
  return isOld ? undefined : { server, mapper }
}
