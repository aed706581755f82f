import { type LockTask, openLocks } from './lock-engine.ts'

// A process that takes a lock, renews it as its lease demands, and says when it learns that it lost it.
const task = JSON.parse(process.argv[2] ?? '') as LockTask
const lock = await openLocks(task).locks.acquire(task.name, { waitMs: 0, leaseMs: task.leaseMs })
if (lock === 'busy') throw new TypeError('somebody else holds the lock')

setInterval(() => void lock.renew(), task.leaseMs / 4)
lock.signal.addEventListener('abort', () => void lock.renew().then((renew) => process.send?.({ renew })))
process.send?.(String(lock.token))
