import { expect, test } from 'vitest'
import type { RecordSummary } from '../../src/core/index.ts'
import type { KnownCall } from '../../src/core/preparation.ts'
import { RecentOutcomes } from '../../src/core/recent-outcome.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const plain = new Uint8Array([1, 2, 3])
const summary = { state: 'completed', completedAtMs: 0 } as RecordSummary
const kept = { retentionMs: 3_600_000, tombstoneMs: 3_600_000 }
const outcome = (bytes: number) => ({ plain, stored: { codec: 1, bytes: new Uint8Array(bytes) }, summary })

test('an outcome is found under its payload, and another payload is a mismatch', () => {
  const recent = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 10, recentBytesMax: 100_000 })
  recent.remember('a', outcome(5), kept)
  expect(recent.find('a', new Uint8Array([1, 2, 3]))).toMatchObject({ summary })
  expect(recent.find('a', new Uint8Array([9, 9, 9]))).toBe('mismatch')
  expect(recent.find('b', plain)).toBeUndefined()
})

test('an outcome is kept for a minute at most, and never beyond its retention', async () => {
  const clock = new ManualClock()
  const recent = new RecentOutcomes(clock, { recentOutcomesMax: 10, recentBytesMax: 100_000 })
  recent.remember('long', outcome(5), kept)
  recent.remember('short', outcome(5), { retentionMs: 1_000, tombstoneMs: 3_600_000 })
  await clock.advance(999)
  expect(recent.find('short', plain)).toBeDefined()
  await clock.advance(1)
  expect(recent.find('short', plain)).toBeUndefined()
  await clock.advance(58_999)
  expect(recent.find('long', plain)).toBeDefined()
  await clock.advance(1)
  expect(recent.find('long', plain)).toBeUndefined()
})

test('it is bounded in number and in bytes, and the oldest goes first', () => {
  const recent = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 2, recentBytesMax: 100_000 })
  for (const id of ['a', 'b', 'c']) recent.remember(id, outcome(5), kept)
  expect(['a', 'b', 'c'].filter((id) => recent.find(id, plain) !== undefined)).toEqual(['b', 'c'])
  const small = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 100, recentBytesMax: 10_000 })
  for (let id = 0; id < 20; id++) small.remember(String(id), outcome(700), kept)
  small.remember('huge', outcome(9_000), kept)
  expect(small.find('huge', plain)).toBeUndefined()
  expect(Array.from({ length: 20 }, (_, id) => small.find(String(id), plain)).filter((found) => found !== undefined)).toHaveLength(8)
  small.remember('19', outcome(100), kept)
  small.forget('19')
  expect(small.find('19', plain)).toBeUndefined()
})

test('what just fits is kept: an eighth of the bytes each, and all of them together', () => {
  const recent = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 8, recentBytesMax: 8 * (512 + 100) })
  const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  for (const id of ids) recent.remember(id, outcome(100), kept)
  expect(ids.filter((id) => recent.find(id, plain) !== undefined)).toEqual(ids)
})

test('with a limit of 0 nothing is kept', () => {
  const recent = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 0, recentBytesMax: 100_000 })
  recent.remember('a', outcome(5), kept)
  expect(recent.find('a', plain)).toBeUndefined()
})

test('a repeat that it answered is recognised by its address until the outcome is dropped', () => {
  const recent = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 2, recentBytesMax: 100_000 })
  const bytes = new Uint8Array([1, 2])
  const known = { facts: { method: 'POST', body: { kind: 'json', bytes } } } as unknown as KnownCall
  recent.recognize('a', { address: 'address', known })
  expect(recent.recall('address')).toBeUndefined()
  recent.remember('a', outcome(5), kept)
  recent.recognize('a', { address: 'address', known })
  recent.recognize('a', { address: 'another', known })
  bytes[0] = 9
  expect(recent.recall('address')).toMatchObject({ facts: { body: { bytes: new Uint8Array([1, 2]) } } })
  expect(recent.recall('another')).toBeUndefined()
  recent.forget('a')
  expect(recent.recall('address')).toBeUndefined()
})

test('near the end of its tombstone nothing is kept, as another process may see the key as new first', () => {
  const clock = new ManualClock()
  const recent = new RecentOutcomes(clock, { recentOutcomesMax: 10, recentBytesMax: 100_000 })
  const completed = (agoMs: number) => ({ ...outcome(5), summary: { ...summary, completedAtMs: clock.nowMs() - agoMs } })
  recent.remember('late', completed(3_600_000 - 179_999), kept)
  recent.remember('early', completed(3_600_000 - 180_000), kept)
  expect(recent.find('late', plain)).toBeUndefined()
  expect(recent.find('early', plain)).toBeDefined()
})

test('the oldest goes first however often entries were renewed, forgotten or all gone in between', () => {
  const recent = new RecentOutcomes(new ManualClock(), { recentOutcomesMax: 3, recentBytesMax: 100_000 })
  const expected: string[] = []
  for (let nth = 0; nth < 300; nth++) {
    // Renewals move an entry to the end; now and then one goes by itself, and now and then all do.
    const id = nth % 7 === 3 ? (expected[0] ?? 'x') : `id-${nth}`
    if (expected.includes(id)) expected.splice(expected.indexOf(id), 1)
    recent.remember(id, outcome(5), kept)
    expected.push(id)
    if (expected.length > 3) expected.shift()
    if (nth % 11 === 5) recent.forget(expected.splice(1, 1)[0] ?? '')
    if (nth % 50 === 49) for (const gone of expected.splice(0)) recent.forget(gone)
    const seen = Array.from({ length: nth + 1 }, (_, other) => `id-${other}`).filter((other) => recent.find(other, plain) !== undefined)
    expect(seen.toSorted()).toEqual(expected.filter((other) => other !== 'x').toSorted())
  }
})
