import { consumerSuite } from 'oncely/testing'
import type { PoolClient } from 'pg'
import { test } from 'vitest'
import { addEffect, effects, openPlace } from '../store/postgres-fixture.ts'
import { type InboxPlace, inboxCases } from './inbox-cases.ts'
import { loopbackHarness } from './loopback-harness.ts'

async function openInbox(): Promise<InboxPlace<PoolClient>> {
  const place = await openPlace()
  return {
    stores: () => place.another().store,
    apply: (tx, value) => addEffect(place, tx, value),
    effects: () => effects(place),
    close: (ended) => place.close(ended),
  }
}

await consumerSuite<PoolClient>({
  test,
  open: async () => {
    const { stores, ...own } = await openInbox()
    return loopbackHarness(stores, own)
  },
})

inboxCases(openInbox)
