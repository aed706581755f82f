import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SqliteConnection, type SqliteStore, sqliteStore } from 'oncely/store/sqlite'
import { ManualClock, type StoreHarness } from 'oncely/testing'
import type { Clock } from '../../src/core/index.ts'
import { nodeClock } from '../../src/platform/index.ts'
import { DatabaseSync } from './sqlite-fixture.ts'

/** What the suites of a store need. */
export async function openHarness(): Promise<StoreHarness<SqliteConnection>> {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-sqlite-suite-'))
  const path = join(folder, 'store.db')
  const manual = new ManualClock()
  // The time of the records stands still; waits for the file's lock are real.
  const clock: Clock = {
    nowMs: () => manual.nowMs(),
    monotonicMs: () => nodeClock.monotonicMs(),
    after: (delayMs, run, kind) => nodeClock.after(delayMs, run, kind),
  }
  const stores: SqliteStore[] = []
  const reopen = async (): Promise<SqliteStore> => {
    const store = sqliteStore({ path, clock })
    stores.push(store)
    await store.open()
    return store
  }
  const store = await reopen()
  const user = new DatabaseSync(path)
  user.exec('CREATE TABLE effects (value TEXT NOT NULL UNIQUE)')
  return {
    store,
    reopen,
    nowMs: () => clock.nowMs(),
    advance: (ms) => manual.advance(ms),
    close: async (result) => {
      for (const open of stores) await open.close()
      user.close()
      if (result === 'passed') rmSync(folder, { recursive: true })
    },
    transactional: {
      effects: {
        add: async (tx, value) => void tx.prepare('INSERT INTO effects VALUES (?)').run(value),
        list: async () => (user.prepare('SELECT value FROM effects ORDER BY rowid').all() as { value: string }[]).map(({ value }) => value),
      },
      begin: async () => {
        const tx = new DatabaseSync(path)
        tx.exec('BEGIN IMMEDIATE')
        const end = async (sql: string): Promise<void> => {
          tx.exec(sql)
          tx.close()
        }
        return { tx, commit: () => end('COMMIT'), rollback: () => end('ROLLBACK') }
      },
      end: async (tx) => void tx.exec('COMMIT'),
      breakStatement: async (tx) => void tx.exec("INSERT OR ROLLBACK INTO effects VALUES ('twice'), ('twice')"),
      supersede: async (tx, id) => void tx.prepare('UPDATE oncely_keys SET seq = seq + 1 WHERE id = ?').run(id),
      foreign: async () => {
        const tx = new DatabaseSync(join(folder, 'foreign.db'))
        tx.exec('BEGIN IMMEDIATE')
        return { tx, close: async () => void tx.close() }
      },
    },
  }
}
