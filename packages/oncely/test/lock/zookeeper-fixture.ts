import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import zookeeper, { type Client } from 'node-zookeeper-client'

export const address: string = process.env['ONCELY_TEST_ZOOKEEPER_URL'] ?? missing()

function missing(): never {
  throw new Error(
    'ONCELY_TEST_ZOOKEEPER_URL is not set: run `npm test -- zookeeper`, or `npm run services start zookeeper` and use the URL it prints.',
  )
}

export function newRoot(): string {
  return `/t-${randomBytes(6).toString('hex')}`
}

const expired = new WeakSet<Client>()

export function connected(sessionTimeout: number, at: string = address): Client {
  const client = zookeeper.createClient(at, { sessionTimeout, spinDelay: 50 })
  client.once('expired', () => expired.add(client))
  client.connect()
  return client
}

/** The client cannot be closed while it is not connected, nor when its session is over. */
export async function disconnect(client: Client): Promise<void> {
  while (!expired.has(client) && client.getState() !== zookeeper.State.SYNC_CONNECTED) {
    await Promise.race([once(client, 'connected'), once(client, 'expired')])
  }
  if (!expired.has(client)) client.close()
}

/** Ends a client's session from another connection, which ZooKeeper allows to whoever knows its password. */
export async function endSession(client: Client): Promise<void> {
  const [host = '', port = ''] = address.split(':')
  while (!expired.has(client)) {
    const told = Promise.race([once(client, 'expired'), once(client, 'connected')])
    const password = client.getSessionPassword()
    const hello = Buffer.alloc(45)
    hello.writeInt32BE(client.getSessionTimeout(), 12)
    client.getSessionId().copy(hello, 16)
    hello.writeInt32BE(password.length, 24)
    password.copy(hello, 28)
    const close = Buffer.alloc(8)
    close.writeInt32BE(1, 0)
    close.writeInt32BE(-11, 4)
    const socket = connect(Number(port), host)
    socket.resume().on('error', () => {})
    socket.write(Buffer.concat([framed(hello), framed(close)]))
    // The client may connect again before its session is closed, and then takes it back.
    await told
    socket.destroy()
  }
}

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(message.length)
  return Buffer.concat([length, message])
}
