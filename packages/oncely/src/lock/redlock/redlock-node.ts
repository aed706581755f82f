import { ConfigurationError } from '../../core/index.ts'

/** A client of `ioredis` as far as it is called. */
interface IoredisLike {
  call(command: string, ...args: string[]): Promise<unknown>
}

/** A client of `redis` as far as it is called. */
interface NodeRedisLike {
  sendCommand(args: string[]): Promise<unknown>
}

/** A client of one server, of `ioredis` or `redis`, connected by the user. */
export type RedlockClient = IoredisLike | NodeRedisLike

/** Sends one command to one server. */
export type RedlockNode = (command: string, ...args: string[]) => Promise<unknown>

export function redlockNode(client: RedlockClient): RedlockNode {
  // A client of ioredis has a sendCommand too, which takes something else.
  if ('call' in client && typeof client.call === 'function') return (command, ...args) => client.call(command, ...args)
  if ('sendCommand' in client && typeof client.sendCommand === 'function')
    return (command, ...args) => (client as NodeRedisLike).sendCommand([command, ...args])
  throw new ConfigurationError('A client of redlock must be one of ioredis (it has call) or of redis (it has sendCommand).')
}
