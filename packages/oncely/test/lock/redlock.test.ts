import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { redlock } from 'oncely/lock/redlock'
import { type LockHarness, lockSuite } from 'oncely/testing'
import { test } from 'vitest'

const urls: readonly string[] = (process.env['ONCELY_TEST_REDIS_NODES_URL'] ?? missing()).split(',')

function missing(): never {
  throw new Error(
    'ONCELY_TEST_REDIS_NODES_URL is not set: run `npm test -- redis`, or `npm run services start redisnodes` and use the URL it prints.',
  )
}

/** Locks whose names meet no other test's. */
function openLocks(): LockHarness {
  const prefix = `t-${randomBytes(6).toString('hex')}`
  const clients: Redis[] = []
  const another = () => {
    const mine = urls.map((url) => new Redis(url))
    clients.push(...mine)
    return redlock(mine, { prefix })
  }
  return {
    provider: another(),
    another,
    close: async () => {
      for (const client of clients) client.disconnect()
    },
  }
}

await lockSuite({ test, open: async () => openLocks() })
