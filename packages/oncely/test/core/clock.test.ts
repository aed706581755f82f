import { getEventListeners } from 'node:events'
import { ManualClock } from 'oncely/testing'
import { describe, expect, test } from 'vitest'
import { sleep, timedOut, withTimeout } from '../../src/core/index.ts'
import { deferred } from '../support/deferred.ts'

/** Whether the promise has settled once everything that waits for promises has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  void promise.then(() => {
    done = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return done
}

describe('sleeping', () => {
  test('lasts as long as it is told, on the given clock', async () => {
    const clock = new ManualClock()
    const waiting = sleep(clock, 100)
    await clock.advance(99)
    expect(await settled(waiting)).toBe(false)
    await clock.advance(1)
    expect(await settled(waiting)).toBe(true)
  })

  test('ends early and without an error when it is aborted, and leaves no timer', async () => {
    const clock = new ManualClock()
    const stop = new AbortController()
    const waiting = sleep(clock, 100, stop.signal)
    stop.abort(new Error('enough'))
    await expect(waiting).resolves.toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  test('does not begin when it was aborted before', async () => {
    const clock = new ManualClock()
    await sleep(clock, 100, AbortSignal.abort())
    expect(clock.pending).toBe(0)
  })

  test('that ended takes no notice of a later abort', async () => {
    const clock = new ManualClock()
    const stop = new AbortController()
    const waiting = sleep(clock, 100, stop.signal)
    await clock.advance(100)
    stop.abort()
    await expect(waiting).resolves.toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  test('leaves nothing behind on a signal that lives longer', async () => {
    const clock = new ManualClock()
    const { signal } = new AbortController()
    const waiting = sleep(clock, 100, signal)
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    await clock.advance(100)
    await waiting
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

describe('a time limit', () => {
  test('answers with the work when that is in time, and leaves no timer', async () => {
    const clock = new ManualClock()
    expect(await withTimeout(clock, 100, Promise.resolve('value'))).toBe('value')
    await expect(withTimeout(clock, 100, Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(clock.pending).toBe(0)
  })

  test('answers that it timed out when the work is late', async () => {
    const clock = new ManualClock()
    const limited = withTimeout(clock, 100, deferred<string>().promise)
    await clock.advance(99)
    expect(await settled(limited)).toBe(false)
    await clock.advance(1)
    expect(await limited).toBe(timedOut)
  })

  test('swallows what the work fails with later', async () => {
    const clock = new ManualClock()
    const work = deferred<string>()
    const limited = withTimeout(clock, 100, work.promise)
    await clock.advance(100)
    expect(await limited).toBe(timedOut)
    // An unhandled rejection would fail this run.
    work.reject(new Error('too late'))
    await clock.advance(1)
    expect(clock.pending).toBe(0)
  })
})
