import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { entries, openBooks } from '../store/sqlite-fixture.ts'
import { WorkerProcess } from './sqlite-child.ts'
import type { WorkerTask } from './sqlite-worker.ts'

const keys = Array.from({ length: 200 }, (_, index) => `key ${index}`)
/** 50 racers a key, over four processes. */
const racers = [13, 13, 12, 12]

test('200 keys, 50 racers each, over 4 processes: 200 effects in lease mode', { timeout: 120_000 }, async () => {
  const { path, store } = await openBooks()
  const effects = join(dirname(path), 'effects.log')
  const words = await race((share) => ({ task: 'race-lease', path, effects, keys: keys.length, racers: share }))
  expect(words).toEqual({ 'ran, done': 200, replay: 9_800 })
  expect(readFileSync(effects, 'utf8').trimEnd().split('\n').sort()).toEqual([...keys].sort())
  expect(await store.stats()).toMatchObject({ records: 200, completed: 200, running: 0, uncertain: 0 })
})

test('200 keys, 50 racers each, over 4 processes: 200 effects in transaction mode', { timeout: 120_000 }, async () => {
  const { path, store, user } = await openBooks()
  const words = await race((share) => ({ task: 'race-transaction', path, keys: keys.length, racers: share }))
  expect(words).toEqual({ 'ran, committed': 200, replay: 9_800 })
  expect(entries(user).sort()).toEqual([...keys].sort())
  expect(await store.stats()).toMatchObject({ records: 200, completed: 200, running: 0, uncertain: 0 })
})

/** Starts all processes, lets them go together, and adds up what their racers were told. */
async function race(taskOf: (share: number) => WorkerTask): Promise<Record<string, number>> {
  const workers = racers.map((share) => new WorkerProcess(taskOf(share)))
  for (const worker of workers) await worker.said('ready')
  for (const worker of workers) worker.go()
  const totals: Record<string, number> = {}
  for (const worker of workers) {
    for (const [word, count] of Object.entries((await worker.said('done')).words)) totals[word] = (totals[word] ?? 0) + count
  }
  return totals
}
