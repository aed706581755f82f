import type { SqliteConnection, SqliteStatement, SqliteValue } from 'oncely/store/sqlite'

/** One call of a statement, as a store made it. */
export interface RecordedStatement {
  /** Which of the store's connections, in the order in which it opened them. */
  readonly connection: number
  readonly method: 'get' | 'all' | 'run'
  readonly sql: string
  readonly values: readonly SqliteValue[]
}

/** Opens connections for a store and writes down every statement that it runs on them. */
export class StatementRecorder {
  readonly #open: () => SqliteConnection
  #opened = 0
  #statements: RecordedStatement[] | undefined

  constructor(open: () => SqliteConnection) {
    this.#open = open
  }

  connect(): SqliteConnection {
    const connection = this.#opened++
    const handle = this.#open()
    return {
      get isTransaction(): boolean {
        return handle.isTransaction ?? false
      },
      exec: (sql) => {
        if (this.#statements !== undefined) throw new Error(`a store that prepares its statements ran ${sql}`)
        return handle.exec(sql)
      },
      prepare: (sql) => this.#recorded(connection, sql, handle.prepare(sql)),
      close: () => handle.close(),
    }
  }

  begin(): void {
    this.#statements = []
  }

  end(): readonly RecordedStatement[] {
    const statements = this.#statements ?? []
    this.#statements = undefined
    return statements
  }

  #recorded(connection: number, sql: string, statement: SqliteStatement): SqliteStatement {
    return {
      get: (...values) => {
        this.#statements?.push({ connection, method: 'get', sql, values })
        return statement.get(...values)
      },
      all: (...values) => {
        this.#statements?.push({ connection, method: 'all', sql, values })
        return statement.all(...values)
      },
      run: (...values) => {
        this.#statements?.push({ connection, method: 'run', sql, values })
        return statement.run(...values)
      },
    }
  }
}

/** Prepares what was recorded on other connections; the answered loop runs it, and nothing else. */
export function replayStatements(connections: readonly SqliteConnection[], recorded: readonly RecordedStatement[]): () => void {
  const prepared = connections.map(() => new Map<string, SqliteStatement>())
  const calls = recorded.map(({ connection, method, sql, values }) => {
    const own = prepared[connection] as Map<string, SqliteStatement>
    const statement = own.get(sql) ?? (connections[connection] as SqliteConnection).prepare(sql)
    own.set(sql, statement)
    return { statement, method, values }
  })
  return () => {
    for (const { statement, method, values } of calls) statement[method](...values)
  }
}
