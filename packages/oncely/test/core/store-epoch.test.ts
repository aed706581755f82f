import { expect, test } from 'vitest'
import { StoreEpoch } from '../../src/core/store-epoch.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { deferred } from '../support/deferred.ts'
import { stateOf } from '../support/engine-world.ts'

function setUp() {
  const clock = new ManualClock()
  const reads: ReturnType<typeof deferred<string>>[] = []
  const epoch = new StoreEpoch(clock, () => {
    const read = deferred<string>()
    reads.push(read)
    return read.promise
  })
  return { clock, reads, epoch }
}

test('is not known before the store was opened, and nothing is read', async () => {
  const { reads, epoch } = setUp()
  expect([await epoch.current(), epoch.known, reads.length]).toEqual([undefined, undefined, 0])
})

test('is taken as it is for half a minute, then read again while nobody waits', async () => {
  const { clock, reads, epoch } = setUp()
  epoch.set('a')
  await clock.advance(29_999)
  expect([await epoch.current(), reads.length]).toEqual(['a', 0])
  await clock.advance(1)
  expect([await epoch.current(), await epoch.current(), reads.length]).toEqual(['a', 'a', 1])
  reads[0]?.resolve('b')
  await clock.advance(0)
  expect([await epoch.current(), epoch.known, reads.length]).toEqual(['b', 'b', 1])
})

test('older than a minute is waited for, together', async () => {
  const { clock, reads, epoch } = setUp()
  epoch.set('a')
  await clock.advance(60_000)
  const both = Promise.all([epoch.current(), epoch.current()])
  expect(await stateOf(both)).toBe('pending')
  reads[0]?.resolve('b')
  expect([await both, reads.length]).toEqual([['b', 'b'], 1])
})

test('that cannot be read stands, and nobody waits until it can', async () => {
  const { clock, reads, epoch } = setUp()
  epoch.set('a')
  await clock.advance(60_000)
  const first = epoch.current()
  reads[0]?.reject(new Error('planned'))
  expect(await first).toBe('a')
  expect(await stateOf(epoch.current())).toBe('a')
  expect(reads.length).toBe(2)
  reads[1]?.resolve('b')
  await clock.advance(0)
  expect(await epoch.current()).toBe('b')
  await clock.advance(60_000)
  expect(await stateOf(epoch.current())).toBe('pending')
})

test('ages from when its reading was sent', async () => {
  const { clock, reads, epoch } = setUp()
  epoch.set('a')
  await clock.advance(30_000)
  await epoch.current()
  await clock.advance(30_000)
  reads[0]?.resolve('b')
  await clock.advance(0)
  expect([await epoch.current(), reads.length]).toEqual(['b', 2])
})
