import { ConfigurationError } from './errors.ts'
import { checkBound } from './limits.ts'

/**
 * The port of a lock: it keeps a crowd away from expensive work. It decides nothing about correctness, because every holder can be
 * stopped between its last look at the lock and its next write; what must be right is decided by a record's token.
 */
export interface LockProvider {
  readonly capabilities: LockCapabilities
  /**
   * Takes the lock, or answers `busy` when somebody else still held it after `waitMs`.
   *
   * Rejects with `ConfigurationError` for a name or a time outside its bounds, with `StoreUnavailable` when the engine did not
   * answer (nothing is held then, or it ends by itself), and with the reason of `signal` when that is aborted first.
   */
  acquire(name: string, request: LockRequest): Promise<Lock | 'busy'>
}

export interface LockCapabilities {
  /** Locks carry a token; code that needs one refuses a provider without. */
  readonly token: boolean
}

export interface LockRequest {
  /** Longest wait for the holder; 0 tries once. */
  readonly waitMs: number
  /** How long the lock outlives its last renewal, and a holder that was stopped. */
  readonly leaseMs: number
  /** Ends the wait early. It has no say once the lock is held. */
  readonly signal?: AbortSignal
}

/** A lock that is held until it is released, its lease runs out, or its session is lost. */
export interface Lock {
  /** Grows with each holder of the same name, also over crashes of the engine; null where the engine cannot promise that. */
  readonly token: bigint | null
  /**
   * Aborted, with `LeaseLost` as its reason, as soon as this process knows that the lock is lost: at the latest when the lease ran out
   * on its own clock. It stays quiet after `release`. A process that was stopped learns it late.
   */
  readonly signal: AbortSignal
  /** Starts the lease again; `lost` when somebody else may hold the lock by now. Never rejects. */
  renew(): Promise<'renewed' | 'lost'>
  /** Gives the lock up; `lost` when it may have ended before. Touches nobody else's lock, and never rejects. */
  release(): Promise<'released' | 'lost'>
}

const waitBound = { preset: 0, min: 0, max: 3_600_000 } as const
const leaseBound = { preset: 30_000, min: 100, max: 3_600_000 } as const
const nameBytesMax = 255

/**
 * The name's bytes, after checking name and times; for providers.
 *
 * @throws ConfigurationError for a name that is empty, longer than 255 bytes or not Unicode, or a time outside its bounds.
 */
export function checkLock(name: string, { waitMs, leaseMs }: LockRequest): Uint8Array {
  checkBound('waitMs', waitMs, waitBound)
  checkBound('leaseMs', leaseMs, leaseBound)
  const bytes = new TextEncoder().encode(name)
  if (bytes.length === 0 || bytes.length > nameBytesMax) {
    throw new ConfigurationError(`The lock's name has ${bytes.length} bytes; it must have 1 to ${nameBytesMax}. Hash what is longer.`)
  }
  if (new TextDecoder().decode(bytes) !== name) {
    throw new ConfigurationError(
      "The lock's name holds half a character (a lone surrogate) or a byte order mark; two such names could be one lock.",
    )
  }
  return bytes
}

/**
 * The same provider, for code that passes a lock's token on to what it writes.
 *
 * @throws ConfigurationError when its locks have no token.
 */
export function requireTokens(locks: LockProvider): LockProvider {
  if (locks.capabilities.token) return locks
  throw new ConfigurationError(
    'The lock provider gives no token, and this code needs one. Use locks of etcd or ZooKeeper, or the token of a record.',
  )
}
