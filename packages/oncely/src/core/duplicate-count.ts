import type { Clock } from './clock.ts'
import type { Limits } from './limits.ts'
import type { AuditCount, Store } from './store.ts'
import { bounded } from './store-call.ts'

/** Counts answers to duplicates per (record, minute, reason) and writes them in batches; a crash loses counts, never a state change. */
export class DuplicateCount {
  readonly #store: Store
  readonly #clock: Clock
  readonly #limits: Pick<Limits, 'auditFlushMs' | 'storeTimeoutMs'>
  #counts = new Map<string, AuditCount & { count: number }>()
  #cancel: (() => void) | undefined

  constructor(store: Store, clock: Clock, limits: Pick<Limits, 'auditFlushMs' | 'storeTimeoutMs'>) {
    this.#store = store
    this.#clock = clock
    this.#limits = limits
  }

  add(id: Uint8Array, idHex: string, operation: string, reason: string): void {
    const nowMs = this.#clock.nowMs()
    const minuteMs = nowMs - (nowMs % 60_000)
    const name = `${idHex}/${minuteMs}/${reason}`
    const counted = this.#counts.get(name)
    if (counted !== undefined) counted.count++
    else this.#counts.set(name, { id, operation, minuteMs, reason, count: 1 })
    if (this.#counts.size >= countsMax) void this.flush()
    else this.#cancel ??= this.#clock.after(this.#limits.auditFlushMs, () => void this.flush(), 'background')
  }

  /** Writes what was counted. What cannot be written is dropped: counts must never fill the memory of a process whose store is down. */
  async flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#counts.size === 0) return
    const batch = [...this.#counts.values()]
    this.#counts = new Map()
    await bounded(this.#clock, this.#limits.storeTimeoutMs, 'the counts of duplicates', () => this.#store.audit(batch)).catch(() => {})
  }
}

const countsMax = 5_000
