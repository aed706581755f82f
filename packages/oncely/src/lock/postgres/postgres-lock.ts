import {
  type Clock,
  checkBound,
  checkLock,
  type Lock,
  type LockProvider,
  type LockRequest,
  type SqlClosed,
  type SqlLayer,
  StoreUnavailable,
  sleep,
  timedOut,
  toHex,
  withTimeout,
} from '../../core/index.ts'
import { nodeClock } from '../../platform/index.ts'
import { HeldLock } from './held-lock.ts'

export interface PostgresLockOptions {
  /** Decides waits and, for the holder's process, the lease; the process's own clock when left out. */
  readonly clock?: Clock
  /** How often a held lock's connection is asked whether it still lives, at most; a third of the lease where that is shorter. */
  readonly probeMs?: number
  /** Longest wait for a connection and one answer of the server, beyond the wait for the holder. */
  readonly answerMs?: number
}

/** First and longest pause between two tries. */
const pauseMs = { first: 10, longest: 200 } as const

/**
 * Locks of PostgreSQL: a transaction-scoped advisory lock, in a transaction that does nothing else, on a connection of its own.
 *
 *   BEGIN; idle timeout := lease; try ──false──▶ ROLLBACK, pause, again until waitMs
 *                                 └──true──▶ held ──release──▶ COMMIT
 *                                             ├─ own clock: lease over ──▶ ROLLBACK
 *                                             └─ server: silent for the lease, or connection lost ──▶ session ended, lock free
 *
 * Transaction-scoped, because such a lock cannot leak: it ends with its transaction, whichever way that ends, so a connection never
 * goes back to its pool with a lock on it, and a pooler between may hand the server's connection on after it. The server's idle
 * timeout of that one transaction is the lease: a holder that is stopped, or cut off without a word, loses the lock without anybody
 * looking. Waiters try and pause: between tries they hold no connection. The transaction writes nothing and has no snapshot
 * between its statements, so it holds up no vacuum.
 *
 * @throws ConfigurationError for an option outside its bounds.
 *
 * @example
 * const locks = postgresLock(fromPg(new Pool({ connectionString })))
 * const lock = await locks.acquire('report:2025-01', { waitMs: 2_000, leaseMs: 30_000 })
 * if (lock !== 'busy') await buildReport(lock.signal).finally(() => lock.release())
 */
export function postgresLock<Tx>(layer: SqlLayer<Tx>, options: PostgresLockOptions = {}): LockProvider {
  const clock = options.clock ?? nodeClock
  const probeMs = checkBound('probeMs', options.probeMs, { preset: 1_000, min: 10, max: 60_000 })
  const answerMs = checkBound('answerMs', options.answerMs, { preset: 5_000, min: 1, max: 600_000 })
  return {
    // A sequence's value is sure to survive a crash only once its transaction is committed, and this one's commit ends the lock.
    capabilities: { token: false },
    acquire: async (name, request) => {
      const bytes = checkLock(name, request)
      request.signal?.throwIfAborted()
      const endMs = clock.monotonicMs() + request.waitMs
      for (let pause: number = pauseMs.first; ; pause = Math.min(pause * 2, pauseMs.longest)) {
        const held = await tryOnce({ layer, clock, probeMs, answerMs }, bytes, request)
        if (held !== 'busy') return held
        request.signal?.throwIfAborted()
        const leftMs = endMs - clock.monotonicMs()
        if (leftMs <= 0) return 'busy'
        await sleep(clock, Math.min(pause, leftMs), request.signal)
        request.signal?.throwIfAborted()
      }
    },
  }
}

interface Parts<Tx> {
  readonly layer: SqlLayer<Tx>
  readonly clock: Clock
  readonly probeMs: number
  readonly answerMs: number
}

/** Advisory locks are 64-bit numbers, of one space for each database: the tag keeps names away from what others lock there. */
const tag = toHex(new TextEncoder().encode('oncely lock port 1 '))

/**
 * In: the name's bytes, the lease. Locks: the advisory lock of the name, or none. One round trip where the layer lets statements
 * ride with BEGIN. The name travels as hexadecimal digits.
 */
function opening(name: Uint8Array, leaseMs: number): readonly string[] {
  const digest = `encode(sha256(decode('${tag}${toHex(name)}', 'hex')), 'hex')`
  return [
    `SET LOCAL idle_in_transaction_session_timeout = ${leaseMs}`,
    `SELECT CASE WHEN pg_try_advisory_xact_lock(('x' || left(${digest}, 16))::bit(64)::bigint) THEN 1 ELSE 0 END AS held`,
  ]
}

async function tryOnce<Tx>({ layer, clock, probeMs, answerMs }: Parts<Tx>, name: Uint8Array, request: LockRequest): Promise<Lock | 'busy'> {
  const { leaseMs, signal } = request
  // From before the first byte is sent, so that this process's lease never ends after the server's.
  const startedMs = clock.monotonicMs()
  let given: (answer: Lock | 'busy') => void = () => {}
  const answer = new Promise<Lock | 'busy'>((resolve) => {
    given = resolve
  })
  let abandoned = false
  const closed: Promise<SqlClosed<undefined>> = layer.transaction<undefined>(
    { isolation: 'read-committed', statements: opening(name, leaseMs) },
    async (tx, { rows }) => {
      const refused = { end: 'roll-back', statement: undefined, value: undefined } as const
      if (Number(rows[0]?.['held']) !== 1) {
        given('busy')
        return refused
      }
      if (abandoned || signal?.aborted) return refused
      const probe = async (): Promise<void> => void (await layer.run(tx, ['SELECT 1']))
      const held = new HeldLock({ clock, leaseMs, probeMs: Math.min(probeMs, leaseMs / 3), startedMs, probe, closed: () => closed })
      given(held)
      return (await held.ending) === 'release' ? { end: 'commit', statements: [], value: undefined } : refused
    },
  )
  const failed = closed.then(() => 'busy' as const)
  const first = await withTimeout(clock, answerMs, Promise.race([answer, failed])).catch((error: unknown) => {
    throw unavailable('did not take the statement that locks', error)
  })
  if (first === timedOut) {
    abandoned = true
    throw unavailable(`gave no connection and no answer within ${answerMs} ms; a held lock occupies one connection of the pool`)
  }
  // The connection of a try that failed is back in its pool before the next try.
  if (first === 'busy')
    await withTimeout(
      clock,
      answerMs,
      closed.catch(() => {}),
    )
  return first
}

function unavailable(what: string, cause?: unknown): StoreUnavailable {
  return new StoreUnavailable(`PostgreSQL ${what}.`, { applied: 'no' }, cause === undefined ? undefined : { cause })
}
