import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SqliteConnection, type SqliteStore, type SqliteStoreOptions, sqliteStore } from 'oncely/store/sqlite'
import { onTestFinished } from 'vitest'
import { loadDriver } from '../../src/store/sqlite/sqlite-driver.ts'

/** The store's own driver: two copies of SQLite in one process do not see each other's locks. */
export const { DatabaseSync } = loadDriver(false)

/** A file of this test alone; kept when the test fails. */
export function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-sqlite-'))
  onTestFinished(({ task }) => {
    if (task.result?.state === 'pass') rmSync(folder, { recursive: true, force: true })
  })
  return join(folder, 'store.db')
}

/** A connection of the user's own, closed at the end of the test. */
export function connect(path: string): SqliteConnection {
  const connection = new DatabaseSync(path)
  onTestFinished(() => {
    try {
      connection.close()
    } catch {
      // The test has closed it.
    }
  })
  return connection
}

/** A store on a file of its own, closed at the end of the test. */
export function openStore(options: Partial<SqliteStoreOptions> = {}): SqliteStore {
  const source = 'factory' in options || 'handle' in options || 'path' in options ? {} : { path: temporaryFile() }
  const store = sqliteStore({ ...source, ...options } as SqliteStoreOptions)
  onTestFinished(() => store.close())
  return store
}

/** A store and a table of the user's in one file. */
export async function openBooks(
  options: { readonly busyTimeoutMs?: number } = {},
): Promise<{ path: string; store: SqliteStore; user: SqliteConnection }> {
  const path = temporaryFile()
  const store = openStore({ path, ...options })
  await store.open()
  const user = connect(path)
  user.exec('CREATE TABLE books (entry TEXT NOT NULL UNIQUE, size BLOB)')
  return { path, store, user }
}

export function entries(user: SqliteConnection): string[] {
  return (user.prepare('SELECT entry FROM books ORDER BY rowid').all() as { entry: string }[]).map(({ entry }) => entry)
}

export function book(tx: SqliteConnection, entry: string): void {
  tx.prepare('INSERT INTO books (entry) VALUES (?)').run(entry)
}
