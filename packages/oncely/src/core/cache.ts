/**
 * The port of the shared cache between the process and the store. It holds frames that it cannot read and is trusted with nothing:
 * what it loses costs a read of the store, what it changes is noticed, and what it answers late is not waited for.
 */
export interface Cache {
  /** Its short name, for messages. */
  readonly name: string
  /** How long an outcome is kept at most; one that ages earlier goes earlier. */
  readonly outcomeMs: number
  /** Larger frames are not sent. */
  readonly frameBytesMax: number
  read(id: Uint8Array): Promise<CacheReading>
  /** Keeps an outcome; not where the id was erased lately, and not when the call arrives late. */
  putOutcome(id: Uint8Array, frame: Uint8Array, keepMs: number): Promise<void>
  /** Keeps a hint; not where the hint of another attempt lies, and like an outcome not after an erasure or too late. */
  putHint(id: Uint8Array, attemptId: string, frame: Uint8Array, keepMs: number): Promise<void>
  /** Removes the hint of this attempt, and no other's. */
  removeHint(id: Uint8Array, attemptId: string): Promise<void>
  /** Removes everything of the id, and keeps out for a while what was sent before. */
  erase(id: Uint8Array): Promise<void>
}

/** The frames of one id. */
export interface CacheReading {
  readonly outcome: Uint8Array | undefined
  readonly hint: Uint8Array | undefined
}
