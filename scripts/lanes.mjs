// The lanes of `npm test`. Each test file belongs to exactly one vitest lane, by its place in packages/oncely/test, or
// in packages/server/test as server/…; a file that no lane runs is a failure of the run.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './tools.mjs'

/**
 * @typedef {object} Lane
 * @property {string} name
 * @property {string} about what it proves, for CONTRIBUTING.md and the closing table
 * @property {readonly string[]} [needs] services that must run
 * @property {readonly RegExp[]} [tests] which files it runs, by their place below test/
 * @property {boolean} [coverage] holds the coverage thresholds of vitest.config.ts
 * @property {string} [program] a compiled program that must end with exit code 0
 * @property {readonly string[]} [repeats] other lanes, run again on Node 24
 * @property {string} [unavailable] why it runs nowhere yet
 */

const onPostgres = /^((store|inbox)\/postgres|lock\/postgres|transaction\/(?!sqlite|mysql)|process\/postgres|server\/postgres)/
const onRedis = /^((store|process)\/redis|(lock|process)\/redlock)/
const onEtcd = /^((store|lock|process)\/etcd|etcd\/)/
const onZookeeper = /^(lock|process)\/zookeeper/
const onMysql = /^((store|inbox)\/mysql|transaction\/mysql2|process\/mysql)/
const onKafka = /^(consumer|process)\/kafka/
const onRabbitmq = /^(consumer|process)\/rabbitmq/
const onNats = /^(consumer|process)\/nats/

/** @type {readonly Lane[]} */
export const lanes = [
  { name: 'check', about: 'build, format and lint, import rules, dead code, package checks' },
  {
    name: 'unit',
    about: 'core, HTTP contract, adapters, webhooks, schedules, outbox, client, memory store, package',
    tests: [/^(core|platform|http|adapter|client|webhook|schedule|outbox|testing|package)\//, /^store\/memory/],
    coverage: true,
  },
  { name: 'sqlite', about: 'SQLite store and transactions', tests: [/^(store|transaction|inbox)\/sqlite/] },
  { name: 'postgres', about: 'PostgreSQL store, transactions and locks, on a real server', needs: ['postgres'], tests: [onPostgres] },
  { name: 'server', about: 'gateway and command line, as real processes', tests: [/^server\/(?!postgres)/] },
  { name: 'mysql', about: 'MySQL store and transactions, on a real MariaDB', needs: ['mariadb'], tests: [onMysql] },
  {
    name: 'redis',
    about: 'Redis store, cache and locks, on a server, a cluster and three servers',
    needs: ['redis', 'rediscluster', 'redisnodes'],
    tests: [onRedis],
  },
  { name: 'etcd', about: 'etcd store and locks, on a real cluster of three, also while its nodes fail', needs: ['etcd'], tests: [onEtcd] },
  { name: 'zookeeper', about: 'ZooKeeper locks, on a real server', needs: ['zookeeper'], tests: [onZookeeper] },
  { name: 'kafka', about: 'a real Kafka broker, killed and started again', needs: ['kafka'], tests: [onKafka] },
  { name: 'rabbitmq', about: 'a real RabbitMQ, restarted', needs: ['rabbitmq'], tests: [onRabbitmq] },
  { name: 'nats', about: 'a real NATS server with JetStream, killed and started again', needs: ['nats'], tests: [onNats] },
  {
    name: 'process',
    about: 'processes killed, stopped and restarted',
    tests: [/^process\/(?!postgres|mysql|redis|redlock|etcd|zookeeper|kafka|rabbitmq|nats)/],
  },
  { name: 'browser', about: 'the client in a real browser, across origins and reloads', needs: ['chromium'], tests: [/^browser\//] },
  { name: 'sim', about: 'deterministic simulation', tests: [/^sim\//] },
  { name: 'planted', about: 'planted bugs that the tests must see', tests: [/^planted\//] },
  { name: 'demo', about: 'the demo, from start to end', program: 'examples/.build/demo/main.js' },
  { name: 'node24', about: 'unit and sqlite again, on Node 24', repeats: ['unit', 'sqlite'] },
]

/** Where tests lie, and what stands before their places. @type {readonly (readonly [folder: string, prefix: string])[]} */
const testFolders = [
  ['packages/oncely/test', ''],
  ['packages/server/test', 'server/'],
]

/** Every test file: its path, relative to the repository, and its place. */
function testFiles() {
  return testFolders.flatMap(([folder, prefix]) => {
    if (!existsSync(join(root, folder))) return []
    return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((file) => file.replaceAll('\\', '/'))
      .filter((file) => file.endsWith('.test.ts'))
      .sort()
      .map((file) => ({ file: `${folder}/${file}`, place: prefix + file }))
  })
}

/**
 * The test files of a lane, relative to the repository.
 * @param {Lane} lane
 * @returns {string[]}
 */
export function filesOf(lane) {
  if (lane.repeats !== undefined) return lanes.filter(({ name }) => lane.repeats?.includes(name)).flatMap(filesOf)
  return testFiles()
    .filter(({ place }) => lane.tests?.some((pattern) => pattern.test(place)))
    .map(({ file }) => file)
}

/** Test files that no lane runs, or that two lanes run: mistakes in the table above. */
export function misplacedFiles() {
  const lanesOf = (/** @type {string} */ place) =>
    lanes.filter((lane) => lane.tests?.some((pattern) => pattern.test(place))).map(({ name }) => name)
  return testFiles()
    .map(({ file, place }) => ({ file, lanes: lanesOf(place) }))
    .filter(({ lanes }) => lanes.length !== 1)
}
