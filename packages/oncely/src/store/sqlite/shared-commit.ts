import type { Clock } from '../../core/index.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'
import { lockedOut, storeError } from './sqlite-error.ts'
import type { OpenWriter } from './writer-queue.ts'

/** Steps in one commit: what they take together must not keep the event loop for long. */
const stepsMax = 64

const savepoint = 'oncely_step'

/** How the commits are made: `take` answers undefined when the writer did not come within the limit. */
export interface CommitPorts<Tx extends SqliteConnection> {
  take(limitMs: number): Promise<OpenWriter<Tx> | undefined>
  commit(connection: Connection<Tx>): void
}

interface Step<Tx extends SqliteConnection> {
  readonly deadlineMs: number
  run(connection: Connection<Tx>): void
  done(): void
  fail(error: unknown): void
}

/**
 * The store's own small steps, which share commits: whatever waits for the writer when it comes goes into one transaction, each
 * step behind a savepoint of its own. A commit flushes the disk, which takes longer than a dozen steps.
 *
 *   waiting ──writer──▶ SAVEPOINT, run, RELEASE … ──COMMIT──▶ done, each with its result
 *      │                   └─fails──▶ ROLLBACK TO: this one failed, the others go on
 *      │                   └─SQLite gave the transaction up──▶ all of it failed, nothing was applied
 *      └─the first one's limit──▶ that one failed, the next one waits on
 */
export class SharedCommit<Tx extends SqliteConnection> {
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #ports: CommitPorts<Tx>
  readonly #waiting: Step<Tx>[] = []
  #busy = false

  constructor(clock: Clock, limitMs: number, ports: CommitPorts<Tx>) {
    this.#clock = clock
    this.#limitMs = limitMs
    this.#ports = ports
  }

  /** Resolves with what `run` answered once that is committed. */
  write<R>(run: (connection: Connection<Tx>) => R): Promise<R> {
    return new Promise((resolve, reject) => {
      let result: R
      this.#waiting.push({
        deadlineMs: this.#clock.monotonicMs() + this.#limitMs,
        run: (connection) => {
          result = run(connection)
        },
        done: () => resolve(result),
        fail: reject,
      })
      if (!this.#busy) void this.#work()
    })
  }

  /** Gives the writer back after each commit, so that a handler which waits for it gets its turn. */
  async #work(): Promise<void> {
    this.#busy = true
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      let writer: OpenWriter<Tx> | undefined
      try {
        writer = await this.#ports.take(first.deadlineMs - this.#clock.monotonicMs())
        if (writer === undefined) throw lockedOut(this.#limitMs)
      } catch (error) {
        this.#waiting.shift()
        first.fail(error)
        continue
      }
      try {
        this.#commitTogether(writer.connection, this.#waiting.splice(0, stepsMax))
      } finally {
        writer.leave()
      }
    }
    this.#busy = false
  }

  #commitTogether(connection: Connection<Tx>, steps: readonly Step<Tx>[]): void {
    const ran: Step<Tx>[] = []
    for (const step of steps) {
      try {
        runStep(connection, step, steps.length > 1)
        ran.push(step)
      } catch (error) {
        const failure = storeError(error, 'no')
        step.fail(failure)
        if (steps.length > 1 && undoStep(connection)) continue
        connection.undo()
        for (const other of steps) other.fail(failure)
        return
      }
    }
    try {
      if (ran.length === 0) connection.undo()
      else this.#ports.commit(connection)
    } catch (error) {
      for (const step of ran) step.fail(error)
      return
    }
    for (const step of ran) step.done()
  }
}

function runStep<Tx extends SqliteConnection>(connection: Connection<Tx>, step: Step<Tx>, among: boolean): void {
  if (among) connection.run(`SAVEPOINT ${savepoint}`)
  step.run(connection)
  if (among) connection.run(`RELEASE ${savepoint}`)
}

/** False when SQLite has given up the whole transaction, as it does when the disk is full. */
function undoStep(connection: Connection): boolean {
  try {
    return connection.rollBackTo(savepoint) && connection.releaseSavepoint(savepoint)
  } catch {
    return false
  }
}
