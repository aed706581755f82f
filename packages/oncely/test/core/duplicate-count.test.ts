import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { DuplicateCount } from '../../src/core/duplicate-count.ts'
import { type AuditCount, StoreUnavailable } from '../../src/core/index.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { faultStore } from '../support/fault-store.ts'
import { timersOf } from '../support/timer-kind.ts'

const startMs = Date.UTC(2025, 0, 1)
const id = new Uint8Array(32).fill(1)
const other = new Uint8Array(32).fill(2)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** A count over a store that keeps the batches it was given. */
function setUp() {
  const clock = new ManualClock(startMs)
  const faulty = faultStore(memoryStore({ clock }), (applied) => new StoreUnavailable('planned', { applied }))
  const batches: (readonly AuditCount[])[] = []
  const store = new Proxy(faulty.store, {
    get: (target, name) => {
      if (name !== 'audit') return Reflect.get(target, name, target)
      return (counts: readonly AuditCount[]) => {
        batches.push(counts)
        return target.audit(counts)
      }
    },
  })
  return { clock, faulty, batches, count: new DuplicateCount(store, clock, { auditFlushMs: 1_000, storeTimeoutMs: 200 }) }
}

describe('answers to duplicates', () => {
  test('are added up per record and reason, and written in one batch when the flush is due', async () => {
    const { clock, batches, count } = setUp()
    count.add(id, hex(id), 'charge', 'replayed')
    count.add(id, hex(id), 'charge', 'replayed')
    count.add(id, hex(id), 'charge', 'mismatch')
    count.add(other, hex(other), 'refund', 'replayed')
    await clock.advance(999)
    expect(batches).toEqual([])
    await clock.advance(1)
    expect(batches).toEqual([
      [
        { id, operation: 'charge', minuteMs: startMs, reason: 'replayed', count: 2 },
        { id, operation: 'charge', minuteMs: startMs, reason: 'mismatch', count: 1 },
        { id: other, operation: 'refund', minuteMs: startMs, reason: 'replayed', count: 1 },
      ],
    ])
  })

  test('are counted by the minute they came in', async () => {
    const { clock, batches, count } = setUp()
    await clock.advance(59_999)
    count.add(id, hex(id), 'charge', 'replayed')
    await clock.advance(1)
    count.add(id, hex(id), 'charge', 'replayed')
    await count.flush()
    expect(batches.flat().map(({ minuteMs }) => minuteMs)).toEqual([startMs, startMs + 60_000])
  })

  test('that come in after a flush are a batch of their own, and the first of them sets the time', async () => {
    const { clock, batches, count } = setUp()
    count.add(id, hex(id), 'charge', 'replayed')
    await clock.advance(1_500)
    count.add(id, hex(id), 'charge', 'replayed')
    await clock.advance(600)
    count.add(id, hex(id), 'charge', 'replayed')
    await clock.advance(399)
    expect(batches).toHaveLength(1)
    await clock.advance(1)
    expect(batches.map(([entry]) => entry?.count)).toEqual([1, 2])
  })

  test('are written at once on demand, and no timer is left behind', async () => {
    const { clock, batches, count } = setUp()
    count.add(id, hex(id), 'charge', 'replayed')
    expect(clock.pending).toBe(1)
    await count.flush()
    expect(batches).toHaveLength(1)
    expect(clock.pending).toBe(0)
    await clock.advance(5_000)
    expect(batches).toHaveLength(1)
  })

  test('do not keep a process alive that has nothing else to do', () => {
    const { clock, count } = setUp()
    const timers = timersOf(clock)
    count.add(id, hex(id), 'charge', 'replayed')
    expect(timers).toEqual(['1000 background'])
  })

  test('that nobody got are not written', async () => {
    const { batches, count } = setUp()
    await count.flush()
    expect(batches).toEqual([])
  })

  test('never fill the memory: thousands of different ones are written before they are due', async () => {
    const { clock, batches, count } = setUp()
    for (let nth = 0; nth < 4_999; nth++) count.add(id, hex(id), 'charge', `reason ${nth}`)
    expect(batches).toEqual([])
    count.add(id, hex(id), 'charge', 'the last')
    expect(batches.map((batch) => batch.length)).toEqual([5_000])
    expect(clock.pending).toBe(1)
    await clock.advance(1)
    count.add(id, hex(id), 'charge', 'another')
    await clock.advance(1_000)
    expect(batches.map((batch) => batch.length)).toEqual([5_000, 1])
  })

  test('that cannot be written are dropped, without an error and in bounded time', async () => {
    const { clock, faulty, batches, count } = setUp()
    faulty.plan('audit', 'refused', 'hangs')
    count.add(id, hex(id), 'charge', 'replayed')
    await count.flush()
    count.add(id, hex(id), 'charge', 'replayed')
    let flushed = false
    const flushing = count.flush().then(() => {
      flushed = true
    })
    await clock.advance(199)
    expect(flushed).toBe(false)
    await clock.advance(1)
    await flushing
    count.add(id, hex(id), 'charge', 'mismatch')
    await count.flush()
    expect(batches.map((batch) => batch.map(({ reason }) => reason))).toEqual([['replayed'], ['replayed'], ['mismatch']])
  })
})
