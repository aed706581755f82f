import type { SqliteConnection, SqliteStore } from 'oncely/store/sqlite'
import {
  type Clock,
  Oncely,
  type OncelyEvent,
  type OncelyOptions,
  StoreUnavailable,
  TransactionConflict,
  type TransactionEnd,
  type TransactionOptions,
  type TransactionResult,
  type TransactionWork,
} from '../../src/core/index.ts'
import { nodeClock, nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { connect, entries, openStore, temporaryFile } from '../store/sqlite-fixture.ts'

/**
 * What happens to one transaction: it is refused before it opens, or hangs there until the store thaws; its COMMIT is not
 * answered, or lost together with its answer; it conflicts at its COMMIT; somebody else took its record.
 */
export type TransactionFault =
  | 'refused'
  | 'slow'
  | 'answer-lost'
  | 'hangs-at-commit'
  | 'commit-lost'
  | 'refused-at-commit'
  | 'bug-at-commit'
  | 'conflict'
  | 'fenced'
  | 'cut'

/** A real SQLite store whose transactions fail as planned, in order; without a plan one goes through. */
function faultyTransactions(inner: SqliteStore) {
  const plan: (TransactionFault | 'none')[] = []
  const asked: TransactionOptions[] = []
  const waiting: (() => void)[] = []
  type Body = (work: TransactionWork<SqliteConnection>) => Promise<TransactionEnd<unknown>>
  /** Runs the handler, and then rolls back whatever it wanted. */
  const undone = async (request: Parameters<SqliteStore['transact']>[0], options: Parameters<SqliteStore['transact']>[1], body: Body) =>
    inner.transact(request, options, async (work) => ({ end: 'roll-back', value: (await body(work)).value }))
  const transact = async (
    request: Parameters<SqliteStore['transact']>[0],
    options: Parameters<SqliteStore['transact']>[1],
    body: Body,
  ): Promise<TransactionResult<unknown>> => {
    asked.push(options)
    const fault = plan.shift() ?? 'none'
    switch (fault) {
      case 'none':
        return inner.transact(request, options, body)
      case 'refused':
        throw new StoreUnavailable('planned', { applied: 'no' })
      case 'slow':
        await new Promise<void>((resolve) => waiting.push(resolve))
        return inner.transact(request, options, body)
      case 'answer-lost':
        await inner.transact(request, options, body)
        throw new StoreUnavailable('planned', { applied: 'unknown' })
      case 'hangs-at-commit':
        await inner.transact(request, options, body)
        return new Promise<never>(() => {})
      case 'commit-lost':
        await undone(request, options, body)
        throw new StoreUnavailable('planned', { applied: 'unknown' })
      case 'refused-at-commit':
        await undone(request, options, body)
        throw new StoreUnavailable('planned', { applied: 'no' })
      case 'bug-at-commit':
        await undone(request, options, body)
        throw new TypeError('a bug of the store')
      case 'conflict':
        await undone(request, options, body)
        throw new TransactionConflict('planned')
      case 'fenced':
        await undone(request, options, body)
        return { word: 'fenced' }
      case 'cut': {
        const entered = new Promise<void>((resolve) => {
          void undone(request, options, async (work) => {
            resolve()
            return body(work)
          }).catch(() => {})
        })
        await entered
        throw new StoreUnavailable('planned', { applied: 'no' })
      }
      default:
        return fault satisfies never
    }
  }
  const store = new Proxy(inner, {
    get: (target, name) => {
      const value: unknown = name === 'transact' ? transact : Reflect.get(target, name, target)
      return typeof value === 'function' && name !== 'transact' ? value.bind(target) : value
    },
  }) as SqliteStore
  return {
    store,
    /** What each transaction so far was asked to be. */
    asked,
    plan: (...faults: (TransactionFault | 'none')[]): void => void plan.push(...faults),
    /** How many transactions wait for the thaw. */
    waiting: (): number => waiting.length,
    thaw: (): void => {
      for (const go of waiting.splice(0)) go()
    },
  }
}

/** A process over a file of its own with a table of the user's; pauses between tries take no time. */
export async function transactionWorld(
  options: {
    readonly clock?: Clock
    readonly limits?: OncelyOptions['limits']
    readonly own?: Partial<Pick<OncelyOptions, 'cache' | 'secrets'>>
  } = {},
) {
  const clock = options.clock ?? nodeClock
  const path = temporaryFile()
  const inner = openStore({ path, clock, synchronous: 'normal' })
  const faulty = faultyTransactions(inner)
  await inner.open()
  const user = connect(path)
  user.exec('CREATE TABLE books (entry TEXT NOT NULL UNIQUE)')
  const events: OncelyEvent[] = []
  const start = (store: SqliteStore): Oncely<SqliteConnection> =>
    new Oncely<SqliteConnection>(
      { clock, random: { uuid: nodeRandom.uuid, fraction: () => 0 }, hasher: nodeHasher },
      { namespace: 'test', ...options.own, store, limits: options.limits ?? {}, events: (event) => void events.push(event) },
    )
  return {
    ...faulty,
    oncely: start(faulty.store),
    /** Another process on the same file, whose transactions do not fail. */
    elsewhere: (): Oncely<SqliteConnection> => start(inner),
    path,
    user,
    events,
    rows: (): string[] => entries(user),
    /** What happened, as `type attempt reason`, since this was asked last. */
    told: (): string[] => events.splice(0).map(({ type, attempt, reason }) => `${type} ${attempt} ${reason}`.trim()),
  }
}
