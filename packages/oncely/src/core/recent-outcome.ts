import type { Clock } from './clock.ts'
import type { EncodedValue } from './codec.ts'
import { sameBytes } from './outcome.ts'
import type { KnownCall } from './preparation.ts'
import { bytesOfFacts, keptFacts } from './same-facts.ts'
import type { RecordSummary } from './store.ts'

/** A completed record as this process saw it: committed for certain, its outcome's checksum verified. */
export interface RecentOutcome {
  /** The unkeyed digest of the payload that it answers. */
  readonly plain: Uint8Array
  readonly stored: EncodedValue
  readonly summary: RecordSummary
}

interface Entry extends RecentOutcome {
  readonly untilMs: number
  /** A repeat that it answered, so that the next byte-identical one needs no digest. */
  readonly repeat: { readonly address: string; readonly known: KnownCall } | undefined
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
  readonly #entries = new Map<string, Entry>()
  readonly #repeats = new Map<string, KnownCall>()
  #bytes = 0
  /** From the oldest entry on: beginning anew would walk over the places of all that went since the map last grew. */
  #oldest: IterableIterator<string> | undefined

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

  /**
   * `tombstoneMs` counts from completion. Close to its end nothing is kept: another process may see the key as new before this one
   * does, and run it again.
   */
  remember(
    id: string,
    outcome: RecentOutcome,
    { retentionMs, tombstoneMs }: { readonly retentionMs: number; readonly tombstoneMs: number },
  ): void {
    const { completedAtMs } = outcome.summary
    if (completedAtMs > 0 && completedAtMs + tombstoneMs - this.#clock.nowMs() < 3 * ageMaxMs) return
    this.#put(id, { ...outcome, untilMs: this.#clock.monotonicMs() + Math.min(ageMaxMs, retentionMs), repeat: undefined })
  }

  /** Keeps what identified a repeat that was answered from here. Its handler did not run, so nobody has touched its body. */
  recognize(id: string, repeat: { readonly address: string; readonly known: KnownCall }): void {
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.repeat !== undefined) return
    const { address, known } = repeat
    this.#put(id, { ...entry, repeat: { address, known: { ...known, facts: keptFacts(known.facts) } } })
  }

  /** What identified an earlier repeat with this address. Equal facts have equal digests, so this may outlive its outcome. */
  recall(address: string): KnownCall | undefined {
    return this.#repeats.get(address)
  }

  #put(id: string, entry: Entry): void {
    const size = sizeOf(entry)
    if (this.#entriesMax === 0 || size > this.#bytesMax / 8) return
    this.forget(id)
    this.#entries.set(id, entry)
    if (entry.repeat !== undefined) this.#repeats.set(entry.repeat.address, entry.repeat.known)
    this.#bytes += size
    while (this.#entries.size > this.#entriesMax || this.#bytes > this.#bytesMax) this.#forgetOldest()
  }

  /** A Map iterates in the order of insertion, and an iterator meets what is inserted later: what it yields is the oldest left. */
  #forgetOldest(): void {
    this.#oldest ??= this.#entries.keys()
    const { value, done } = this.#oldest.next()
    if (done) this.#oldest = undefined
    else this.forget(value)
  }

  forget(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    if (entry.repeat !== undefined) this.#repeats.delete(entry.repeat.address)
    this.#bytes -= sizeOf(entry)
  }
}

const ageMaxMs = 60_000
const entryBytes = 512

function sizeOf({ stored, repeat }: Entry): number {
  return stored.bytes.length + (repeat === undefined ? 0 : bytesOfFacts(repeat.known.facts)) + entryBytes
}
