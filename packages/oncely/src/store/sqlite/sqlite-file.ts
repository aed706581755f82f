import { realpathSync, statSync } from 'node:fs'
import { ConfigurationError, StoreUnavailable, Unsupported } from '../../core/index.ts'
import { nextTurn } from './event-loop.ts'
import { busy, type Patience, patiently } from './patience.ts'
import { SharedCommit } from './shared-commit.ts'
import { Connection, type SqliteConnection } from './sqlite-connection.ts'
import { checkSqliteVersion } from './sqlite-driver.ts'
import { isConstraint, lockedOut, storeError } from './sqlite-error.ts'
import { leaveWriterQueue, type OpenWriter, shareWriterQueue, type WriterQueue } from './writer-queue.ts'

/** How a file is reached: by connections of our own, or by the one connection that the user's code works on too. */
export type SqliteAccess<Tx> = { readonly connect: () => Tx } | { readonly shared: Tx }

export interface FileSettings {
  readonly synchronous: 'full' | 'normal'
  readonly busyTimeoutMs: number
  readonly riskWalResetCorruption: boolean
}

/** How a wait for the writer ended: with it, with an answer that needs none any more, or with neither. */
export type WriterWait<Tx extends SqliteConnection, R> =
  | { readonly word: 'begun'; readonly writer: OpenWriter<Tx> }
  | { readonly word: 'decided'; readonly value: R }
  | { readonly word: 'busy' }

/** Looks at what is committed; undefined when only the writer can tell. */
export type Decide<R> = (reader: Connection) => R | undefined

/**
 * One database file and this process's connections to it:
 *
 *   reader    committed rows only, never waits for a writer
 *   writer    the store's own small transactions
 *   handlers  one for a transaction-mode handler, which nothing else uses meanwhile, so that a roll-back undoes only its own work
 *
 * A shared connection is all three, which is why only synchronous handlers may run on it.
 */
export class SqliteFile<Tx extends SqliteConnection> {
  readonly realPath: string
  /** Device and inode: a file that came back from a copy has another one. */
  readonly identity: string
  readonly #access: SqliteAccess<Tx>
  readonly #settings: FileSettings
  readonly #patience: Patience
  readonly #queue: WriterQueue
  readonly #reader: Connection<Tx>
  readonly #writer: Connection<Tx>
  readonly #steps: SharedCommit<Tx>
  #spare: Connection<Tx> | undefined
  #closed = false

  private constructor(
    access: SqliteAccess<Tx>,
    settings: FileSettings,
    patience: Patience,
    realPath: string,
    connections: { readonly writer: Connection<Tx>; readonly reader: Connection<Tx> },
  ) {
    const { dev, ino } = statSync(realPath, { bigint: true })
    this.realPath = realPath
    this.identity = `${dev}:${ino}`
    this.#access = access
    this.#settings = settings
    this.#patience = patience
    this.#queue = shareWriterQueue(realPath)
    this.#writer = connections.writer
    this.#reader = connections.reader
    this.#steps = new SharedCommit(patience.clock, settings.busyTimeoutMs, {
      take: async (limitMs) => {
        const wait = await this.#takeWriter(limitMs, () => this.#writer, undecided)
        return wait.word === 'begun' ? wait.writer : undefined
      },
      commit: (connection) => this.commit(connection),
    })
  }

  static async open<Tx extends SqliteConnection>(
    access: SqliteAccess<Tx>,
    settings: FileSettings,
    patience: Patience,
  ): Promise<SqliteFile<Tx>> {
    const opened: Connection<Tx>[] = []
    const open = async (): Promise<Connection<Tx>> => {
      const deadlineMs = patience.clock.monotonicMs() + settings.busyTimeoutMs
      const connection = await patiently(patience, deadlineMs, () => connect(access, settings))
      if (connection === busy) throw lockedOut(settings.busyTimeoutMs)
      opened.push(connection)
      return connection
    }
    try {
      const writer = await open()
      const realPath = pathOf(writer)
      const reader = writer.borrowed ? writer : await open()
      if (pathOf(reader) !== realPath) {
        throw new ConfigurationError('The factory opened two different files; it must open the same one each time.')
      }
      if (!reader.borrowed) reader.handle.exec('PRAGMA query_only = ON')
      return new SqliteFile(access, settings, patience, realPath, { writer, reader })
    } catch (error) {
      for (const connection of opened) connection.close()
      throw storeError(error, 'no')
    }
  }

  /** True when the user's code works on the same connection. */
  get shared(): boolean {
    return 'shared' in this.#access
  }

  /** The settings of the running file, as SQLite reports them. */
  durability(): { readonly journal: string; readonly synchronous: number } {
    const journal = this.#writer.get<{ journal_mode: string }>('PRAGMA journal_mode')?.journal_mode ?? ''
    const synchronous = this.#writer.get<{ synchronous: number }>('PRAGMA synchronous')?.synchronous ?? 0
    return { journal, synchronous }
  }

  /** Reads what is committed. Waits only while the file is being recovered, or for the user's transaction on a shared connection. */
  async read<R>(run: (connection: Connection<Tx>) => R): Promise<R> {
    this.#checkOpen()
    try {
      const result = await patiently(this.#patience, this.#deadline(this.#settings.busyTimeoutMs), () => this.#readNow(run))
      if (result !== busy) return result
    } catch (error) {
      throw storeError(error, 'no')
    }
    throw lockedOut(this.#settings.busyTimeoutMs)
  }

  #readNow<R>(run: (connection: Connection<Tx>) => R): R | typeof busy {
    return this.#reader.borrowed && this.#reader.inTransaction ? busy : run(this.#reader)
  }

  /**
   * One small step of the store: everything `run` writes is committed when this resolves. `run` must not wait. Steps that wait for
   * the writer together share one commit.
   */
  write<R>(run: (connection: Connection<Tx>) => R): Promise<R> {
    return this.#steps.write(run)
  }

  /** The writer for a handler's transaction, already begun on a connection that nobody else uses. */
  async begin<R>(limitMs: number, decide: Decide<R>): Promise<WriterWait<Tx, R>> {
    return this.#takeWriter(limitMs, () => this.#handlerConnection(), decide)
  }

  /** Commits, or rolls back and says whether the commit can have happened. */
  commit(connection: Connection<Tx>): void {
    try {
      connection.commit()
    } catch (error) {
      connection.undo()
      // A deferred foreign key of the user's tables speaks up here; nothing was committed.
      throw isConstraint(error) ? error : storeError(error, 'unknown')
    }
  }

  /** Takes a handler's connection back; one that the handler may still be using is closed instead. */
  giveBack(connection: Connection<Tx>, reusable: boolean): void {
    if (connection.borrowed) return
    if (reusable && this.#spare === undefined && !this.#closed) this.#spare = connection
    else connection.close()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (!this.#writer.borrowed) emptyWriteAheadLog(this.#writer)
    for (const connection of new Set([this.#spare, this.#reader, this.#writer])) connection?.close()
    leaveWriterQueue(this.realPath)
  }

  async #takeWriter<R>(limitMs: number, connectionFor: () => Connection<Tx>, decide: Decide<R>): Promise<WriterWait<Tx, R>> {
    this.#checkOpen()
    const deadlineMs = this.#deadline(limitMs)
    let waited = this.#queue.taken
    const leave = await this.#queue.enter(this.#patience.clock, limitMs)
    if (leave === undefined) return { word: 'busy' }
    let connection: Connection<Tx> | undefined
    let wait: WriterWait<Tx, R> = { word: 'busy' }
    try {
      // A commit flushes the disk, so a row of them must not keep the event loop. On a shared connection, too, nothing of the
      // work that the last writer's end set free may run inside this transaction.
      await nextTurn()
      this.#checkOpen()
      const tried = await patiently(this.#patience, deadlineMs, (): WriterWait<Tx, R> | typeof busy => {
        const value = waited ? this.#readNow(decide) : undefined
        waited = true
        if (value !== undefined && value !== busy) return { word: 'decided', value }
        connection ??= connectionFor()
        return connection.begin() ? { word: 'begun', writer: { connection, leave } } : busy
      })
      if (tried !== busy) wait = tried
      return wait
    } catch (error) {
      throw storeError(error, 'no')
    } finally {
      if (wait.word !== 'begun') {
        if (connection !== undefined && connection !== this.#writer) this.giveBack(connection, true)
        leave()
      }
    }
  }

  #handlerConnection(): Connection<Tx> {
    if ('shared' in this.#access) return this.#writer
    const spare = this.#spare
    this.#spare = undefined
    if (spare === undefined) return connect(this.#access, this.#settings)
    // The last handler may have set its own.
    spare.handle.exec('PRAGMA busy_timeout = 0')
    return spare
  }

  #deadline(limitMs: number): number {
    return this.#patience.clock.monotonicMs() + limitMs
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreUnavailable('The SQLite store is closed; open a new one.', { applied: 'no' })
  }
}

function undecided(): undefined {
  return undefined
}

/** Runs the store's own statements in an open transaction; when they fail, it is rolled back and nothing was applied. */
export function orRollBack<R>(connection: Connection, run: () => R): R {
  try {
    return run()
  } catch (error) {
    connection.undo()
    throw storeError(error, 'no')
  }
}

/** A connection that is ready for use; throws SQLite's own error while the file is locked for a moment. */
function connect<Tx extends SqliteConnection>(access: SqliteAccess<Tx>, settings: FileSettings): Connection<Tx> {
  const connection = 'shared' in access ? new Connection(access.shared, true) : new Connection(access.connect(), false)
  try {
    checkSqliteVersion(connection, settings.riskWalResetCorruption)
    connection.atOnce(() => configure(connection, settings))
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

function pathOf(connection: Connection): string {
  const main = connection.all<{ name: string; file: string | null }>('PRAGMA database_list').find(({ name }) => name === 'main')
  if (main === undefined || main.file === null || main.file === '') throw inMemory()
  return realpathSync(main.file)
}

/** A database in memory dies with its connection, and the store needs several. */
export function inMemory(): ConfigurationError {
  return new ConfigurationError(
    'sqliteStore needs a file; a database in memory is seen by one connection only. Give a path, or use memoryStore().',
  )
}

/** So that the file alone is a whole copy once everybody has closed it; while others use it, the log stays theirs. */
function emptyWriteAheadLog(connection: Connection): void {
  try {
    connection.all('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch {
    // Whoever opens the file next reads the log.
  }
}

function configure(connection: Connection, settings: FileSettings): void {
  if (!connection.borrowed) connection.handle.exec('PRAGMA busy_timeout = 0')
  useWriteAheadLog(connection)
  if (connection.borrowed) return
  connection.handle.exec(`PRAGMA synchronous = ${settings.synchronous === 'full' ? 'FULL' : 'NORMAL'}`)
  // Only macOS has a cheaper flush than the one that reaches the disk; elsewhere these two do nothing.
  if (settings.synchronous === 'full') connection.handle.exec('PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON')
}

/** WAL lets readers go on while a handler holds the writer. */
function useWriteAheadLog(connection: Connection): void {
  const mode = (sql: string): string | undefined => connection.get<{ journal_mode: string }>(sql)?.journal_mode
  if (mode('PRAGMA journal_mode') === 'wal') return
  const switched = mode('PRAGMA journal_mode = WAL')
  if (switched === 'wal') return
  // A database in memory says `memory`, and is refused by its name.
  if (switched === 'memory') throw inMemory()
  throw new Unsupported(
    `The SQLite file stays in journal mode "${switched}"; the store needs WAL, which needs a writable file on a local file system.`,
  )
}
