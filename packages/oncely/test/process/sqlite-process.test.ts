import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { migrations } from '../../src/store/sqlite/migration.ts'
import { claimOf, digestOf, inTransaction, newId, outcomeOf } from '../store/sqlite-claim.ts'
import { book, connect, entries, openBooks, temporaryFile } from '../store/sqlite-fixture.ts'
import { measureLag } from './event-loop-lag.ts'
import { WorkerProcess } from './sqlite-child.ts'

const commit = { end: 'commit', outcome: outcomeOf('booked'), value: 'value' } as const

test('the event loop goes on while another process holds the file for 2 seconds', { timeout: 60_000 }, async () => {
  const { path, store, user } = await openBooks({ busyTimeoutMs: 20_000 })
  const completed = claimOf(newId(), { bind: 'transaction' })
  await store.transact(completed, inTransaction, async () => commit)
  const worker = new WorkerProcess({ task: 'hold', path, holdMs: 2_000 })
  await worker.said('ready')
  worker.go()
  await worker.said('inside')

  const lag = measureLag()
  const begun = performance.now()
  const claims = Array.from({ length: 40 }, () => store.claim(claimOf(newId())))
  const handlers = Array.from({ length: 10 }, (_, index) =>
    store.transact(claimOf(newId(), { bind: 'transaction' }), { ...inTransaction, lockTimeoutMs: 20_000 }, async ({ tx }) => {
      book(tx, `handler ${index}`)
      return commit
    }),
  )
  // What is committed is read and replayed meanwhile.
  let replays = 0
  while (performance.now() - begun < 1_500) {
    expect((await store.claim(claimOf(completed.id))).word).toBe('replay')
    replays++
    await sleep(10)
  }
  const worstMs = lag.stop()
  const answers = await Promise.all(claims)
  const waitedMs = performance.now() - begun
  const results = await Promise.all(handlers)

  expect(replays).toBeGreaterThan(50)
  expect(waitedMs).toBeGreaterThan(1_500)
  expect(answers.map(({ word }) => word)).toEqual(answers.map(() => 'acquired'))
  expect(results.map(({ word }) => word)).toEqual(results.map(() => 'committed'))
  expect(entries(user).length).toBe(11)
  expect(worstMs).toBeLessThan(50)
})

test('a process killed in the middle of a handler: the key is free at once, and the retry books once', { timeout: 60_000 }, async () => {
  const { path, store, user } = await openBooks()
  const worker = new WorkerProcess({ task: 'hang', path, key: 'payment' })
  await worker.said('ready')
  worker.go()
  await worker.said('inside')
  const retry = (lockTimeoutMs: number) =>
    store.transact(claimOf(digestOf('payment'), { bind: 'transaction' }), { ...inTransaction, lockTimeoutMs }, async ({ tx, claim }) => {
      book(tx, `of attempt ${claim?.attempt}`)
      return commit
    })
  expect(await retry(50)).toMatchObject({ word: 'refused', answer: { word: 'in-progress' } })
  await worker.kill()
  expect((await retry(1_000)).word).toBe('committed')
  expect(await retry(1_000)).toMatchObject({ answer: { word: 'replay', outcome: outcomeOf('booked') } })
  expect(entries(user)).toEqual(['of attempt 1'])
})

test('a record that a process completed before it was killed is replayed', { timeout: 60_000 }, async () => {
  const { path, store } = await openBooks()
  const worker = new WorkerProcess({ task: 'hang', path, key: 'payment' })
  await worker.said('ready')
  const { ownership } = await acquired(store.claim(claimOf(newId())))
  await store.complete(ownership, outcomeOf('kept'))
  worker.go()
  await worker.said('inside')
  await worker.kill()
  expect(await store.claim(claimOf(ownership.id))).toMatchObject({ word: 'replay', outcome: outcomeOf('kept') })
})

test('4 processes that start on a new file at once migrate it once', { timeout: 60_000 }, async () => {
  const path = temporaryFile()
  const workers = Array.from({ length: 4 }, () => new WorkerProcess({ task: 'open', path }))
  for (const worker of workers) await worker.said('ready')
  for (const worker of workers) worker.go()
  const instances = await Promise.all(workers.map(async (worker) => (await worker.said('done')).instanceId))
  expect(new Set(instances).size).toBe(1)
  expect(instances[0]).toMatch(/^[0-9a-f-]{36}$/)
  const connection = connect(path)
  // The last process to leave has the file to itself while it empties the log.
  connection.exec('PRAGMA busy_timeout = 10000')
  expect(connection.prepare('SELECT number FROM oncely_migrations').all()).toEqual(migrations.map(({ number }) => ({ number })))
})

async function acquired(answer: ReturnType<Awaited<ReturnType<typeof openBooks>>['store']['claim']>) {
  const given = await answer
  if (given.word !== 'acquired') throw new TypeError(given.word)
  return given
}
