import type { Clock } from './clock.ts'
import type { EncodedValue } from './codec.ts'
import { sameBytes } from './outcome.ts'
import type { RecordSummary } from './store.ts'

/** A completed record as this process saw it: committed for certain, its outcome's checksum verified. */
export interface RecentOutcome {
  /** The unkeyed digest of the payload that it answers. */
  readonly plain: Uint8Array
  readonly stored: EncodedValue
  readonly summary: RecordSummary
}

/**
 * The nearest tier: outcomes that this process recorded or replayed within the last minute. Completed records do not change, so
 * a positive answer is final; an outcome erased by another process may be answered for up to `ageMax` more. Bounded in number
 * and bytes; losing an entry costs a read of the store, never an effect.
 */
export class RecentOutcomes {
  readonly #clock: Clock
  readonly #entriesMax: number
  readonly #bytesMax: number
  readonly #entries = new Map<string, RecentOutcome & { readonly untilMs: number }>()
  #bytes = 0

  constructor(clock: Clock, limits: { readonly recentOutcomesMax: number; readonly recentBytesMax: number }) {
    this.#clock = clock
    this.#entriesMax = limits.recentOutcomesMax
    this.#bytesMax = limits.recentBytesMax
  }

  /** What is known of this payload under this record; `mismatch` when the record answers another one. */
  find(id: string, plain: Uint8Array): RecentOutcome | 'mismatch' | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    if (this.#clock.monotonicMs() >= entry.untilMs) {
      this.forget(id)
      return undefined
    }
    return sameBytes(entry.plain, plain) ? entry : 'mismatch'
  }

  remember(id: string, outcome: RecentOutcome, retentionMs: number): void {
    const size = sizeOf(outcome)
    if (this.#entriesMax === 0 || size > this.#bytesMax / 8) return
    this.forget(id)
    this.#entries.set(id, { ...outcome, untilMs: this.#clock.monotonicMs() + Math.min(ageMaxMs, retentionMs) })
    this.#bytes += size
    // A Map iterates in the order of insertion: the first entry is the oldest.
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#entriesMax && this.#bytes <= this.#bytesMax) break
      this.forget(oldest)
    }
  }

  forget(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    this.#bytes -= sizeOf(entry)
  }
}

const ageMaxMs = 60_000
const entryBytes = 512

function sizeOf(outcome: RecentOutcome): number {
  return outcome.stored.bytes.length + entryBytes
}
