import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** One request as a receiver saw it. */
export interface Delivery {
  readonly key: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A real receiver of webhooks that acts once for each key, and then answers as it is told to. */
export interface Receiver {
  readonly url: string
  readonly deliveries: Delivery[]
  /** What it did, by key: the effects in the world. */
  readonly effects: Map<string, string>
}

export async function receiver(
  answer: (response: ServerResponse, nth: number, delivery: Delivery) => void = (response) => void response.writeHead(204).end(),
  host = '127.0.0.1',
): Promise<Receiver> {
  const deliveries: Delivery[] = []
  const effects = new Map<string, string>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const delivery = {
        key: String(request.headers['idempotency-key']),
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      }
      deliveries.push(delivery)
      if (!effects.has(delivery.key)) effects.set(delivery.key, delivery.body)
      answer(response, deliveries.length, delivery)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://${host}:${(server.address() as AddressInfo).port}/hooks`, deliveries, effects }
}
