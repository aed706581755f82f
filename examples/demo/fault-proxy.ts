import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Draw } from './seeded-random.ts'

/** What happens to one request on its way. */
type Fault =
  | 'none'
  /** The API gets the request and answers; the customer gets a broken connection. */
  | 'answer-dropped'
  /** The same bytes go out twice on two connections at once, as a mesh does that hedges. */
  | 'repeated-at-once'
  /** The same bytes go out again when the answer is long there, as a mesh does that retries. */
  | 'repeated-later'
  /** The connection breaks before the request has left. */
  | 'reset-before'
  /** Both connections break while the API is at work. */
  | 'reset-during'

/** In a hundred requests. */
const shares: Readonly<Record<Exclude<Fault, 'none'>, number>> = {
  'answer-dropped': 12,
  'repeated-at-once': 10,
  'repeated-later': 8,
  'reset-before': 6,
  'reset-during': 8,
}

const laterMsMax = 400
const exchangeMsMax = 10_000

/** Stands before the API on a port of its own, knows nothing of HTTP but where a message ends, and breaks what the seed says. */
export class FaultProxy {
  readonly counts: Record<Fault, number> = {
    none: 0,
    'answer-dropped': 0,
    'repeated-at-once': 0,
    'repeated-later': 0,
    'reset-before': 0,
    'reset-during': 0,
  }
  /** Requests that the API has and has not answered yet. */
  running = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #later = new Set<Promise<unknown>>()
  readonly #draw: Draw
  /** The API's port right now; it changes with every restart. */
  readonly #upstreamPort: () => number

  constructor(draw: Draw, upstreamPort: () => number) {
    this.#draw = draw
    this.#upstreamPort = upstreamPort
    this.#server = createServer({ noDelay: true }, (customer) => this.#serve(customer))
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Resolves when no repeated request is under way any more. */
  async settle(): Promise<void> {
    while (this.#later.size > 0) await Promise.all(this.#later)
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #serve(customer: Socket): void {
    this.#keep(customer)
    let pending: Buffer = Buffer.alloc(0)
    let busy = false
    const next = async (): Promise<void> => {
      const length = messageLength(pending)
      if (busy || length === undefined) return
      busy = true
      const request = pending.subarray(0, length)
      pending = pending.subarray(length)
      // Whatever goes wrong between here and the API, the customer sees a connection that breaks.
      await this.#forward(customer, request).catch(() => customer.resetAndDestroy())
      busy = false
      if (!customer.destroyed) await next()
    }
    customer.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk])
      void next()
    })
  }

  async #forward(customer: Socket, request: Buffer): Promise<void> {
    const fault = this.#drawFault()
    this.counts[fault]++
    switch (fault) {
      case 'none':
        customer.write(await this.#exchange(request))
        return
      case 'answer-dropped':
        await this.#exchange(request)
        customer.destroy()
        return
      case 'repeated-at-once':
        this.#after(0, request)
        customer.write(await this.#exchange(request))
        return
      case 'repeated-later':
        customer.write(await this.#exchange(request))
        this.#after(this.#draw() * laterMsMax, request)
        return
      case 'reset-before':
        customer.resetAndDestroy()
        return
      case 'reset-during':
        await this.#breakOff(request)
        customer.resetAndDestroy()
        return
      default:
        return fault satisfies never
    }
  }

  #drawFault(): Fault {
    let left = this.#draw() * 100
    for (const [fault, share] of Object.entries(shares) as [Fault, number][]) {
      left -= share
      if (left < 0) return fault
    }
    return 'none'
  }

  /** Sends the same bytes once more; nobody reads the answer. */
  #after(delayMs: number, request: Buffer): void {
    const repeat = delay(delayMs)
      .then(() => this.#exchange(request))
      .then(
        () => {},
        () => {},
      )
      .finally(() => this.#later.delete(repeat))
    this.#later.add(repeat)
  }

  /** Sends the request on a connection of its own and answers the whole response. */
  #exchange(request: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const upstream = this.#connect(request)
      let answer: Buffer = Buffer.alloc(0)
      upstream.setTimeout(exchangeMsMax, () => upstream.destroy())
      upstream.on('data', (chunk) => {
        answer = Buffer.concat([answer, chunk])
        const length = messageLength(answer)
        if (length === undefined) return
        resolve(answer.subarray(0, length))
        upstream.destroy()
      })
      upstream.on('close', () => reject(new Error('the API broke the connection off')))
    })
  }

  async #breakOff(request: Buffer): Promise<void> {
    const upstream = this.#connect(request)
    await delay(this.#draw() * 10)
    upstream.resetAndDestroy()
  }

  #connect(request: Buffer): Socket {
    const upstream = connect({ port: this.#upstreamPort(), host: '127.0.0.1', noDelay: true })
    this.running++
    upstream.once('close', () => this.running--)
    this.#keep(upstream)
    upstream.write(request)
    return upstream
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // A broken connection is what this proxy is for; `close` follows each of them.
    socket.on('error', () => {})
  }
}

/** How many bytes the first message has, once all of them are there. Bodies of both sides have a length; chunks do not occur. */
function messageLength(bytes: Buffer): number | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const length = headEnd + 4 + Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  return bytes.length >= length ? length : undefined
}
