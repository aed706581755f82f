import type { SharedOutcome } from './attempt.ts'
import type { Cache } from './cache.ts'
import { type CacheFrame, type OutcomeFrame, openFrame, sealFrame } from './cache-frame.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { Flight } from './crowd.ts'
import type { EngineParts, Refusal, Tell } from './engine-parts.ts'
import { StoreUnavailable } from './errors.ts'
import { sameBytes } from './outcome.ts'
import type { Prepared, Secret } from './preparation.ts'
import type { StoredFingerprint } from './record.ts'
import { bounded } from './store-call.ts'
import { StoreEpoch } from './store-epoch.ts'
import { compareFingerprint } from './transition.ts'

/** What the tier is built from; there is at least one secret. */
export interface CacheParts extends Pick<EngineParts, 'store' | 'clock' | 'hasher' | 'secrets' | 'limits'> {
  readonly cache: Cache
  readonly tell: Tell
}

/**
 * The tier between the process and the store: completed outcomes that any process may answer from, and hints that an attempt
 * runs. The store stays the only arbiter: nothing here lets anybody run.
 *
 *   outcome   published after a commit that is known; final for this epoch of the store, this operation, policy and payload
 *   hint      written by a running attempt, gone a second after it stopped; answers "in progress" and nothing more
 */
export class CacheTier {
  readonly #parts: CacheParts
  readonly #breaker: CircuitBreaker
  readonly epoch: StoreEpoch

  constructor(parts: CacheParts) {
    this.#parts = parts
    const { store, clock, limits } = parts
    const readEpoch = async (): Promise<string> => store.instanceId?.() ?? (await store.open()).instanceId
    this.epoch = new StoreEpoch(clock, () => bounded(clock, limits.storeTimeoutMs, 'its instance id', readEpoch))
    this.#breaker = new CircuitBreaker(parts.clock, parts.limits.cacheTimeoutMs)
  }

  /** What the cache answers for certain; undefined when the store has to be asked. */
  async find(prepared: Prepared): Promise<Refusal | undefined> {
    const reading = await this.#call(prepared, (cache) => cache.read(prepared.id))
    if (reading === undefined || (reading.outcome === undefined && reading.hint === undefined)) return undefined
    const epoch = await this.epoch.current()
    const outcome = this.#verified(reading.outcome, prepared, epoch)
    if (outcome?.kind === 'outcome') return { word: 'replay', record: outcome.summary, outcome: outcome.outcome }
    if (prepared.operation.policy.onConcurrent === 'wait') return undefined
    const hint = this.#verified(reading.hint, prepared, epoch)
    if (hint?.kind !== 'hint') return undefined
    return { word: 'in-progress', retryAfterMs: Math.max(1, hint.leaseEndMs - this.#parts.clock.nowMs()) }
  }

  /** Publishes what this process committed for certain. */
  publish(prepared: Prepared, completed: SharedOutcome): void {
    this.#publish(prepared, completed, this.#parts.cache.outcomeMs)
  }

  /** Publishes what the store replayed. Its record may be of an older policy, whose ages are not known here: for a minute only. */
  publishReplay(prepared: Prepared, refusal: Refusal): void {
    if (refusal.word !== 'replay' || refusal.outcome === undefined || refusal.record.settled === false) return
    this.#publish(prepared, { outcome: refusal.outcome, summary: refusal.record }, replayMs)
  }

  #publish(prepared: Prepared, { outcome, summary }: SharedOutcome, keepMs: number): void {
    const epoch = this.epoch.known
    if (epoch === undefined) return
    // A process whose look-ups find nothing reads the epoch only here.
    void this.epoch.current()
    const nowMs = this.#parts.clock.nowMs()
    const { retentionMs, tombstoneMs } = prepared.operation.policy
    const completedAtMs = summary.completedAtMs || nowMs
    // Close to the end of its tombstone another process may see the key as new, and run it again.
    const freeAtMs = completedAtMs + Math.max(retentionMs, tombstoneMs) - marginMs
    const expiresAtMs = Math.min(nowMs + keepMs, completedAtMs + retentionMs, freeAtMs)
    if (expiresAtMs <= nowMs) return
    const frame: OutcomeFrame = {
      ...this.#base(prepared, epoch, expiresAtMs),
      kind: 'outcome',
      outcome,
      summary: { ...summary, completedAtMs },
    }
    const sealed = this.#seal(frame)
    if (sealed.length > this.#parts.cache.frameBytesMax) return
    void this.#call(prepared, (cache) => cache.putOutcome(prepared.id, sealed, expiresAtMs - nowMs))
  }

  /** Tells other processes that this flight runs, while it does. The returned function ends it. */
  hint(prepared: Prepared, flight: Flight): () => void {
    const { clock } = this.#parts
    let published = ''
    const beat = (): void => {
      const epoch = this.epoch.known
      const { attemptId } = flight
      if (flight.state === 'running' && attemptId !== '' && epoch !== undefined) {
        const leftMs = Math.min(flight.deadlineMs - clock.monotonicMs(), prepared.operation.policy.leaseMs)
        const nowMs = clock.nowMs()
        const frame: CacheFrame = {
          ...this.#base(prepared, epoch, nowMs + hintMs),
          ...{ kind: 'hint', attemptId, leaseEndMs: Math.ceil(nowMs + leftMs) },
        }
        const sealed = this.#seal(frame)
        published = attemptId
        if (leftMs > 0) void this.#call(prepared, (cache) => cache.putHint(prepared.id, attemptId, sealed, hintMs))
      }
      cancel = clock.after(hintMs / 2, beat, 'background')
    }
    // Most handlers are done before it is worth telling.
    let cancel = clock.after(firstHintMs, beat, 'background')
    return () => {
      cancel()
      if (published !== '') void this.#call(prepared, (cache) => cache.removeHint(prepared.id, published))
    }
  }

  /**
   * Removes what the cache holds of a record.
   *
   * @throws StoreUnavailable when the cache did not confirm it: it may answer for the record until `outcomeMs` have passed.
   */
  async erase(id: Uint8Array): Promise<void> {
    const { cache, clock, limits } = this.#parts
    try {
      await bounded(clock, limits.storeTimeoutMs, 'an erasure', () => cache.erase(id))
    } catch (cause) {
      throw new StoreUnavailable(
        `The cache ${cache.name} did not confirm that it erased the record, and may answer from it for ${cache.outcomeMs} ms; erase again when it is back.`,
        { applied: 'unknown' },
        { cause },
      )
    }
  }

  #call<T>(prepared: Prepared, work: (cache: Cache) => Promise<T>): Promise<T | undefined> {
    const { cache, tell } = this.#parts
    return this.#breaker.call(
      () => work(cache),
      (error) => tell('cache-down', prepared, 0, cache.name, error),
    )
  }

  #verified(sealed: Uint8Array | undefined, prepared: Prepared, epoch: string | undefined): CacheFrame | undefined {
    if (sealed === undefined || epoch === undefined) return undefined
    const { secrets, hasher, tell, clock } = this.#parts
    const frame = openFrame(sealed, secrets, hasher)
    if (typeof frame === 'string') {
      if (frame !== 'unknown') tell('cache-refused', prepared, 0, frame)
      return undefined
    }
    const { operation, request } = prepared
    const here = frame.epoch === epoch && frame.operation === operation.name && frame.policy === operation.policy.name
    if (!here || !sameBytes(frame.id, prepared.id)) return undefined
    // A hint is short, so whose clock is behind must not lose every one; a cache that keeps them longer gains a minute at most.
    const endMs = frame.kind === 'hint' ? Math.min(frame.leaseEndMs, frame.expiresAtMs + skewMs) : frame.expiresAtMs
    if (clock.nowMs() >= endMs) return undefined
    return compareFingerprint(frame.fingerprint, request) === 'same' ? frame : undefined
  }

  #base(
    { id, operation, known }: Prepared,
    epoch: string,
    expiresAtMs: number,
  ): Pick<CacheFrame, 'id' | 'epoch' | 'operation' | 'policy' | 'fingerprint' | 'expiresAtMs'> {
    const { version, keyed } = known.fingerprint
    const fingerprint: StoredFingerprint = { version, ...(keyed[0] as { keyId: number; digest: Uint8Array }) }
    return { id, epoch, operation: operation.name, policy: operation.policy.name, fingerprint, expiresAtMs }
  }

  #seal(frame: CacheFrame): Uint8Array {
    return sealFrame(frame, this.#parts.secrets[0] as Secret, this.#parts.hasher)
  }
}

const replayMs = 60_000
const marginMs = 180_000
const hintMs = 1_000
const firstHintMs = 20
const skewMs = 60_000
