import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What one provider has seen: every key that it was called with, and what it applied under it. */
export interface Ledger {
  readonly calls: { readonly trip: string; readonly key: string }[]
  readonly applied: Map<string, { readonly trip: string; readonly answer: string }>
}

export interface Providers {
  readonly url: string
  readonly ledgers: Readonly<Record<'flight' | 'hotel' | 'payment', Ledger>>
  close(): Promise<void>
}

/**
 * Three providers that honour an idempotency key, as one server. The payment provider is the ambiguous one: it applies the first call
 * under a key and then drops the connection. For a trip whose name begins with `storm` it fails instead, keeps the failure, and answers
 * every repeat with it, marked as a replay.
 */
export async function startProviders(): Promise<Providers> {
  const ledger = (): Ledger => ({ calls: [], applied: new Map() })
  const ledgers = { flight: ledger(), hotel: ledger(), payment: ledger() }
  const failed = new Set<string>()
  const server = createServer((request, response) => {
    const [, name, trip = ''] = (request.url ?? '').split('/')
    const own = ledgers[name as keyof typeof ledgers]
    const key = String(request.headers['idempotency-key'])
    if (own === undefined) return answer(response, 404, undefined)
    const known = own.applied.get(key)
    if (request.method === 'GET') return answer(response, known === undefined ? 404 : 200, known?.answer)
    own.calls.push({ trip, key })
    if (known !== undefined) return answer(response, 200, known.answer)
    if (name !== 'payment') {
      own.applied.set(key, { trip, answer: `${name}-${trip}` })
      return answer(response, 200, `${name}-${trip}`)
    }
    pay({ request, response, trip, key, own, failed })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ledgers, close: () => closed(server) }
}

function pay(call: {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly trip: string
  readonly key: string
  readonly own: Ledger
  readonly failed: Set<string>
}): void {
  const { request, response, trip, key, own, failed } = call
  if (failed.has(key)) {
    response.setHeader('idempotent-replayed', 'true')
    answer(response, 500, undefined)
  } else if (trip.startsWith('storm') && !own.calls.some((other) => other.trip === trip && other.key !== key)) {
    failed.add(key)
    answer(response, 500, undefined)
  } else {
    own.applied.set(key, { trip, answer: `payment-${trip}` })
    request.socket.destroy()
  }
}

function answer(response: ServerResponse, status: number, reference: string | undefined): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ reference }))
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}
