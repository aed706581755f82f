import { Pool } from 'pg'
import { postgresLock } from '../../src/lock/postgres/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'

// A process that takes a lock, renews it as its lease demands, and says when it learns that it lost it.
const [connectionString, name, lease] = process.argv.slice(2) as [string, string, string]
const leaseMs = Number(lease)
const lock = await postgresLock(fromPg(new Pool({ connectionString, max: 1 }))).acquire(name, { waitMs: 0, leaseMs })
if (lock === 'busy') throw new TypeError('somebody else holds the lock')

setInterval(() => void lock.renew(), leaseMs / 4)
lock.signal.addEventListener('abort', () => void lock.renew().then((renew) => process.send?.({ renew })))
process.send?.('held')
