import { memoryStore } from 'oncely/store/memory'
import {
  type AttemptContext,
  encodeRejectedValue,
  encodeValue,
  type FunctionCall,
  Oncely,
  type OncelyEvent,
  type OncelyOptions,
  type Store,
  StoreUnavailable,
  type Work,
} from '../../src/core/index.ts'
import { nodeCipher, nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { faultStore } from './fault-store.ts'

/** A call of one caller with one key and one payload. */
export const oneCall = { principal: 'acme', key: 'k1', input: { amount: 5 } as unknown } satisfies FunctionCall<unknown>

/** Processes over one store and one clock, which moves only when the test says so; pauses take their shortest length by default. */
export function engineWorld(options: { readonly store?: (clock: ManualClock) => Store; readonly fraction?: number } = {}) {
  const clock = new ManualClock()
  const store = options.store?.(clock) ?? memoryStore({ clock })
  const start = (own: Partial<OncelyOptions> = {}) => {
    const faulty = faultStore(store, (applied) => new StoreUnavailable('planned', { applied }))
    const events: OncelyEvent[] = []
    const oncely = new Oncely<never>(
      { clock, random: { uuid: nodeRandom.uuid, fraction: () => options.fraction ?? 0 }, hasher: nodeHasher, cipher: nodeCipher },
      { namespace: 'test', events: (event) => void events.push(event), ...own, store: faulty.store },
    )
    return {
      oncely,
      faulty,
      events,
      /** What happened, as `type attempt reason`, since this was asked last. */
      told: (): string[] => events.splice(0).map(({ type, attempt, reason }) => `${type} ${attempt} ${reason}`.trim()),
      /** Makes every further renewal fail, as behind a cut link. */
      cutOff: (): void => faulty.plan('renew', ...Array<'refused'>(5_000).fill('refused')),
    }
  }
  return { clock, store, start }
}

/** What an entry point hands to the engine; a plain value is an outcome. */
export function workOf<R>(
  run: (context: AttemptContext) => Promise<R> | R,
  judge: 'complete' | 'failed' | 'not-applied' = 'complete',
): Work<R, never> {
  return { run: async (context) => run(context), encode: encodeValue, encodeRejection: encodeRejectedValue, judge: () => judge }
}

/** What the promise has settled with once everything that waits for promises has run; `pending` when it has not. */
export async function stateOf<T>(promise: Promise<T> | T): Promise<T | 'pending'> {
  return Promise.race([promise, new Promise<'pending'>((resolve) => setImmediate(resolve, 'pending'))])
}
