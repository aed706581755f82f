import type { PoolConnection } from 'mysql2/promise'
import { consumerSuite } from 'oncely/testing'
import { test } from 'vitest'
import { addEffect, effects, openPlace } from '../store/mysql-fixture.ts'
import { type InboxPlace, inboxCases } from './inbox-cases.ts'
import { loopbackHarness } from './loopback-harness.ts'

async function openInbox(): Promise<InboxPlace<PoolConnection>> {
  const place = await openPlace()
  return {
    stores: () => place.another().store,
    apply: (tx, value) => addEffect(tx, value),
    effects: () => effects(place),
    close: (ended) => place.close(ended),
  }
}

await consumerSuite<PoolConnection>({
  test,
  open: async () => {
    const { stores, ...own } = await openInbox()
    return loopbackHarness(stores, own)
  },
})

inboxCases(openInbox)
