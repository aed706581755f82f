import type { Store } from '../../src/core/index.ts'

/** What happens to one call of a store: it is refused before it arrives, or its answer is lost on the way back, or it hangs. */
export type Fault = 'refused' | 'answer-lost' | 'hangs' | 'slow'

/** A real store behind a bad connection. Faults are planned per method, in order; without a plan a call goes through. */
export interface FaultStore<S extends Store> {
  readonly store: S
  plan(method: keyof Store, ...faults: (Fault | 'none')[]): void
  readonly calls: Readonly<Record<string, number>>
  /** Lets every slow call go through. */
  thaw(): void
}

export function faultStore<S extends Store>(inner: S, makeUnavailable: (applied: 'no' | 'unknown') => Error): FaultStore<S> {
  const plans = new Map<PropertyKey, (Fault | 'none')[]>()
  const calls: Record<string, number> = {}
  let waiting: (() => void)[] = []
  const store = new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown
      if (typeof value !== 'function') return value
      return async (...parameters: unknown[]) => {
        calls[String(name)] = (calls[String(name)] ?? 0) + 1
        const fault = plans.get(name)?.shift() ?? 'none'
        const call = (): unknown => Reflect.apply(value, target, parameters)
        switch (fault) {
          case 'none':
            return call()
          case 'refused':
            throw makeUnavailable('no')
          case 'answer-lost':
            await call()
            throw makeUnavailable('unknown')
          case 'hangs':
            return new Promise(() => {})
          case 'slow':
            await new Promise<void>((resolve) => waiting.push(resolve))
            return call()
          default:
            return fault satisfies never
        }
      }
    },
  })
  return {
    store,
    plan: (method, ...faults) => void plans.set(method, [...(plans.get(method) ?? []), ...faults]),
    calls,
    thaw: () => {
      for (const go of waiting.splice(0)) go()
      waiting = []
    },
  }
}
