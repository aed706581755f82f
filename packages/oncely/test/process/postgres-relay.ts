// One relay process: node postgres-relay.js DATABASE_URL SCHEMA RECEIVER_URL NAME. Says "ready", and begins when it is told "go".

import { Pool } from 'pg'
import { createOncely } from '../../src/index.ts'
import { webhookSink } from '../../src/outbox/index.ts'
import { postgresStore } from '../../src/store/postgres/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'

const [connectionString = '', schema = '', url = '', name = ''] = process.argv.slice(2)
const pool = new Pool({ connectionString, max: 10 })
const oncely = createOncely({ namespace: 'relay-test', store: postgresStore(fromPg(pool), { schema }), owner: name })
const sink = webhookSink({
  url,
  secret: 'a secret of thirty-two bytes....',
  allowHttp: true,
  allowAddresses: ['127.0.0.1'],
  timeoutMs: 1_000,
  headers: { 'x-relay': name },
})
await oncely.open()
process.on('message', (word) => {
  if (word === 'go')
    void oncely.start({
      relay: [sink],
      relayOptions: {
        leaseMs: 3_000,
        sendTimeoutMs: 1_000,
        bucketsMax: 5,
        batchMax: 20,
        attemptsMax: 1_000,
        backoffMs: 20,
        backoffMaxMs: 50,
      },
    })
  if (word === 'stop') void oncely.drain().then(() => pool.end().then(() => process.disconnect()))
})
process.send?.('ready')
