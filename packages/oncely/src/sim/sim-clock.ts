import type { Clock } from '../core/index.ts'

interface TimedEvent {
  readonly atMs: number
  readonly order: number
  run: (() => void) | undefined
}

/** Virtual time: a heap of events, ordered by their moment and then by when they were scheduled. */
export class VirtualTime {
  #nowMs = 0
  #order = 0
  readonly #heap: TimedEvent[] = []

  get nowMs(): number {
    return this.#nowMs
  }

  /** Calls `run` at `atMs`, or now when that is past; the returned function cancels it. */
  schedule(atMs: number, run: () => void): () => void {
    const event: TimedEvent = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run }
    this.#push(event)
    return () => {
      event.run = undefined
    }
  }

  /** Goes to the next event and runs it; false when nothing is left until `limitMs`. */
  step(limitMs: number = Number.POSITIVE_INFINITY): boolean {
    for (let event = this.#heap[0]; event !== undefined && event.atMs <= limitMs; event = this.#heap[0]) {
      this.#pop()
      if (event.run === undefined) continue
      this.#nowMs = event.atMs
      event.run()
      return true
    }
    return false
  }

  #push(event: TimedEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent] as TimedEvent)) break
      heap[at] = heap[parent] as TimedEvent
      at = parent
    }
    heap[at] = event
  }

  #pop(): TimedEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || first === last) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as TimedEvent, heap[child] as TimedEvent)) child++
      if (!isBefore(heap[child] as TimedEvent, last)) break
      heap[at] = heap[child] as TimedEvent
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: TimedEvent, b: TimedEvent): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs
}

/** The moment at which every simulated world begins: 2030-01-01T00:00:00Z. */
export const WORLD_EPOCH_MS = 1_893_456_000_000

/** Who reads a clock: a process, whose own code may be behind or ahead of the world's events. */
export interface ClockHost {
  /** The virtual time at which the code of this process runs now. */
  readonly localMs: number
  /** Calls `run` in this process, later when it stands still then, never once it is dead. */
  deliver(atMs: number, run: () => void): () => void
}

/** The clock of one simulated process: its wall clock is off by `skewMs`, its monotonic clock starts anywhere. */
export class SimClock implements Clock {
  readonly #host: ClockHost
  readonly #skewMs: number
  readonly #originMs: number

  constructor(host: ClockHost, skewMs: number, originMs: number) {
    this.#host = host
    this.#skewMs = skewMs
    this.#originMs = originMs
  }

  nowMs(): number {
    return WORLD_EPOCH_MS + Math.floor(this.#host.localMs) + this.#skewMs
  }

  monotonicMs(): number {
    return this.#host.localMs + this.#originMs
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#host.deliver(this.#host.localMs + delayMs, run)
  }
}
