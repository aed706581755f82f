// A TCP proxy before a database, in a process of its own: it counts round trips as they cross the wire, and can make each way
// longer. A round trip is what a client sends after the server has answered what it sent before.
import { connect, createServer, type Socket } from 'node:net'
import { answerParent } from './child.ts'

export interface ProxyOptions {
  readonly host: string
  readonly port: number
  /** Added to each way, in milliseconds. */
  readonly delayMs: number
}

let roundTrips = 0

const answers = {
  /** Listens on a port of its own and answers with it. */
  listen: (options: ProxyOptions): Promise<number> => listen(options),
  /** Round trips of all connections since the last time that somebody asked. */
  takeRoundTrips: (): number => {
    const taken = roundTrips
    roundTrips = 0
    return taken
  },
}

export type ProxyAnswers = typeof answers

answerParent(answers)

function listen({ host, port, delayMs }: ProxyOptions): Promise<number> {
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host, port, noDelay: true })
    let answered = true
    forward(client, upstream, delayMs, () => {
      if (answered) roundTrips++
      answered = false
    })
    forward(upstream, client, delayMs, () => {
      answered = true
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
      resolve(address.port)
    })
  })
}

function forward(from: Socket, to: Socket, delayMs: number, onBytes: () => void): void {
  from.on('data', (bytes) => {
    onBytes()
    if (delayMs === 0) to.write(bytes)
    else later(delayMs, () => to.write(bytes))
  })
  from.once('close', () => to.destroy())
  from.on('error', () => to.destroy())
}

interface Due {
  readonly atMs: number
  readonly run: () => void
}

/** In the order of their time, as every delay is the same. */
const due: Due[] = []
const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))
const napMsMax = 0.1

/** Node's timers know whole milliseconds only, so a shorter delay naps in small pieces and looks at the sockets in between. */
function later(delayMs: number, run: () => void): void {
  due.push({ atMs: performance.now() + delayMs, run })
  if (due.length === 1) setImmediate(nap)
}

function nap(): void {
  const next = due[0]
  if (next === undefined) return
  const leftMs = next.atMs - performance.now()
  if (leftMs > 0) Atomics.wait(nobodyWakes, 0, 0, Math.min(leftMs, napMsMax))
  const nowMs = performance.now()
  while (due[0] !== undefined && due[0].atMs <= nowMs) due.shift()?.run()
  if (due.length > 0) setImmediate(nap)
}
