import { ConfigurationError } from '../../core/index.ts'

/** What is called of `ioredis` 5: a `Redis`, also one behind Sentinels, or a `Cluster`. */
export interface IoredisClient {
  readonly options?: object
  callBuffer(command: string, args: (string | Buffer)[]): Promise<unknown>
}

export interface IoredisCluster extends IoredisClient {
  nodes(role: 'master'): IoredisClient[]
}

/** What is called of `redis` (node-redis) 5 and newer: what `createClient` makes. */
export interface NodeRedisClient {
  sendCommand(args: readonly (string | Buffer)[], options?: NodeRedisReading): Promise<unknown>
}

/** What `createCluster` makes. */
export interface NodeRedisCluster {
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean | undefined,
    args: readonly (string | Buffer)[],
    options?: NodeRedisReading,
  ): Promise<unknown>
  readonly masters: readonly unknown[]
  nodeClient(node: never): Promise<NodeRedisClient>
}

/** What `createSentinel` makes. */
export interface NodeRedisSentinel {
  sendCommand(isReadonly: boolean | undefined, args: readonly (string | Buffer)[], options?: NodeRedisReading): Promise<unknown>
  getMasterNode(): unknown
}

interface NodeRedisReading {
  readonly typeMapping?: Readonly<Record<number, unknown>>
}

/** A connected client of yours; you choose its version, time-outs and retries, and close it. */
export type RedisClient = IoredisClient | IoredisCluster | NodeRedisClient | NodeRedisCluster | NodeRedisSentinel

/** A reply as the server sent it; texts are bytes. */
export type RedisReply = Buffer | string | number | null | readonly RedisReply[]

export type RedisArgument = string | Uint8Array

/** One way to speak to every client: a command goes to the server that holds `key`. */
export interface RedisLink {
  call(key: string, command: string, args: readonly RedisArgument[]): Promise<RedisReply>
  /** One command on every server that takes writes. */
  callEach(command: string, args: readonly RedisArgument[]): Promise<readonly RedisReply[]>
  /** Commands of one key that are sent together reach the server on one connection, or fail. */
  readonly ordered: boolean
}

/**
 * Finds out which client was handed in.
 *
 * @throws ConfigurationError when it is none of the known ones.
 */
export function redisLink(client: RedisClient): RedisLink {
  if (isIoredis(client)) return ioredisLink(client)
  if (isNodeRedisCluster(client)) return nodeRedisClusterLink(client)
  if (isNodeRedisSentinel(client)) return nodeRedisSentinelLink(client)
  if (isNodeRedis(client)) return nodeRedisLink(client)
  throw new ConfigurationError(
    'This is no Redis client that is known: hand in a Redis or Cluster of ioredis, or what createClient, createCluster or createSentinel of redis makes.',
  )
}

function ioredisLink(client: IoredisClient | IoredisCluster): RedisLink {
  const call = async (server: IoredisClient, command: string, args: readonly RedisArgument[]): Promise<RedisReply> =>
    (await server.callBuffer(command, args.map(sendable))) as RedisReply
  return {
    call: (_key, command, args) => call(client, command, args),
    callEach: (command, args) =>
      Promise.all(('nodes' in client ? client.nodes('master') : [client]).map((server) => call(server, command, args))),
    ordered: !('nodes' in client) && resendsNothing(client),
  }
}

function resendsNothing({ options }: IoredisClient): boolean {
  return options !== undefined && 'autoResendUnfulfilledCommands' in options && options.autoResendUnfulfilledCommands === false
}

/** Texts come as bytes: a stored outcome is not text. 36 is the type of bulk strings in the protocol. */
const asBytes: NodeRedisReading = { typeMapping: { 36: Buffer } }

function nodeRedisLink(client: NodeRedisClient): RedisLink {
  const call = async (command: string, args: readonly RedisArgument[]): Promise<RedisReply> =>
    (await client.sendCommand([command, ...args.map(sendable)], asBytes)) as RedisReply
  return {
    call: (_key, command, args) => call(command, args),
    callEach: async (command, args) => [await call(command, args)],
    ordered: true,
  }
}

function nodeRedisClusterLink(client: NodeRedisCluster): RedisLink {
  return {
    call: async (key, command, args) => (await client.sendCommand(key, false, [command, ...args.map(sendable)], asBytes)) as RedisReply,
    callEach: (command, args) =>
      Promise.all(
        client.masters.map(async (node) => {
          const server = await client.nodeClient(node as never)
          return (await server.sendCommand([command, ...args.map(sendable)], asBytes)) as RedisReply
        }),
      ),
    // A write follows its slot to another server; WAIT has no key, and would ask the one that held the slot before.
    ordered: false,
  }
}

function nodeRedisSentinelLink(client: NodeRedisSentinel): RedisLink {
  const call = async (command: string, args: readonly RedisArgument[]): Promise<RedisReply> =>
    (await client.sendCommand(false, [command, ...args.map(sendable)], asBytes)) as RedisReply
  // It keeps a pool of connections, so two commands may go two ways.
  return {
    call: (_key, command, args) => call(command, args),
    callEach: async (command, args) => [await call(command, args)],
    ordered: false,
  }
}

function isIoredis(client: RedisClient): client is IoredisClient | IoredisCluster {
  return 'callBuffer' in client && typeof client.callBuffer === 'function'
}

function isNodeRedisCluster(client: RedisClient): client is NodeRedisCluster {
  return 'nodeClient' in client && typeof client.nodeClient === 'function'
}

function isNodeRedisSentinel(client: RedisClient): client is NodeRedisSentinel {
  return 'getMasterNode' in client && typeof client.getMasterNode === 'function'
}

function isNodeRedis(client: RedisClient): client is NodeRedisClient {
  return 'sendCommand' in client && typeof client.sendCommand === 'function'
}

function sendable(value: RedisArgument): string | Buffer {
  if (typeof value === 'string' || Buffer.isBuffer(value)) return value
  return Buffer.from(value.buffer, value.byteOffset, value.length)
}
