import type { FunctionCall, OncelyOptions } from '../../src/core/index.ts'
import { engineWorld, oneCall } from './engine-world.ts'
import { MemoryCache } from './memory-cache.ts'

export const secret = { id: 1, key: new Uint8Array(32).fill(5) }
export const secrets: (typeof secret)[] = [secret]
export const policy = ['standard', { survives: 'nothing' }] as const
export const other: FunctionCall<unknown> = { ...oneCall, input: { amount: 6 } }
export const never = (): never => {
  throw new Error('it ran')
}

/** Two processes over one store and one cache. */
export function cacheWorld(own: Partial<OncelyOptions> = {}, outcomeMs?: number) {
  const world = engineWorld()
  const cache = new MemoryCache(outcomeMs)
  const start = (mine: Partial<OncelyOptions> = {}) => {
    const process = world.start({ cache, secrets, limits: { recentOutcomesMax: 0 }, ...own, ...mine })
    return { ...process, charge: process.oncely.operation('charge', { bind: 'lease', policy }) }
  }
  const [a, b] = [start(), start()]
  return { ...world, cache, a, b, start }
}

export const claims = ({ faulty }: { faulty: { calls: Readonly<Record<string, number>> } }): number => faulty.calls['claim'] ?? 0
