// A payments API: one payment a key, whatever the network does. `npm run build`, then
//
//   node examples/.build/express-sqlite/main.js
//   curl -i localhost:3000/payments -H 'X-Account: alice' -H 'Idempotency-Key: 1' -H 'Content-Type: application/json' -d '{"cents":1250}'
//
// Sent again, the answer is the first one, byte for byte; with other cents it is 422.
import express from 'express'
import { createOncely } from 'oncely'
import { capture, handle, reject, reply } from 'oncely/adapter/express'
import { sqliteStore } from 'oncely/store/sqlite'

const { PORT = '3000', DATABASE = 'payments.db' } = process.env
const oncely = createOncely({ namespace: 'payments-api', store: sqliteStore({ path: DATABASE }) })
const createPayment = oncely.operation('create-payment', { policy: 'financial', bind: 'transaction' })

const app = express()
app.use(capture()) // the raw bytes, before any parser
app.post(
  '/payments',
  express.json(),
  handle(createPayment, { principal: (req) => req.get('x-account'), actor: (req) => req.get('x-account') }, ({ tx, input }) => {
    const { cents } = input as { cents: number }
    if (cents > 100_000) throw reject(402, { code: 'declined' }) // rows rolled back, answer kept
    tx.exec('CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL)')
    const payment = tx.prepare('INSERT INTO payments (cents) VALUES (?) RETURNING id, cents').get(cents)
    return reply(201, payment) // the row and this answer: one commit
  }),
)
const server = app.listen(Number(PORT), '127.0.0.1', () => console.log('listening on', server.address()))
