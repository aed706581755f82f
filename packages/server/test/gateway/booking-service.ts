import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** What arrived at the service: the only truth about effects. */
export interface Booking {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Handler = (booking: Booking, response: ServerResponse, nth: number) => void

/** A service that books, once for each request that it gets: it knows nothing of keys. */
export class BookingService {
  readonly bookings: Booking[] = []
  readonly server: Server
  /** What it does after it has booked. */
  answer: Handler = (_, response, nth) => {
    response.writeHead(201, { 'content-type': 'application/json', location: `/bookings/${nth}` })
    response.end(JSON.stringify({ booking: nth }))
  }

  readonly #waiting: (() => void)[] = []

  constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk) => chunks.push(chunk))
      request.on('end', () => {
        const { method = '', url = '', headers } = request
        const booking = { method, url, headers, body: Buffer.concat(chunks).toString() }
        this.bookings.push(booking)
        for (const wake of this.#waiting.splice(0)) wake()
        this.answer(booking, response, this.bookings.length)
      })
    })
  }

  static async start(port = 0): Promise<BookingService> {
    const service = new BookingService()
    await new Promise<void>((resolve) => service.server.listen(port, '127.0.0.1', resolve))
    onTestFinished(() => service.stop())
    return service
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Waits until so many requests have arrived. */
  async booked(count: number): Promise<void> {
    while (this.bookings.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}

/** A port on which nothing listens. */
export async function unusedPort(): Promise<number> {
  const service = new BookingService()
  await new Promise<void>((resolve) => service.server.listen(0, '127.0.0.1', resolve))
  const { port } = service
  await service.stop()
  return port
}
