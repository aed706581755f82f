import { createRequire } from 'node:module'
import { ConfigurationError, StoreTooWeak } from '../../core/index.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'

/** The part of `node:sqlite` that is called. */
export interface SqliteDriver {
  readonly DatabaseSync: new (path: string) => SqliteConnection
}

/** Where a driver can come from. */
export interface DriverSources {
  /** The one inside Node, and the version of SQLite it brings; undefined where this Node has none. */
  readonly builtIn: () => { readonly driver: SqliteDriver; readonly version: string } | undefined
  /** The optional dependency of the same shape; throws when it is not installed. */
  readonly fallback: () => SqliteDriver
}

const require = createRequire(import.meta.url)

const sources: DriverSources = {
  builtIn: () => {
    const version = process.versions['sqlite']
    const driver = version === undefined ? undefined : (process.getBuiltinModule('node:sqlite') as SqliteDriver | undefined)
    return driver === undefined || version === undefined ? undefined : { driver, version }
  },
  fallback: () => require('@photostructure/sqlite') as SqliteDriver,
}

/**
 * `node:sqlite` where this Node has it and its SQLite is sound, else `@photostructure/sqlite`. A built-in SQLite that can corrupt
 * a write-ahead log is taken only with `risk`, or when the fallback is missing: then opening the file refuses it by its version.
 */
export function loadDriver(risk: boolean, from: DriverSources = sources): SqliteDriver {
  const builtIn = from.builtIn()
  if (builtIn !== undefined && (risk || !hasWalResetBug(builtIn.version))) return builtIn.driver
  try {
    return from.fallback()
  } catch (error) {
    if (builtIn !== undefined) return builtIn.driver
    throw new ConfigurationError(
      `Node ${process.versions.node} has no usable node:sqlite and @photostructure/sqlite cannot be loaded. Run: npm install @photostructure/sqlite@1.2.1 (or use Node 22.13 or newer, or pass factory: () => new Database(path) with better-sqlite3).`,
      { cause: error },
    )
  }
}

/**
 * True for versions in which two connections that write or checkpoint at the same moment can corrupt a database in WAL mode:
 * fixed in 3.51.3 and 3.53.0, and in the branches 3.50 (from 3.50.7) and 3.44 (from 3.44.6).
 * (https://www.sqlite.org/wal.html, "The WAL-Reset Bug")
 */
export function hasWalResetBug(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  if (major !== 3) return major < 3
  if (minor >= 53) return false
  const fixedIn: Readonly<Record<number, number>> = { 44: 6, 50: 7, 51: 3 }
  const fixed = fixedIn[minor]
  return fixed === undefined || patch < fixed
}

/** Refuses an SQLite that could corrupt the file, unless the caller took that risk by its name. */
export function checkSqliteVersion(connection: Connection, risk: boolean): void {
  const version = connection.get<{ version: string }>('SELECT sqlite_version() AS version')?.version ?? '0'
  if (risk || !hasWalResetBug(version)) return
  throw new StoreTooWeak(
    `SQLite ${version} can corrupt a database in WAL mode when two connections write at once; 3.51.3, 3.53.0 and the branches 3.50.7 and 3.44.6 are fixed. Update Node or the driver, or run: npm install @photostructure/sqlite@1.2.1. To run anyway: riskWalResetCorruption: true.`,
  )
}

/**
 * Which build of SQLite a connection runs on. Two builds in one process on one file do not see each other's locks, and can
 * corrupt it. (https://www.sqlite.org/howtocorrupt.html, section 2.2.1)
 */
export function buildOf(connection: Connection): string {
  const source = connection.get<{ source: string }>('SELECT sqlite_source_id() AS source')?.source ?? ''
  const options = connection.all<{ compile_options: string }>('PRAGMA compile_options')
  return [source, ...options.map(({ compile_options }) => compile_options)].join('\n')
}
