// Compiled, never run: a route knows what its operation is bound to and what it takes.
import express from 'express'
import { anonymous, createOncely, type StandardSchema } from 'oncely'
import { guard, handle, reply } from 'oncely/adapter/express'
import { memoryStore } from 'oncely/store/memory'
import { sqliteStore } from 'oncely/store/sqlite'

declare const paymentInput: StandardSchema<unknown, { amount: number }>

const plain = createOncely({ namespace: 'types', store: memoryStore() })
const sqlite = createOncely({ namespace: 'types', store: sqliteStore({ path: 'types.db' }) })
const charge = sqlite.operation('charge', { bind: 'transaction', input: paymentInput })
const mail = sqlite.operation('mail', { bind: 'lease' })
const ping = plain.operation('ping', { bind: 'lease' })
const principal = () => 'acme'
const app = express()

app.post(
  '/charges/:id',
  handle(charge, { principal: (request) => request.get('x-account') }, ({ tx, input, deriveKey, fence, signal }, request) => {
    tx.prepare('select 1').get()
    return reply(201, [input.amount, deriveKey('psp'), fence.seq > 0n, signal.aborted, request.params['id']])
  }),
)
app.post(
  '/pings',
  handle(ping, { principal: () => anonymous }, async () => reply(204)),
)
app.post('/mails', guard(mail, { principal: async () => 'acme' }), (_request, response) => void response.json({}))

export const wrong = [
  // @ts-expect-error the principal is required; anonymous is a value that one writes
  handle(mail, {}, () => reply(200)),
  // @ts-expect-error a lease has no transaction to hand out
  handle(mail, { principal }, ({ tx }) => reply(200, tx)),
  // @ts-expect-error a handler returns its response
  handle(mail, { principal }, () => ({ id: 1 })),
  // @ts-expect-error a guard cannot go around a transaction
  guard(charge, { principal }),
  // @ts-expect-error an outcome is one of three words
  handle(mail, { principal, outcomes: { 409: 'maybe' } }, () => reply(200)),
]
