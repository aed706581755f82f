import { createOncely, type OncelyOptions } from 'oncely'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { openPlace, type Place } from '../store/mysql-fixture.ts'
import { killInside, raceTogether } from './payment-process.ts'
import type { PaymentDatabase } from './payment-task.ts'

let place: Place
let database: PaymentDatabase

beforeEach(async () => {
  place = await openPlace()
  database = { kind: 'mysql', url: place.url }
  onTestFinished(async ({ task }) => place.close(task.result?.state === 'fail' ? 'failed' : 'passed'))
})

const instance = (own: Partial<OncelyOptions> = {}) => createOncely({ namespace: 'payments', ...own, store: place.store })
const effects = async () => (await place.sql<{ value: string }>('SELECT value FROM {effects} ORDER BY at')).map(({ value }) => value)
const callOf = (key: string) => ({ principal: 'acme', key, input: { key } })

test('200 keys, 50 racers each, over 4 processes on one database: exactly 200 effects', { timeout: 240_000 }, async () => {
  const words = await raceTogether((racers) => ({ database, task: 'race', keys: 200, racers }), [13, 13, 12, 12])
  expect(words).toEqual({ done: 200, replayed: 9_800 })
  expect((await effects()).sort()).toEqual(Array.from({ length: 200 }, (_, index) => `key ${index}`).sort())
})

test('transaction: a process killed in the middle of a handler leaves nothing, and the retry runs at once and books once', async () => {
  await killInside({ database, task: 'hang-in-transaction', key: 'k1' })
  const pay = instance().operation('pay', { bind: 'transaction', policy: ['standard', { onConcurrent: 'wait' }] })
  const result = await pay.run(callOf('k1'), async ({ tx, attempt }) => {
    await tx.query("INSERT INTO effects (value) VALUES ('of the retry')")
    return attempt
  })
  expect(result).toEqual({ status: 'done', value: 1, attempt: 1 })
  expect(await effects()).toEqual(['of the retry'])
})

test('lease: a process killed before begin is taken over when its lease has ended', async () => {
  await killInside({ database, task: 'hang-before-begin', key: 'k1' })
  const early = instance().operation('early', { bind: 'lease', begin: 'explicit', policy: ['standard', { onConcurrent: 'wait' }] })
  expect(await early.run(callOf('k1'), ({ attempt }) => attempt)).toEqual({ status: 'done', value: 2, attempt: 2 })
})

test('lease: a process killed after begin leaves an uncertain record, which a resolver settles', async () => {
  await killInside({ database, task: 'hang-after-begin', key: 'k1' })
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
