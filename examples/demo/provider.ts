// The payment provider: somebody else's company, in a process of its own. It charges once for each key and can be
// asked what became of a key, as real ones do, and keeps
// its own file, to which it only appends. It sees the API's calls and nothing of the customers.
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { ready, settings } from './child-process.ts'
import type { Booking, Payment } from './payment.ts'

export interface ProviderSettings {
  readonly file: string
}

const { file } = settings<ProviderSettings>()
const charges = new Map<string, Booking>()

const server = createServer(async (request, response) => {
  const answer = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
  if (request.method === 'GET') {
    const found = charges.get(request.url?.split('/').at(-1) ?? '')
    return answer(found === undefined ? 404 : 200, found ?? null)
  }
  const { reference, cents } = (await json(request)) as Payment
  const key = String(request.headers['idempotency-key'])
  let charge = charges.get(key)
  if (charge === undefined) {
    charge = { id: `charge-${charges.size + 1}`, reference, cents }
    charges.set(key, charge)
    appendFileSync(file, `${JSON.stringify(charge)}\n`)
  }
  const known = charge.reference === reference && charge.cents === cents
  answer(known ? 200 : 422, charge)
})
server.listen(0, '127.0.0.1', () => ready({ port: (server.address() as AddressInfo).port }))
