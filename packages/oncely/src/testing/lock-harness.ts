import type { LockProvider } from '../core/index.ts'

/** One engine with names of its own, as a case of the suite gets it. */
export interface LockHarness {
  readonly provider: LockProvider
  /** A second provider over connections of its own to the same engine, as another process has it; the harness closes it. */
  another(): LockProvider
  /** Ends, from the engine's side, the session of whoever holds a lock of this harness; left out by an engine without sessions. */
  loseSession?(): Promise<void>
  close(): Promise<void>
}
