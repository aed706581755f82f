import { createOncely, type TransactionalStore } from 'oncely'
import { scheduled } from 'oncely/schedule'
import { memoryStore } from 'oncely/store/memory'
import type { SqliteConnection } from 'oncely/store/sqlite'
import { ManualClock } from 'oncely/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Oncely } from '../../src/core/index.ts'
import { nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { openSqlite } from '../adapter/suite-stores.ts'

const policy = ['standard', { survives: 'nothing' }] as const
const night = Date.UTC(2025, 0, 1, 3, 0)

/** A node of its own, over a store that several share. */
function nodeOf(store: ReturnType<typeof memoryStore>, clock: ManualClock): Oncely<never> {
  const oncely = new Oncely<never>({ clock, random: nodeRandom, hasher: nodeHasher }, { namespace: 'schedule-test', store })
  onTestFinished(() => oncely.drain())
  return oncely
}

describe('a scheduled job', () => {
  test('that several nodes fire at the same tick runs once, whatever their clocks say of the second', async () => {
    const store = memoryStore({ clock: new ManualClock(night) })
    const ran: string[] = []
    const jobs = [-500, 0, 20_000].map((skewMs) => {
      const operation = nodeOf(store, new ManualClock(night + skewMs)).operation<unknown, number>('payout', { policy, bind: 'lease' })
      return scheduled(operation, ({ tick }) => ran.push(tick.toISOString()))
    })
    const results = []
    for (const job of jobs) results.push(await job())
    expect(results.map(({ status }) => status)).toEqual(['done', 'replayed', 'replayed'])
    expect(ran).toEqual(['2025-01-01T03:00:00.000Z'])
  })

  test('runs the next tick again, and a time given by hand under its own', async () => {
    const clock = new ManualClock(night)
    const ran: string[] = []
    const job = scheduled(
      nodeOf(memoryStore({ clock }), clock).operation<unknown, number>('payout', { policy, bind: 'lease' }),
      ({ tick, input }) => {
        expect(input.tick).toBe(tick.toISOString())
        return ran.push(input.tick)
      },
      { precision: '1h' },
    )
    const times = [undefined, new Date(night + 59 * 60_000), night - 1, night + 3_600_000]
    const statuses = []
    for (const time of times) statuses.push((await job(time)).status)
    expect(statuses).toEqual(['done', 'replayed', 'done', 'done'])
    expect(ran).toEqual(['2025-01-01T03:00:00.000Z', '2025-01-01T02:00:00.000Z', '2025-01-01T04:00:00.000Z'])
    await clock.advance(3_600_000)
    expect(await job()).toEqual({ status: 'replayed', value: 3 })
  })

  test('catches up what it is told, in order, and nothing twice', async () => {
    const clock = new ManualClock(night)
    const ran: string[] = []
    const job = scheduled(
      nodeOf(memoryStore({ clock }), clock).operation<unknown, string>('payout', { policy, bind: 'lease' }),
      ({ tick }) => {
        ran.push(tick.toISOString())
        return tick.toISOString()
      },
    )
    await job(night - 60_000)
    const missed = [night - 120_000, night - 60_000, new Date(night)]
    const results = await job.catchUp(missed)
    expect(results.map(({ tick, result }) => [tick.getTime(), result.status])).toEqual([
      [night - 120_000, 'done'],
      [night - 60_000, 'replayed'],
      [night, 'done'],
    ])
    expect(ran).toEqual(['2025-01-01T02:59:00.000Z', '2025-01-01T02:58:00.000Z', '2025-01-01T03:00:00.000Z'])
  })

  test('never runs a tick so old that nobody would know whether it ran', async () => {
    const clock = new ManualClock(night)
    let runs = 0
    const operation = nodeOf(memoryStore({ clock }), clock).operation<unknown, number>('payout', { policy, bind: 'lease' })
    const job = scheduled(operation, () => ++runs)
    const { tombstoneMs } = operation.definition.policy
    expect(await job(night - tombstoneMs)).toEqual({ status: 'expired' })
    expect(await job(night - tombstoneMs + 60_000)).toMatchObject({ status: 'done' })
    expect(runs).toBe(1)
  })

  test('that throws can be fired again', async () => {
    const clock = new ManualClock(night)
    let failures = 1
    const operation = nodeOf(memoryStore({ clock }), clock).operation('payout', { policy, bind: 'lease', begin: 'explicit' })
    const job = scheduled(operation, () => {
      if (failures-- > 0) throw new Error('a bug')
      return 'paid'
    })
    await expect(job()).rejects.toThrow('a bug')
    expect(await job()).toMatchObject({ status: 'done', value: 'paid' })
  })

  test('commits with the rows of its handler', async () => {
    const { store, close, transactional } = await openSqlite()
    onTestFinished(() => close('passed'))
    const oncely = createOncely({ namespace: 'schedule-test', store: store as TransactionalStore<SqliteConnection> })
    const operation = oncely.operation('payout', { policy, bind: 'transaction' })
    const job = scheduled(operation, async ({ tick, tx }) => transactional?.effects.add(tx, tick.toISOString()))
    // The real clock of the instance: both calls within the same tick.
    const now = new Date()
    expect([(await job(now)).status, (await job(now)).status]).toEqual(['done', 'replayed'])
    expect(await transactional?.effects.list()).toHaveLength(1)
  })

  test('is refused with a precision out of its range, and with a time that is none', async () => {
    const clock = new ManualClock(night)
    const operation = nodeOf(memoryStore({ clock }), clock).operation('payout', { policy, bind: 'lease' })
    for (const precision of ['999ms', '25h'] as const)
      expect(() => scheduled(operation, () => 1, { precision })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    await expect(scheduled(operation, () => 1)(Number.NaN)).rejects.toMatchObject({ code: 'ONCELY_INVALID_INPUT' })
  })
})
