import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'
import { ManualClock, type OutboxHarness, outboxSuite } from 'oncely/testing'
import { test } from 'vitest'
import { outboxEngine } from './outbox-engine.ts'
import { DatabaseSync } from './sqlite-fixture.ts'

outboxSuite<SqliteConnection>({ test, open: openOutbox })

async function openOutbox(): Promise<OutboxHarness<SqliteConnection>> {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-outbox-'))
  const path = join(folder, 'store.db')
  const clock = new ManualClock()
  const store = sqliteStore({ path, clock })
  await store.open()
  const { outbox } = store
  if (outbox === undefined) throw new TypeError('the store keeps no outbox')
  return {
    outbox,
    inTransaction: async (run) => {
      const tx: SqliteConnection = new DatabaseSync(path)
      tx.exec('BEGIN IMMEDIATE')
      tx.exec((await run(tx)) === 'commit' ? 'COMMIT' : 'ROLLBACK')
      tx.close()
    },
    advance: async (ms) => clock.advance(ms),
    close: async (ended) => {
      await store.close()
      if (ended === 'passed') rmSync(folder, { recursive: true, force: true })
    },
  }
}

outboxEngine<SqliteConnection>(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-outbox-'))
  const path = join(folder, 'store.db')
  const store = sqliteStore({ path })
  await store.open()
  return {
    store,
    begin: async () => {
      const tx: SqliteConnection = new DatabaseSync(path)
      tx.exec('BEGIN IMMEDIATE')
      const end = (word: string) => async (): Promise<void> => {
        tx.exec(word)
        tx.close()
      }
      return { tx, commit: end('COMMIT'), rollback: end('ROLLBACK') }
    },
    close: async () => {
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
})
