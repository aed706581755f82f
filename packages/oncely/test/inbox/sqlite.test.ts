import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { consumerSuite } from 'oncely/testing'
import { test } from 'vitest'
import { type SqliteConnection, sqliteStore } from '../../src/store/sqlite/index.ts'
import { DatabaseSync, entries } from '../store/sqlite-fixture.ts'
import { type InboxPlace, inboxCases } from './inbox-cases.ts'
import { loopbackHarness } from './loopback-harness.ts'

async function openInbox(): Promise<InboxPlace<SqliteConnection>> {
  const folder = mkdtempSync(join(tmpdir(), `oncely-inbox-${randomBytes(4).toString('hex')}-`))
  const path = join(folder, 'inbox.db')
  const stores = [sqliteStore({ path, busyTimeoutMs: 20_000 })]
  await stores[0]?.open()
  const books = new DatabaseSync(path)
  books.exec('CREATE TABLE books (entry TEXT NOT NULL)')
  return {
    stores: () => {
      const store = sqliteStore({ path, busyTimeoutMs: 20_000 })
      stores.push(store)
      return store
    },
    apply: async (tx, value) => void tx.prepare('INSERT INTO books (entry) VALUES (?)').run(value),
    effects: async () => entries(books),
    close: async (ended) => {
      for (const store of stores) await store.close()
      books.close()
      if (ended === 'passed') rmSync(folder, { recursive: true })
    },
  }
}

await consumerSuite<SqliteConnection>({
  test,
  open: async () => {
    const { stores, ...own } = await openInbox()
    return loopbackHarness(stores, own)
  },
})

inboxCases(openInbox)
