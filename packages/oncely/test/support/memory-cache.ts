import { type Cache, type CacheReading, toHex } from '../../src/core/index.ts'

interface Entry {
  outcome?: Uint8Array
  hint?: { readonly attemptId: string; readonly frame: Uint8Array }
  erased?: boolean
}

/** A cache in this process, whose frames a test can look at, change, lose and hold back. It keeps no time: frames carry their own. */
export class MemoryCache implements Cache {
  readonly name = 'memory'
  readonly outcomeMs: number
  readonly frameBytesMax = 10_000
  readonly entries = new Map<string, Entry>()
  /** What happens to every call from now on. */
  mode: 'answers' | 'fails' | 'hangs' = 'answers'
  /** The calls that arrived, by name. */
  readonly calls: string[] = []

  constructor(outcomeMs = 3_600_000) {
    this.outcomeMs = outcomeMs
  }

  get outcomes(): readonly Uint8Array[] {
    return [...this.entries.values()].flatMap(({ outcome }) => outcome ?? [])
  }

  get hints(): readonly Uint8Array[] {
    return [...this.entries.values()].flatMap(({ hint }) => hint?.frame ?? [])
  }

  async read(id: Uint8Array): Promise<CacheReading> {
    const { outcome, hint } = await this.#arrive('read', id)
    return { outcome, hint: hint?.frame }
  }

  async putOutcome(id: Uint8Array, frame: Uint8Array, keepMs: number): Promise<void> {
    const entry = await this.#arrive('putOutcome', id)
    this.keptMs = keepMs
    if (!entry.erased) entry.outcome = frame
  }

  /** How long the newest outcome was to be kept. */
  keptMs = 0

  async putHint(id: Uint8Array, attemptId: string, frame: Uint8Array): Promise<void> {
    const entry = await this.#arrive('putHint', id)
    if (entry.erased) return
    if (entry.hint === undefined || entry.hint.attemptId === attemptId) entry.hint = { attemptId, frame }
  }

  async removeHint(id: Uint8Array, attemptId: string): Promise<void> {
    const entry = await this.#arrive('removeHint', id)
    if (entry.hint?.attemptId === attemptId) delete entry.hint
  }

  async erase(id: Uint8Array): Promise<void> {
    const entry = await this.#arrive('erase', id)
    delete entry.outcome
    delete entry.hint
    entry.erased = true
  }

  async #arrive(call: string, id: Uint8Array): Promise<Entry> {
    this.calls.push(call)
    if (this.mode === 'fails') throw new Error('planned')
    if (this.mode === 'hangs') return new Promise(() => {})
    const entry = this.entries.get(toHex(id)) ?? {}
    this.entries.set(toHex(id), entry)
    return entry
  }
}
