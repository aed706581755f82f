// Apache Kafka, one node that is broker and controller (KRaft), on Java 17. Its jars come through Maven into the user's cache folder.
// A server of our own: own folder, own ports, loopback only.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import kafkajs from 'kafkajs'
import { root } from '../tools.mjs'
import { processesIn, startBroker, stopSignals } from './broker.mjs'

const javaVersionMin = 17
const pom = join(root, 'scripts/services/kafka/pom.xml')
const version = /<artifactId>kafka_2\.13<\/artifactId>\s*<version>([\d.]+)</.exec(readFileSync(pom, 'utf8'))?.[1] ?? ''
const jars = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'oncely', `kafka-${version}`)
/** Of the one cluster of a broker of ours; any 16 bytes in this spelling will do. */
const clusterId = 'b25jZWx5LWthZmthLTAwMQ'
const partitionsDefault = 3

/** @type {import('../services.mjs').Service} */
export const kafka = {
  name: 'kafka',
  title: `Kafka ${version} on Java ${javaVersionMin} or newer`,
  variable: 'ONCELY_TEST_KAFKA_URL',
  debianPackages: ['default-jre-headless', 'maven'],
  install,
  find: () => (existsSync(jars) && hasJava() ? jars : undefined),
  start: (options) => startBroker(broker, options),
  stopSignal: stopSignals[0],
  processOf: processesIn,
}

/** @type {import('./broker.mjs').Broker} */
const broker = {
  name: 'Kafka',
  portRange: [9944, 9994],
  // Clients, controllers.
  portOffsets: [0, 100],
  url: (port) => `kafka://127.0.0.1:${port}`,
  launch: ({ place, ports: [port = 0, controller = 0], detached, log }) => {
    const settings = join(place, 'server.properties')
    writeFileSync(settings, propertiesOf(place, port, controller))
    if (!existsSync(join(place, 'data/meta.properties'))) format(settings)
    const options = ['-Xmx384m', '-Xms128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', `${jars}/*`, 'kafka.Kafka', settings]
    return [spawn('java', options, { cwd: place, detached, stdio: ['ignore', log, log] })]
  },
  ask: async (port) => {
    const client = new kafkajs.Kafka({
      brokers: [`127.0.0.1:${port}`],
      connectionTimeout: 2_000,
      requestTimeout: 2_000,
      logLevel: kafkajs.logLevel.NOTHING,
      retry: { retries: 0 },
    })
    const admin = client.admin()
    await admin.connect()
    try {
      const { brokers } = await admin.describeCluster()
      if (brokers.length === 0) throw new Error('no broker has joined yet')
    } finally {
      await admin.disconnect()
    }
  },
}

/** @param {string} place @param {number} port @param {number} controller */
function propertiesOf(place, port, controller) {
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(place, 'data'),
    'num.partitions': partitionsDefault,
    'offsets.topic.num.partitions': 1,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'auto.create.topics.enable': false,
    'group.initial.rebalance.delay.ms': 0,
    // Sessions as short as a test may want them.
    'group.min.session.timeout.ms': 1_000,
    'log.cleaner.enable': false,
  }
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** @param {string} settings */
function format(settings) {
  const options = ['-XX:TieredStopAtLevel=1', '-cp', `${jars}/*`, 'kafka.tools.StorageTool']
  const formatted = spawnSync('java', [...options, 'format', '-t', clusterId, '-c', settings], { encoding: 'utf8' })
  if (formatted.status !== 0) throw new Error(`Kafka's folder was not made: ${formatted.error?.message ?? formatted.stderr}`)
}

function hasJava() {
  const { stderr = '' } = spawnSync('java', ['-version'], { encoding: 'utf8' })
  const [, major = '0'] = /version "(\d+)/.exec(stderr ?? '') ?? []
  return Number(major) >= javaVersionMin
}

/** Whole or not at all: a half-filled folder would look installed. */
function install() {
  if (existsSync(jars)) return
  const filling = `${jars}.${process.pid}`
  mkdirSync(filling, { recursive: true })
  const options = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${filling}`, '-DincludeScope=runtime']
  const fetched = spawnSync('mvn', options, { stdio: 'inherit' })
  if (fetched.status === 0 && readdirSync(filling).length > 0 && !existsSync(jars)) renameSync(filling, jars)
  else rmSync(filling, { recursive: true, force: true })
}
