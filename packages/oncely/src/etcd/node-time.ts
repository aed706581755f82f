/** A second that an answer names, seen from this process. */
export interface TimeSighting {
  /** The `Date` of the answer: whole seconds of the node's clock. */
  readonly dateMs: number
  /** Monotonic time of this process before the request was sent, and after the answer's head came. */
  readonly sentMs: number
  readonly receivedMs: number
}

/** How far apart two clocks may run, of the time that passed; ten times what ordinary hardware does. */
const driftShare = 0.000_5
/** A node that has not answered for so long has no say. */
const forgottenMs = 600_000

interface Offset {
  readonly low: number
  readonly high: number
  readonly atMs: number
}

/**
 * What time it is on the nodes. etcd gives its transactions no clock, but each answer names the second at its node; seen from this
 * process's monotonic clock, every answer narrows the difference between the two. Nodes that disagree, and a process that has
 * only just started, widen the doubt; the process's own wall clock decides inside it, and never outside.
 */
export class NodeTime {
  readonly #offsets = new Map<string, Offset>()

  sight(endpoint: string, { dateMs, sentMs, receivedMs }: TimeSighting): void {
    if (Number.isNaN(dateMs)) return
    const seen = { low: dateMs - receivedMs, high: dateMs + 1_000 - sentMs, atMs: receivedMs }
    const before = this.#offsets.get(endpoint)
    const drift = before === undefined ? 0 : (receivedMs - before.atMs) * driftShare
    const low = Math.max(seen.low, (before?.low ?? seen.low) - drift)
    const high = Math.min(seen.high, (before?.high ?? seen.high) + drift)
    // A clock that was set: what was known of it before counts no more.
    this.#offsets.set(endpoint, low <= high ? { low, high, atMs: receivedMs } : seen)
  }

  /** Undefined before the first answer. */
  bounds(monotonicMs: number): { readonly earliestMs: number; readonly latestMs: number } | undefined {
    const known = [...this.#offsets.values()].filter(({ atMs }) => monotonicMs - atMs < forgottenMs)
    if (known.length === 0) return undefined
    const drift = ({ atMs }: Offset): number => (monotonicMs - atMs) * driftShare
    return {
      earliestMs: monotonicMs + Math.min(...known.map((offset) => offset.low - drift(offset))),
      latestMs: monotonicMs + Math.max(...known.map((offset) => offset.high + drift(offset))),
    }
  }
}
