import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryStore } from 'oncely/store/memory'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'
import type { HttpStoreHarness } from 'oncely/testing'
import { ManualClock } from 'oncely/testing'
import { nodeClock } from '../../src/platform/index.ts'
import { DatabaseSync } from '../store/sqlite-fixture.ts'

export async function openMemory(): Promise<HttpStoreHarness<never>> {
  const clock = new ManualClock()
  const store = memoryStore({ clock })
  return { store, advance: (ms) => clock.advance(ms), close: () => store.close() }
}

/** A file of its own with a table of the user's; kept when the case fails. */
export async function openSqlite(): Promise<HttpStoreHarness<SqliteConnection>> {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-http-suite-'))
  const path = join(folder, 'store.db')
  const manual = new ManualClock()
  // The time of the records stands still; waits for the file's lock are real.
  const clock = { nowMs: () => manual.nowMs(), monotonicMs: nodeClock.monotonicMs, after: nodeClock.after }
  const store = sqliteStore({ path, clock })
  await store.open()
  const user = new DatabaseSync(path)
  user.exec('CREATE TABLE effects (value TEXT NOT NULL UNIQUE)')
  return {
    store,
    advance: (ms) => manual.advance(ms),
    close: async (ended) => {
      await store.close()
      user.close()
      if (ended === 'passed') rmSync(folder, { recursive: true })
    },
    transactional: {
      effects: {
        add: async (tx, value) => void tx.prepare('INSERT INTO effects VALUES (?)').run(value),
        list: async () => (user.prepare('SELECT value FROM effects ORDER BY rowid').all() as { value: string }[]).map(({ value }) => value),
      },
    },
  }
}
