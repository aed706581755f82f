import {
  type Bind,
  ConfigurationError,
  type Duration,
  type HandlerContext,
  InvalidInput,
  type Operation,
  parseDuration,
  type RunResult,
} from '../core/index.ts'

/** Options of `scheduled`. */
export interface ScheduledOptions {
  /** Ticks are the multiples of this since 1970 (UTC); not longer than the time between two runs. Default one minute, as cron's. */
  readonly precision?: Duration
}

/** What a tick's handler gets. */
export type TickContext<Tx, B extends Bind> = HandlerContext<{ readonly tick: string }, Tx, B> & {
  /** The time for which this run was scheduled, truncated. */
  readonly tick: Date
}

/** A job that runs once for each tick, however many nodes fire it. */
export interface ScheduledJob<Output> {
  /**
   * Runs the tick of `scheduledAt`; without it that of now. Other nodes, and other calls, of the same tick get the recorded result.
   * A tick so old that its record may be gone answers `expired` and never runs.
   */
  (scheduledAt?: Date | number): Promise<RunResult<Output>>
  /** Runs ticks that were missed, one after the other; those that did run are replayed. Stops where a handler throws. */
  catchUp(ticks: Iterable<Date | number>): Promise<readonly { readonly tick: Date; readonly result: RunResult<Output> }[]>
}

/** Timers may fire a little before their time. */
const earlyMaxMs = 1_000

/**
 * Makes a job of an operation: the key is the tick. Give it to any scheduler, on every node: the first to fire a tick runs it. Missed
 * ticks stay missed until `catchUp` is called.
 *
 * @example cron('0 3 * * *', () => payoutJob()) // const payoutJob = scheduled(payout, async ({ tick, tx }) => payOut(tx, tick))
 * @throws ConfigurationError for a precision that is not from one second to one day.
 */
export function scheduled<Output, Tx, B extends Bind, Value extends Output>(
  operation: Operation<unknown, Output, Tx, B>,
  handler: (context: TickContext<Tx, B>) => Promise<Value> | Value,
  options: ScheduledOptions = {},
): ScheduledJob<Value> {
  const { definition, engine } = operation
  const precisionMs = parseDuration('scheduled.precision', options.precision ?? '1m')
  if (precisionMs < 1_000 || precisionMs > 86_400_000)
    throw new ConfigurationError(`scheduled: precision is ${precisionMs} ms; it must be from 1 second to 1 day.`)
  const { clock } = engine.parts
  const rememberedMs = Math.max(definition.policy.retentionMs, definition.policy.tombstoneMs)

  const run = async (tickMs: number): Promise<RunResult<Value>> => {
    if (clock.nowMs() - tickMs >= rememberedMs) return { status: 'expired' }
    const tick = new Date(tickMs).toISOString()
    return operation.run({ principal: `schedule/${definition.name}`, key: tick, input: { tick } }, (context) =>
      handler({ ...context, tick: new Date(tickMs) } as unknown as TickContext<Tx, B>),
    )
  }
  const tickOf = (scheduledAt: Date | number): number => {
    const atMs = Number(scheduledAt)
    if (!Number.isSafeInteger(atMs) || Math.abs(atMs) > 8.64e15)
      throw new InvalidInput(`scheduled: ${String(scheduledAt)} is not a time; pass a Date or milliseconds since 1970.`, ['tick'])
    return Math.floor(atMs / precisionMs) * precisionMs
  }
  const job = async (scheduledAt?: Date | number): Promise<RunResult<Value>> =>
    run(tickOf(scheduledAt ?? clock.nowMs() + Math.min(earlyMaxMs, precisionMs / 10)))
  const catchUp: ScheduledJob<Value>['catchUp'] = async (ticks) => {
    const results: { tick: Date; result: RunResult<Value> }[] = []
    for (const scheduledAt of ticks) {
      const tickMs = tickOf(scheduledAt)
      results.push({ tick: new Date(tickMs), result: await run(tickMs) })
    }
    return results
  }
  return Object.assign(job, { catchUp })
}
