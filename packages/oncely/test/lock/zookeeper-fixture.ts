import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
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

/** Longest wait for a client to connect again before it is given up: after some losses it never does, and never says so. */
const closeMs = 5_000

/** A client that is not connected cannot be closed, nor one whose session is over. */
export async function disconnect(client: Client): Promise<void> {
  const giveUp = delay(closeMs, undefined, { ref: false })
  const untilConnected = async (): Promise<void> => {
    while (!expired.has(client) && client.getState() !== zookeeper.State.SYNC_CONNECTED) {
      await Promise.race([once(client, 'connected'), once(client, 'expired')])
    }
  }
  await Promise.race([untilConnected(), giveUp])
  if (client.getState() === zookeeper.State.SYNC_CONNECTED) client.close()
}

/** Bytes of the answers to a connection that takes a session over, and to the end of the session. */
const answerBytes = { connect: 41, close: 20 } as const

/** Ends a client's session from another connection, which ZooKeeper allows to whoever knows its password. */
export async function endSession(client: Client): Promise<void> {
  while (!(await tryEndSession(client)));
  expired.add(client)
}

/** False when the client took its session back before the end of it was heard. */
async function tryEndSession(client: Client): Promise<boolean> {
  const [host = '', port = ''] = address.split(':')
  const password = client.getSessionPassword()
  const hello = Buffer.alloc(45)
  hello.writeInt32BE(client.getSessionTimeout(), 12)
  client.getSessionId().copy(hello, 16)
  hello.writeInt32BE(password.length, 24)
  password.copy(hello, 28)
  const close = Buffer.alloc(8)
  close.writeInt32BE(1, 0)
  close.writeInt32BE(-11, 4)
  let said = Buffer.alloc(0)
  const socket = connect(Number(port), host)
  socket.on('error', () => {})
  // Whoever gets no answer tries again.
  socket.setTimeout(1_000, () => socket.destroy())
  socket.on('data', (part) => {
    const greeted = said.length >= answerBytes.connect
    said = Buffer.concat([said, part])
    if (!greeted && said.length >= answerBytes.connect) socket.write(framed(close))
    if (said.length >= answerBytes.connect + answerBytes.close) socket.destroy()
  })
  socket.write(framed(hello))
  await once(socket, 'close')
  const wasOver = said.length >= answerBytes.connect && said.readInt32BE(8) === 0
  return wasOver || said.length >= answerBytes.connect + answerBytes.close
}

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(message.length)
  return Buffer.concat([length, message])
}
