import { Pool } from 'pg'
import { postgresStore } from '../../src/store/postgres/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'

// One of several processes that start at once: waits to be told, then opens a store that migrates itself.
const [connectionString, schema] = process.argv.slice(2) as [string, string]
const pool = new Pool({ connectionString, max: 2 })

process.once('message', async () => {
  const { instanceId } = await postgresStore(fromPg(pool), { schema, migrate: 'auto' }).open()
  process.send?.({ instanceId })
  await pool.end()
  process.disconnect()
})
process.send?.('ready')
