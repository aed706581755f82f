// The payments API: a process of its own, started by child-process.ts and killed without warning.
//
//   POST /payments   books a row in the API's own database        (bind: 'transaction')
//   POST /charges    calls a payment provider outside of it       (bind: 'lease', with a key derived from ours)
//
// With `protect: false` the same two effects stand behind plain handlers.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import express, { type Express, type Request } from 'express'
import { createOncely } from 'oncely'
import { capture, handle, reply } from 'oncely/adapter/express'
import { type BankLocation, openBank } from './bank.ts'
import { ready, settings } from './child-process.ts'
import { type Booking, type Payment, paymentSchema } from './payment.ts'

export interface ApiSettings {
  readonly bank: BankLocation
  readonly providerUrl: string
  readonly protect: boolean
  readonly port: number
}

/** What a handler does after the effect and before the answer: time for a process to die in. */
const paperworkMs = 5

const { bank: location, providerUrl, protect, port } = settings<ApiSettings>()
const bank = await openBank(location)
const app = express()
if (protect) await protectedApi(app)
else plainApi(app)
const server = app.listen(port, '127.0.0.1', (error?: Error) => {
  if (error) throw error
  const address = server.address()
  ready({ port: typeof address === 'object' && address !== null ? address.port : port })
})

async function protectedApi(app: Express): Promise<void> {
  const oncely = createOncely({ namespace: 'demo', store: bank.store() })
  const createPayment = oncely.operation('create-payment', { policy: 'financial', bind: 'transaction', input: paymentSchema })
  const createCharge = oncely.operation('create-charge', {
    policy: ['standard', { lease: '2s', effectTimeout: '2s' }],
    bind: 'lease',
    // The provider charges once for a key, so what a killed process had begun may be repeated.
    rerunnable: true,
    // And where an attempt failed half-way, somebody looks before anything is repeated.
    resolver: async ({ deriveKey }) => {
      const response = await fetch(`${providerUrl}/charges/${deriveKey('provider')}`)
      if (response.status === 404) return { verdict: 'not-applied' }
      return response.ok ? { verdict: 'applied', value: reply(201, await response.json()) } : { verdict: 'unknown' }
    },
    input: paymentSchema,
  })
  await oncely.open()
  const caller = { principal: customerOf, actor: customerOf }

  app.use(capture())
  app.post(
    '/payments',
    express.json(),
    handle(createPayment, caller, async ({ tx, input }) => {
      const booking = await bank.book(tx, input)
      await delay(paperworkMs)
      return reply(201, booking)
    }),
  )
  app.post(
    '/charges',
    express.json(),
    handle(createCharge, caller, async ({ input, deriveKey, signal }) => {
      const booking = await charge(input, deriveKey('provider'), signal)
      await delay(paperworkMs)
      return reply(201, booking)
    }),
  )
}

function plainApi(app: Express): void {
  app.post('/payments', express.json(), async (request, response) => {
    const booking = await bank.book(bank.connection, request.body)
    await delay(paperworkMs)
    response.status(201).json(booking)
  })
  app.post('/charges', express.json(), async (request, response) => {
    const booking = await charge(request.body, randomUUID())
    await delay(paperworkMs)
    response.status(201).json(booking)
  })
}

/** Who pays. Here a bearer's name is as good as a token; a real API verifies one. */
function customerOf(request: Request): string {
  return /^Bearer (\w[\w-]*)$/.exec(request.get('authorization') ?? '')?.[1] ?? ''
}

async function charge(payment: Payment, key: string, signal?: AbortSignal): Promise<Booking> {
  const response = await fetch(`${providerUrl}/charges`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(payment),
    ...(signal === undefined ? {} : { signal }),
  })
  if (!response.ok) throw new Error(`the provider answered ${response.status}`)
  return (await response.json()) as Booking
}
