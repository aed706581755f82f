import { createOncely, type OncelyOptions } from 'oncely'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import type { TransactionalStore } from '../../src/core/index.ts'
import { killInside, raceTogether } from './payment-process.ts'
import type { PaymentDatabase } from './payment-task.ts'

/** A database of the test's own, which other processes work on too. */
export interface EngineWorld {
  readonly store: TransactionalStore<unknown>
  readonly database: PaymentDatabase
  book(tx: unknown, effect: string): Promise<unknown>
  /** In the order in which they were booked. */
  effects(): Promise<readonly string[]>
  close(ended: 'passed' | 'failed'): Promise<void>
}

const callOf = (key: string) => ({ principal: 'acme', key, input: { key } })

/** What several processes on one database must hold to, on every server. */
export function engineSuite(open: () => Promise<EngineWorld>): void {
  let world: EngineWorld
  beforeEach(async () => {
    const opened = await open()
    world = opened
    onTestFinished(async ({ task }) => opened.close(task.result?.state === 'fail' ? 'failed' : 'passed'))
  })
  const instance = (own: Partial<OncelyOptions> = {}) => createOncely({ namespace: 'payments', ...own, store: world.store })

  test('200 keys, 50 racers each, over 4 processes on one database: exactly 200 effects', { timeout: 240_000 }, async () => {
    const words = await raceTogether((racers) => ({ database: world.database, task: 'race', keys: 200, racers }), [13, 13, 12, 12])
    expect(words).toEqual({ done: 200, replayed: 9_800 })
    expect([...(await world.effects())].sort()).toEqual(Array.from({ length: 200 }, (_, index) => `key ${index}`).sort())
  })

  test('transaction: a process killed in the middle of a handler leaves nothing, and the retry runs at once and books once', async () => {
    await killInside({ database: world.database, task: 'hang-in-transaction', key: 'k1' })
    const pay = instance().operation('pay', { bind: 'transaction', policy: ['standard', { onConcurrent: 'wait' }] })
    const result = await pay.run(callOf('k1'), async ({ tx, attempt }) => {
      await world.book(tx, 'of the retry')
      return attempt
    })
    expect(result).toEqual({ status: 'done', value: 1, attempt: 1 })
    expect(await world.effects()).toEqual(['of the retry'])
  })

  test('lease: a process killed before begin is taken over when its lease has ended', async () => {
    await killInside({ database: world.database, task: 'hang-before-begin', key: 'k1' })
    const early = instance().operation('early', { bind: 'lease', begin: 'explicit', policy: ['standard', { onConcurrent: 'wait' }] })
    expect(await early.run(callOf('k1'), ({ attempt }) => attempt)).toEqual({ status: 'done', value: 2, attempt: 2 })
  })

  test('lease: a process killed after begin leaves an uncertain record, which a resolver settles', async () => {
    await killInside({ database: world.database, task: 'hang-after-begin', key: 'k1' })
    const policy = ['standard', { onConcurrent: 'wait' }] as const
    const late = instance().operation('late', { bind: 'lease', policy })
    expect(await late.run(callOf('k1'), () => 'again')).toMatchObject({ status: 'uncertain' })
    const resolved = instance().operation('late', {
      bind: 'lease',
      policy,
      resolver: async () => ({ verdict: 'applied', value: 'found at the provider' }),
    })
    expect(await resolved.run(callOf('k1'), () => 'again')).toEqual({ status: 'replayed', value: 'found at the provider' })
    expect(await late.run(callOf('k1'), () => 'again')).toEqual({ status: 'replayed', value: 'found at the provider' })
  })
}
