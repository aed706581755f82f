// The two servers of `replay`, each in a process of its own: an Express route behind oncely, and the same route bare. Neither
// computes entity tags: a replay carries what the handler set, and the floor is to write the same bytes.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import { createOncely } from 'oncely'
import { capture, handle, reply } from 'oncely/adapter/express'
import { memoryStore } from 'oncely/store/memory'
import { answerParent } from './child.ts'
import { processorTimeUs } from './processor-time.ts'

export type ReplaySide = 'ours' | 'floor'

let executions = 0

const answers = {
  /** Listens on a port of its own, and answers with it and with what the store survives. */
  listen: async (side: ReplaySide): Promise<{ port: number; survives: string }> => {
    const { app, survives } = side === 'ours' ? await protectedApp() : { app: bareApp(), survives: '–' }
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { port: (server.address() as AddressInfo).port, survives }
  },
  processorTimeUs: (): number => processorTimeUs(),
  /** How often the handler ran. */
  executions: (): number => executions,
}

export type ReplayServerAnswers = typeof answers

answerParent(answers)

function bareApp(): Express {
  const app = express().disable('etag')
  app.post('/payments', express.json(), (request, response) => {
    const payment = pay(request.body)
    response.status(201).set('location', `/payments/${payment.id}`).json(payment)
  })
  return app
}

async function protectedApp(): Promise<{ app: Express; survives: string }> {
  const oncely = createOncely({ namespace: 'bench', store: memoryStore() })
  const createPayment = oncely.operation('create-payment', { policy: ['standard', { survives: 'nothing' }], bind: 'lease' })
  const app = express().disable('etag')
  app.use(capture())
  app.post(
    '/payments',
    express.json(),
    handle(createPayment, { principal: () => 'acct_42' }, ({ input }) => {
      const payment = pay(input)
      return reply(201, payment, { location: `/payments/${payment.id}` })
    }),
  )
  const { survives } = await oncely.open()
  return { app, survives }
}

function pay(input: unknown): Record<string, unknown> & { readonly id: string } {
  executions++
  const { reference, amount, currency, customer, lines } = input as Record<string, unknown>
  const id = `pay_${String(reference)}`
  return { id, status: 'accepted', amount, currency, customer, lines, created: '2025-01-01T00:00:00.000Z' }
}
