import { randomUUID } from 'node:crypto'
import { redisBudget } from 'oncely/store/redis'
import { afterEach, describe, expect, test } from 'vitest'
import type { BudgetPlace } from '../../src/core/index.ts'
import { clients } from './redis-fixture.ts'

const toClose: (() => unknown)[] = []
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
})

const limits = { newKeysMax: 2, windowMs: 60_000, runningMax: 2 }

describe.each(Object.keys(clients) as (keyof typeof clients)[])('budgets on a client of %s', (kind) => {
  const open = async () => {
    const connected = await clients[kind]()
    toClose.push(() => connected.close())
    const caller = randomUUID()
    const place = (claim: string, heldMs = 10_000): BudgetPlace => ({ caller, claim, heldMs })
    return { budgets: [redisBudget(connected.client), redisBudget(connected.client)] as const, place }
  }

  test('count new keys for all processes, and give back what was none', async () => {
    const { budgets, place } = await open()
    const [one, two] = budgets
    expect(await one.take(place('1'), limits)).toEqual({ word: 'taken' })
    await one.giveBack(place('1'), { newKey: true })
    expect(await two.take(place('2'), limits)).toEqual({ word: 'taken' })
    await two.giveBack(place('2'), { newKey: false })
    await two.giveBack(place('2'), { newKey: false })
    expect(await one.take(place('3'), limits)).toEqual({ word: 'taken' })
    await one.giveBack(place('3'), { newKey: true })
    const spent = await two.take(place('4'), limits)
    expect(spent.word).toBe('spent')
    expect(spent.word === 'spent' && spent.retryAfterMs > 0 && spent.retryAfterMs <= 60_000).toBe(true)
    expect(await two.take({ ...place('4'), caller: randomUUID() }, limits)).toEqual({ word: 'taken' })
  })

  test('bound what runs in all processes, until it ends or its place does', async () => {
    const { budgets, place } = await open()
    const [one, two] = budgets
    const many = { ...limits, newKeysMax: 100 }
    await one.take(place('1', 1), many)
    await two.take(place('2'), many)
    await expect.poll(async () => (await two.take(place('3'), many)).word).toBe('taken')
    expect(await one.take(place('4'), many)).toEqual({ word: 'spent', retryAfterMs: 1_000 })
    await two.giveBack(place('2'), { newKey: true })
    expect(await one.take(place('4'), many)).toEqual({ word: 'taken' })
  })
})
