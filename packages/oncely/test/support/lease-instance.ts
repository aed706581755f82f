import { createOncely, type Oncely, type OncelyEvent, type Store, StoreUnavailable } from 'oncely'
import { memoryStore } from 'oncely/store/memory'

export const down = (applied: 'no' | 'unknown'): Error => new StoreUnavailable('planned', { applied })
export const relaxed = { survives: 'nothing' } as const
export const call = { principal: 'acme', key: 'k1', input: { amount: 5 } }

/** An instance over a memory store, with short time-outs, and what it reported. */
export function setUp(options: { store?: Store; limits?: Record<string, number> } = {}): {
  oncely: Oncely<never>
  events: OncelyEvent[]
  types: () => string[]
} {
  const events: OncelyEvent[] = []
  const oncely = createOncely({
    namespace: 'test',
    store: options.store ?? memoryStore(),
    limits: { storeTimeoutMs: 200, ...options.limits },
    events: (event) => void events.push(event),
  }) as Oncely<never>
  return { oncely, events, types: () => events.map((event) => event.type) }
}
