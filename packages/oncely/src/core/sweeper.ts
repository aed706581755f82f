import type { Clock } from './clock.ts'
import type { SweepAnswer } from './store.ts'

/**
 * The sweeper: removes what has outlived its own policy in the background, one bounded batch at a time.
 *
 *   stopped ──start──▶ waiting ──every──▶ sweeping ──a batch was not full──▶ waiting
 *                         ▲                  │ a full batch: the next at once, after a turn of the event loop
 *                         └──resume── paused ◀── pause (the batch that runs is finished)
 *
 * A batch that fails ends the round; the next one begins anew.
 */
export class Sweeper {
  readonly #clock: Clock
  readonly #sweep: (batchMax: number) => Promise<SweepAnswer>
  #everyMs = 60_000
  #batchMax = 5_000
  #state: SweepProgress['state'] = 'stopped'
  #cancel: () => void = () => {}
  #running: Promise<void> = Promise.resolve()
  #counts: Omit<SweepProgress, 'state'> = { rounds: 0, batches: 0, removed: 0, failures: 0, lastBatchAtMs: 0, lastError: undefined }

  constructor(clock: Clock, sweep: (batchMax: number) => Promise<SweepAnswer>) {
    this.#clock = clock
    this.#sweep = sweep
  }

  /** What it has done since it was made. */
  get progress(): SweepProgress {
    return { state: this.#state, ...this.#counts }
  }

  start(everyMs: number, batchMax: number): void {
    if (this.#state !== 'stopped') return
    this.#everyMs = everyMs
    this.#batchMax = batchMax
    this.#wait(everyMs)
  }

  /** Begins no further batch; resolves when the one that runs has ended. */
  async pause(): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'paused'
    this.#cancel()
    await this.#running
  }

  /** Goes on at once where `pause` stopped it. */
  resume(): void {
    if (this.#state === 'paused') this.#wait(0)
  }

  stop(): void {
    this.#state = 'stopped'
    this.#cancel()
  }

  #wait(delayMs: number): void {
    this.#state = 'waiting'
    this.#cancel = this.#clock.after(
      delayMs,
      () => {
        // One round at a time: a pause and a resume during a batch do not start a second one.
        this.#running = this.#running.then(() => this.#batch())
      },
      'background',
    )
  }

  async #batch(): Promise<void> {
    if (this.#state !== 'waiting') return
    this.#state = 'sweeping'
    let more = false
    try {
      const { removed } = await this.#sweep(this.#batchMax)
      more = removed >= this.#batchMax
      this.#count({ batches: 1, removed, rounds: more ? 0 : 1, failures: 0 }, undefined)
    } catch (error) {
      this.#count({ batches: 0, removed: 0, rounds: 0, failures: 1 }, error)
    }
    if ((this.#state as SweepProgress['state']) === 'sweeping') this.#wait(more ? 0 : this.#everyMs)
  }

  #count(add: { readonly [Name in 'rounds' | 'batches' | 'removed' | 'failures']: number }, lastError: unknown): void {
    const { rounds, batches, removed, failures } = this.#counts
    this.#counts = {
      rounds: rounds + add.rounds,
      batches: batches + add.batches,
      removed: removed + add.removed,
      failures: failures + add.failures,
      lastBatchAtMs: this.#clock.nowMs(),
      lastError,
    }
  }
}

/** How far the sweeper is. */
export interface SweepProgress {
  readonly state: 'stopped' | 'waiting' | 'sweeping' | 'paused'
  /** Rounds that came to their end: nothing was due any more. */
  readonly rounds: number
  readonly batches: number
  readonly removed: number
  readonly failures: number
  /** When the newest batch ended; 0 before the first. */
  readonly lastBatchAtMs: number
  /** Why the newest batch failed; undefined when it did not. */
  readonly lastError: unknown
}
