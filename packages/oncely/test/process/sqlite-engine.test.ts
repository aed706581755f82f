import { createOncely, type OncelyOptions } from 'oncely'
import { beforeEach, expect, test } from 'vitest'
import { entries, openBooks } from '../store/sqlite-fixture.ts'
import { killInside, raceTogether } from './payment-process.ts'
import type { PaymentDatabase } from './payment-task.ts'

let books: Awaited<ReturnType<typeof openBooks>>
let database: PaymentDatabase

beforeEach(async () => {
  books = await openBooks()
  database = { kind: 'sqlite', path: books.path }
})

const instance = (own: Partial<OncelyOptions> = {}) => createOncely({ namespace: 'payments', ...own, store: books.store })
const callOf = (key: string) => ({ principal: 'acme', key, input: { key } })

test('200 keys, 50 racers each, over 4 processes on one file: exactly 200 effects through the engine', { timeout: 240_000 }, async () => {
  const words = await raceTogether((racers) => ({ database, task: 'race', keys: 200, racers }), [13, 13, 12, 12])
  expect(words).toEqual({ done: 200, replayed: 9_800 })
  expect(entries(books.user).sort()).toEqual(Array.from({ length: 200 }, (_, index) => `key ${index}`).sort())
})

test('transaction: after a kill in the middle of a handler the retry runs at once and books once', async () => {
  await killInside({ database, task: 'hang-in-transaction', key: 'k1' })
  const pay = instance().operation('pay', { bind: 'transaction' })
  const result = await pay.run(callOf('k1'), ({ tx, attempt }) => {
    tx.prepare('INSERT INTO books (entry) VALUES (?)').run('of the retry')
    return attempt
  })
  expect(result).toEqual({ status: 'done', value: 1, attempt: 1 })
  expect(entries(books.user)).toEqual(['of the retry'])
})

test('lease: a kill before begin is taken over, a kill after it is uncertain and settled by a resolver', async () => {
  const policy = ['standard', { onConcurrent: 'wait' }] as const
  await killInside({ database, task: 'hang-before-begin', key: 'k1' })
  const early = instance().operation('early', { bind: 'lease', begin: 'explicit', policy })
  expect(await early.run(callOf('k1'), ({ attempt }) => attempt)).toEqual({ status: 'done', value: 2, attempt: 2 })

  await killInside({ database, task: 'hang-after-begin', key: 'k2' })
  const late = instance().operation('late', { bind: 'lease', policy })
  expect(await late.run(callOf('k2'), () => 'again')).toMatchObject({ status: 'uncertain' })
  const resolved = instance().operation('late', { bind: 'lease', policy, resolver: async () => ({ verdict: 'applied', value: 'found' }) })
  expect(await resolved.run(callOf('k2'), () => 'again')).toEqual({ status: 'replayed', value: 'found' })
})
