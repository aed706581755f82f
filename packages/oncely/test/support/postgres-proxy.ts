import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What happens to one message of the client on its way to the server. */
export type Passage = 'forward' | 'forward-and-cut' | 'cut'

export interface PostgresProxy {
  /** The server's URL with the proxy's address in it. */
  readonly url: string
  /** Messages that the server answers since the last reset: each is one network round trip. */
  readonly roundTrips: readonly string[]
  reset(): void
  /** Decides about every later message; `text` is the SQL of a simple query, empty for others. */
  decide(by: (text: string) => Passage): void
  close(): Promise<void>
}

/**
 * Stands between a client and PostgreSQL, reads the client's side of the protocol, counts round trips, and cuts the client off
 * before or after a message has reached the server.
 */
export async function postgresProxy(serverUrl: string): Promise<PostgresProxy> {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  let roundTrips: string[] = []
  let decide: (text: string) => Passage = () => 'forward'

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    client.setNoDelay(true)
    upstream.setNoDelay(true)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    upstream.pipe(client)
    client.on('close', () => upstream.end())
    let buffered = Buffer.alloc(0)
    let started = false
    client.on('data', (chunk) => {
      buffered = Buffer.concat([buffered, chunk])
      for (;;) {
        const head = started ? 1 : 0
        if (buffered.length < head + 4) return
        const length = head + buffered.readInt32BE(head)
        if (buffered.length < length) return
        const message = buffered.subarray(0, length)
        buffered = buffered.subarray(length)
        const type = started ? String.fromCharCode(message[0] as number) : 'startup'
        started = true
        const text = type === 'Q' ? message.toString('utf8', 5, length - 1) : ''
        if (type === 'Q' || type === 'S') roundTrips.push(type === 'Q' ? text : 'Sync')
        const passage = type === 'Q' ? decide(text) : 'forward'
        if (passage === 'cut') {
          upstream.destroy()
          client.destroy()
          return
        }
        upstream.write(message)
        if (passage === 'forward-and-cut') {
          // The server gets the message and works on; only the way back is gone.
          upstream.unpipe(client)
          upstream.resume()
          client.destroy()
          return
        }
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(serverUrl)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    get roundTrips() {
      return roundTrips
    },
    reset: () => {
      roundTrips = []
    },
    decide: (by) => {
      decide = by
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
