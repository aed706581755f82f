import { type Clock, ConfigurationError, checkBound, type Random } from '../../core/index.ts'
import { nodeClock, nodeRandom } from '../../platform/index.ts'
import type { Patience } from './patience.ts'
import type { SqliteConnection } from './sqlite-connection.ts'
import { loadDriver } from './sqlite-driver.ts'
import { type FileSettings, inMemory, type SqliteAccess } from './sqlite-file.ts'

interface SqliteStoreSettings {
  /** The process's clock decides leases and ages: every process that opens the file runs on this machine. */
  readonly clock?: Clock
  readonly random?: Random
  /**
   * `full` (the default) flushes every commit to the disk and survives a power cut. `normal` is faster; a power cut can lose the
   * newest commits, so the store then promises to survive a restart of the process only.
   */
  readonly synchronous?: 'full' | 'normal'
  /** Longest wait for the file's writer, in milliseconds, without stopping the event loop; 5,000 by default. */
  readonly busyTimeoutMs?: number
  /** How long the audit trail outlives its record, in days; 400 by default. */
  readonly trailDays?: number
  /** Runs on an SQLite version that can corrupt a database in WAL mode when two connections write at once. */
  readonly riskWalResetCorruption?: boolean
}

/** Where the records live; exactly one of the three. */
type SqliteSource<Tx extends SqliteConnection> =
  /** A file, opened by `node:sqlite` or `@photostructure/sqlite`; nothing else in this process opens it with another driver. */
  | { readonly path: string; readonly factory?: never; readonly handle?: never }
  /** Opens one more connection to the same file each time, by the driver that the application uses: `better-sqlite3`, an encrypted build. */
  | { readonly factory: () => Tx; readonly path?: never; readonly handle?: never }
  /** The one connection that the application works on too. Handlers bound to a transaction must be synchronous. */
  | { readonly handle: Tx; readonly path?: never; readonly factory?: never }

export type SqliteStoreOptions<Tx extends SqliteConnection = SqliteConnection> = SqliteSource<Tx> & SqliteStoreSettings

export interface CheckedOptions<Tx> {
  readonly access: SqliteAccess<Tx>
  readonly settings: FileSettings
  readonly patience: Patience
  readonly trailMs: number
}

/** The options with their defaults, and the driver loaded; refuses what cannot work. */
export function checkOptions<Tx extends SqliteConnection>(options: SqliteStoreOptions<Tx>): CheckedOptions<Tx> {
  const settings: FileSettings = {
    synchronous: options.synchronous ?? 'full',
    busyTimeoutMs: checkBound('busyTimeoutMs', options.busyTimeoutMs, { preset: 5_000, min: 0, max: 600_000 }),
    riskWalResetCorruption: options.riskWalResetCorruption ?? false,
  }
  const trailDays = checkBound('trailDays', options.trailDays, { preset: 400, min: 1, max: 36_500 })
  const patience: Patience = { clock: options.clock ?? nodeClock, random: options.random ?? nodeRandom }
  return { access: accessOf(options, settings), settings, patience, trailMs: trailDays * 86_400_000 }
}

function accessOf<Tx extends SqliteConnection>(options: SqliteStoreOptions<Tx>, settings: FileSettings): SqliteAccess<Tx> {
  const given = [options.path, options.factory, options.handle].filter((source) => source !== undefined).length
  if (given !== 1) throw new ConfigurationError(`sqliteStore got ${given} of path, factory and handle; give exactly one.`)
  if (options.handle !== undefined) return { shared: options.handle }
  if (options.factory !== undefined) return { connect: options.factory }
  const path = options.path ?? ''
  if (path === '' || /:memory:|mode=memory/.test(path)) throw inMemory()
  const { DatabaseSync } = loadDriver(settings.riskWalResetCorruption)
  return { connect: () => new DatabaseSync(path) as Tx }
}
