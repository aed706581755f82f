import type { Clock } from '../../core/index.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'

/** Gives the turn to whoever waits longest; a second call does nothing. */
export type LeaveTurn = () => void

/** The turn to write, with the writer lock of the file in hand on `connection`. */
export interface OpenWriter<Tx extends SqliteConnection> {
  readonly connection: Connection<Tx>
  readonly leave: LeaveTurn
}

/**
 * The order in which one process writes to one file. SQLite has one writer a file and no queue of its own, so without this the
 * connections of one process would fight each other. First come, first served; every wait is bounded.
 */
export class WriterQueue {
  readonly #waiting = new Set<() => void>()
  #taken = false

  /** Whether whoever comes now has to wait. */
  get taken(): boolean {
    return this.#taken
  }

  /** Answers undefined when the turn did not come within `limitMs`. */
  enter(clock: Clock, limitMs: number): Promise<LeaveTurn | undefined> {
    if (!this.#taken) {
      this.#taken = true
      return Promise.resolve(this.#turn())
    }
    return new Promise((resolve) => {
      const grant = (): void => {
        cancel()
        resolve(this.#turn())
      }
      const cancel = clock.after(Math.max(0, limitMs), () => {
        this.#waiting.delete(grant)
        resolve(undefined)
      })
      this.#waiting.add(grant)
    })
  }

  #turn(): LeaveTurn {
    let left = false
    return () => {
      if (left) return
      left = true
      this.#next()
    }
  }

  #next(): void {
    const [grant] = this.#waiting
    if (grant === undefined) {
      this.#taken = false
      return
    }
    this.#waiting.delete(grant)
    grant()
  }
}

const queues = new Map<string, { readonly queue: WriterQueue; users: number }>()

/** The queue of a file, the same one for every store of this process that names it by its real path. */
export function shareWriterQueue(realPath: string): WriterQueue {
  const shared = queues.get(realPath) ?? { queue: new WriterQueue(), users: 0 }
  shared.users++
  queues.set(realPath, shared)
  return shared.queue
}

/** Forgets the queue when its last user has left. */
export function leaveWriterQueue(realPath: string): void {
  const shared = queues.get(realPath)
  if (shared === undefined) return
  shared.users--
  if (shared.users === 0) queues.delete(realPath)
}
