import { isBusy, isClosed } from './sqlite-error.ts'

/** What SQLite stores and gives back. */
export type SqliteValue = null | number | bigint | string | Uint8Array

/** The part of a prepared statement that is called; `node:sqlite`, `@photostructure/sqlite` and `better-sqlite3` all have it. */
export interface SqliteStatement {
  get(...values: SqliteValue[]): unknown
  all(...values: SqliteValue[]): unknown[]
  run(...values: SqliteValue[]): { readonly changes: number | bigint }
}

/** The part of a connection that is called. The handler gets the whole connection, with its driver's own type. */
export interface SqliteConnection {
  /** True inside a transaction, as `node:sqlite` names it. */
  readonly isTransaction?: boolean
  /** The same, as `better-sqlite3` names it. */
  readonly inTransaction?: boolean
  exec(sql: string): unknown
  prepare(sql: string): SqliteStatement
  close(): unknown
}

/**
 * One connection with its prepared statements. Nothing here waits: a lock that is not free is answered at once, because a wait
 * inside SQLite would stop the whole process.
 */
export class Connection<Tx extends SqliteConnection = SqliteConnection> {
  readonly handle: Tx
  /** The user's own connection: he may have a transaction open on it, and a busy time-out that is not ours to change. */
  readonly borrowed: boolean
  readonly #statements = new Map<string, SqliteStatement>()

  constructor(handle: Tx, borrowed: boolean) {
    this.handle = handle
    this.borrowed = borrowed
  }

  get<Row>(sql: string, ...values: SqliteValue[]): Row | undefined {
    return this.#prepared(sql).get(...values) as Row | undefined
  }

  all<Row>(sql: string, ...values: SqliteValue[]): Row[] {
    return this.#prepared(sql).all(...values) as Row[]
  }

  /** Answers how many rows changed. */
  run(sql: string, ...values: SqliteValue[]): number {
    return Number(this.#prepared(sql).run(...values).changes)
  }

  /** False, too, when whoever used the connection has closed it. */
  get inTransaction(): boolean {
    try {
      return this.handle.isTransaction ?? this.handle.inTransaction ?? this.#probeTransaction()
    } catch (error) {
      if (isClosed(error)) return false
      throw error
    }
  }

  /** Whether the next user can have it: it is open, and no statement of the last one is still being read. */
  get isIdle(): boolean {
    try {
      return this.get('SELECT 1') !== undefined
    } catch {
      return false
    }
  }

  /** Takes the file's one writer; false while another connection holds it. */
  begin(): boolean {
    if (this.borrowed && this.inTransaction) return false
    try {
      this.atOnce(() => this.run('BEGIN IMMEDIATE'))
      return true
    } catch (error) {
      if (isBusy(error)) return false
      throw error
    }
  }

  /** Runs without the busy time-out that a borrowed connection may have. */
  atOnce<R>(run: () => R): R {
    if (!this.borrowed) return run()
    const own = this.get<{ timeout: number }>('PRAGMA busy_timeout')?.timeout ?? 0
    this.handle.exec('PRAGMA busy_timeout = 0')
    try {
      return run()
    } finally {
      this.handle.exec(`PRAGMA busy_timeout = ${own}`)
    }
  }

  commit(): void {
    this.run('COMMIT')
  }

  /** Also after SQLite has rolled back by itself. */
  rollBack(): void {
    if (this.inTransaction) this.run('ROLLBACK')
  }

  /** Rolls back as far as there is something left; the error that led here is the one to report. */
  undo(): void {
    try {
      this.rollBack()
    } catch {
      // A transaction that cannot be rolled back is undone when its connection closes or its file is recovered.
    }
  }

  /** False when the savepoint is gone: whoever used the connection in between has ended the transaction. */
  rollBackTo(savepoint: string): boolean {
    return this.#onSavepoint(`ROLLBACK TO ${savepoint}`)
  }

  /** False when the savepoint is gone. */
  releaseSavepoint(savepoint: string): boolean {
    return this.#onSavepoint(`RELEASE ${savepoint}`)
  }

  close(): void {
    this.#statements.clear()
    if (this.borrowed) return
    try {
      this.handle.close()
    } catch {
      // Whoever opened it has closed it already.
    }
  }

  #prepared(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.handle.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #onSavepoint(sql: string): boolean {
    try {
      this.handle.exec(sql)
      return true
    } catch (error) {
      if (error instanceof Error && error.message.includes('no such savepoint')) return false
      throw error
    }
  }

  /** For drivers that do not tell: a transaction cannot be opened inside another one. */
  #probeTransaction(): boolean {
    try {
      this.handle.exec('BEGIN')
    } catch (error) {
      if (error instanceof Error && error.message.includes('within a transaction')) return true
      throw error
    }
    this.handle.exec('COMMIT')
    return false
  }
}
