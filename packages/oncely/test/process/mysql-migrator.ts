import { createPool } from 'mysql2/promise'
import { mysqlStore } from '../../src/store/mysql/index.ts'
import { fromMysql2 } from '../../src/transaction/mysql2/index.ts'

// One of several processes that start at once: waits to be told, then opens a store that migrates itself.
const [uri] = process.argv.slice(2) as [string]
const pool = createPool({ uri, connectionLimit: 2 })

process.once('message', async () => {
  const { instanceId } = await mysqlStore(fromMysql2(pool), { migrate: 'auto' }).open()
  process.send?.({ instanceId })
  await pool.end()
  process.disconnect()
})
process.send?.('ready')
