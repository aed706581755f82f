import type { Clock, Platform } from '../core/index.ts'
import { plainHasher } from './plain-hasher.ts'
import { SimClock, VirtualTime } from './sim-clock.ts'
import { SimRandom } from './sim-random.ts'

/** What may happen to a process at any of its calls to the outside. */
export interface StallFaults {
  /** Chance that the event loop is blocked there, and for how long at most. */
  readonly block: number
  readonly blockMsMax: number
  /** Chance that the process is stopped while it waits for the answer, and for how long at most. */
  readonly pause: number
  readonly pauseMsMax: number
  /** Chance that the process dies there. */
  readonly kill: number
}

export const noStalls: StallFaults = { block: 0, blockMsMax: 0, pause: 0, pauseMsMax: 0, kill: 0 }

/**
 * A seeded world: virtual time, randomness, the trace, and what was found wrong. It runs real asynchronous code: every event is
 * followed by all the promise reactions it causes, and only then does time move. The same seed gives the same trace.
 */
export class SimWorld {
  readonly time: VirtualTime = new VirtualTime()
  readonly random: SimRandom
  readonly trace: string[] = []
  readonly violations: string[] = []
  readonly faults: Map<string, number> = new Map()
  stalls: StallFaults = noStalls
  #sequence = 0
  readonly #traced: boolean

  constructor(seed: string | number, options: { readonly trace?: boolean } = {}) {
    this.random = new SimRandom(seed)
    this.#traced = options.trace ?? false
  }

  /** A number that grows with every event of a history, so that two events at one moment still have an order. */
  sequence(): number {
    return ++this.#sequence
  }

  /** Adds a line to the trace; `what` is only called while somebody traces. */
  note(who: string, what: () => string): void {
    if (this.#traced) this.trace.push(`${this.time.nowMs.toFixed(3).padStart(12)} ${who.padEnd(10)} ${what()}`)
  }

  /** Counts an injected fault. */
  count(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1)
    this.note('fault', () => kind)
  }

  /** Reports a broken promise. */
  violate(what: string): void {
    this.note('VIOLATION', () => what)
    this.violations.push(`at ${this.time.nowMs.toFixed(3)} ms: ${what}`)
  }

  /** Runs events until `done` says so or the moment `untilMs` is reached. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    let reached = false
    this.time.schedule(untilMs, () => {
      reached = true
    })
    await turn()
    while (!reached && !done() && this.time.step()) await turn()
  }
}

/** One turn of the real event loop: every promise reaction that is ready has run when it ends. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * One run of one operating system process. Whatever reaches its code (a timer, a message) goes through `deliver`, and whatever
 * leaves it passes a `checkpoint`; so it can stand still or die between any two of them.
 */
export class SimProcess {
  readonly name: string
  readonly world: SimWorld
  readonly clock: Clock
  readonly random: SimRandom
  readonly #stallable: boolean
  readonly #deaths: (() => void)[] = []
  #alive = true
  #stillUntilMs = 0
  #stalledMs = 0

  constructor(world: SimWorld, name: string, options: { readonly skewMs?: number; readonly stallable?: boolean } = {}) {
    this.world = world
    this.name = name
    this.random = world.random.fork(name)
    this.#stallable = options.stallable ?? false
    this.clock = new SimClock(this, options.skewMs ?? 0, this.random.integer(0, 1_000_000))
  }

  get alive(): boolean {
    return this.#alive
  }

  /** How long it has stood still in all its life. */
  get stalledMs(): number {
    return this.#stalledMs
  }

  /** The time as this process lives it: later than the world's while its code makes up for a block. */
  get localMs(): number {
    return Math.max(this.world.time.nowMs, this.#stillUntilMs)
  }

  /** What an engine in this process is built from. */
  get platform(): Platform {
    return { clock: this.clock, random: this.random, hasher: plainHasher }
  }

  /** Runs at `atMs` in this process. After a standstill messages and timers come in any order between each other. */
  deliver(atMs: number, run: () => void, kind: 'timer' | 'message' = 'timer'): () => void {
    let cancel = (): void => {}
    const attempt = (): void => {
      if (!this.#alive) return
      if (this.world.time.nowMs >= this.#stillUntilMs) run()
      else cancel = this.world.time.schedule(this.#stillUntilMs + (kind === 'timer' ? 1 : this.random.between(0, 2)), attempt)
    }
    cancel = this.world.time.schedule(atMs, attempt)
    return () => cancel()
  }

  /** Stands still for `forMs` from now: stopped from outside, or blocked by its own code. */
  stall(forMs: number): void {
    this.#stillUntilMs = this.localMs + forMs
    this.#stalledMs += forMs
  }

  /** Dies: no timer fires, no message arrives, none leaves. What it sent before is on its way. */
  kill(): void {
    if (!this.#alive) return
    this.#alive = false
    this.world.note(this.name, () => 'is killed')
    for (const run of this.#deaths.splice(0)) run()
  }

  onDeath(run: () => void): void {
    this.#deaths.push(run)
  }

  /** May be stopped while a request of its own is on the way. */
  pauseInCall(): void {
    const { stalls, random } = this.world
    if (!this.#stallable || stalls.pause === 0 || !random.chance(stalls.pause)) return
    this.world.count('process paused in a call')
    this.stall(random.between(1, stalls.pauseMsMax))
  }

  /** Passed by everything that leaves the process; false when it did not live to send it. */
  checkpoint(blockMsMax?: number): boolean {
    const { stalls, random } = this.world
    if (!this.#stallable || !this.#alive || (stalls.block === 0 && stalls.kill === 0)) return this.#alive
    if (random.chance(stalls.kill)) {
      this.world.count('process killed at a call')
      this.kill()
    } else if (random.chance(stalls.block)) {
      this.world.count('event loop blocked')
      this.stall(random.between(1, Math.min(stalls.blockMsMax, blockMsMax ?? stalls.blockMsMax)))
    }
    return this.#alive
  }
}
