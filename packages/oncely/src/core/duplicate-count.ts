import type { Clock } from './clock.ts'
import { toHex } from './hex.ts'
import type { AuditCount, Store } from './store.ts'

/** Counts answers to duplicates per (record, minute, reason) and writes them in batches; a crash loses counts, never a state change. */
export class DuplicateCount {
  readonly #store: Store
  readonly #clock: Clock
  readonly #flushMs: number
  #counts = new Map<string, AuditCount>()
  #cancel: (() => void) | undefined

  constructor(store: Store, clock: Clock, flushMs: number) {
    this.#store = store
    this.#clock = clock
    this.#flushMs = flushMs
  }

  add(id: Uint8Array, operation: string, reason: string): void {
    const nowMs = this.#clock.nowMs()
    const minuteMs = nowMs - (nowMs % 60_000)
    const name = `${toHex(id)}/${minuteMs}/${reason}`
    this.#counts.set(name, { id, operation, minuteMs, reason, count: (this.#counts.get(name)?.count ?? 0) + 1 })
    if (this.#counts.size >= countsMax) void this.flush()
    else this.#cancel ??= this.#clock.after(this.#flushMs, () => void this.flush(), 'background')
  }

  /** Writes what was counted. What cannot be written is dropped: counts must never fill the memory of a process whose store is down. */
  async flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#counts.size === 0) return
    const batch = [...this.#counts.values()]
    this.#counts = new Map()
    await this.#store.audit(batch).catch(() => {})
  }
}

const countsMax = 5_000
