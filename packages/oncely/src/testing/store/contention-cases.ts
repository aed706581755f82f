import assert from 'node:assert/strict'
import type { ClaimAnswer, Store } from '../../core/index.ts'
import type { StoreCases } from '../store-harness.ts'
import {
  acquire,
  acquired,
  answered,
  assertSame,
  claimRequest,
  completedRecord,
  leaseMs,
  newId,
  outcomeOf,
  payload,
  resolverMs,
  sealedRecord,
} from './claim-request.ts'

const crowd = 50

/** Many callers at once: one wins, the others are told. */
export const contentionCases: StoreCases = {
  'contention: of 50 claims of one key exactly one runs': async ({ store }) => {
    const id = newId()
    const answers = await Promise.all(times(crowd, () => store.claim(claimRequest(id))))
    assert.deepEqual(tally(answers), { acquired: 1, 'in-progress': crowd - 1 })
  },

  'contention: of 50 payloads under one key exactly one runs': async ({ store }) => {
    const id = newId()
    const answers = await Promise.all(times(crowd, (index) => store.claim(claimRequest(id, { fingerprint: payload(`payload ${index}`) }))))
    assert.deepEqual(tally(answers), { acquired: 1, mismatch: crowd - 1 })
  },

  'contention: 50 retries of one own claim are one claim': async ({ store }) => {
    const request = claimRequest(newId())
    const answers = await Promise.all(times(crowd, () => store.claim(request)))
    const [first] = answers.map(acquired)
    for (const answer of answers) assertSame(answer, first)
    assert.equal((await store.read(request.id))?.attempt, 1)
  },

  'contention: of 50 claims of a lost lease exactly one takes over': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const answers = await Promise.all(times(crowd, () => store.claim(claimRequest(id))))
    assert.deepEqual(tally(answers), { acquired: 1, 'in-progress': crowd - 1 })
    assert.equal((await store.read(id))?.attempt, 2)
  },

  'contention: of 50 claims of a released key exactly one runs': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await store.release(ownership, { reason: 'failed' })
    const answers = await Promise.all(times(crowd, () => store.claim(claimRequest(id))))
    assert.deepEqual(tally(answers), { acquired: 1, 'in-progress': crowd - 1 })
  },

  'contention: of 50 callers exactly one looks an uncertain outcome up': async ({ store }) => {
    const { id } = await sealedRecord(store, claimRequest(newId()))
    const answers = await Promise.all(times(crowd, () => store.claim(claimRequest(id, { resolverMs }))))
    assert.equal(answers.filter((answer) => answered(answer, 'uncertain').resolve).length, 1)
  },

  'contention: of 20 completions with other bytes the first stands': async ({ store }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    const words = await Promise.all(times(20, (index) => store.complete(ownership, outcomeOf(`outcome ${index}`))))
    assert.equal(words.filter((word) => word === 'done').length, 1)
    assert.equal(words.filter((word) => word === 'conflict').length, 19)
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcomeOf(`outcome ${words.indexOf('done')}`))
  },

  'contention: a completion and a seal of one owner end in one state that both agree with': async ({ store }) => {
    for (let round = 0; round < 10; round++) {
      const { ownership } = await acquire(store, claimRequest(newId(), { begun: true }))
      const [completed, sealed] = await Promise.all([
        store.complete(ownership, outcomeOf('done')),
        store.seal(ownership, { reason: 'in doubt' }),
      ])
      // Sealed first and then completed, or completed and the seal too late: the outcome is never lost.
      assert.equal(completed, 'done')
      assert.ok(sealed === 'done' || sealed === 'lost')
      assert.equal((await store.read(ownership.id))?.state, 'completed')
    }
  },

  'contention: 50 keys at once do not disturb each other': async ({ store }) => {
    const ids = times(crowd, () => newId())
    await Promise.all(ids.map((id, index) => completedRecord(store, claimRequest(id), outcomeOf(`outcome ${index}`))))
    const replays = await Promise.all(ids.map((id) => store.claim(claimRequest(id))))
    for (const [index, replay] of replays.entries()) assertSame(answered(replay, 'replay').outcome, outcomeOf(`outcome ${index}`))
  },
}

/** Where several connections share the records. */
export const contentionSharedCases: StoreCases = {
  'contention: of 50 claims over two connections exactly one runs': async ({ store, reopen }) => {
    const stores = [store, await reopen()] as const
    for (let round = 0; round < 5; round++) {
      const id = newId()
      const answers = await Promise.all(times(crowd, (index) => oneOf(stores, index).claim(claimRequest(id))))
      assert.deepEqual(tally(answers), { acquired: 1, 'in-progress': crowd - 1 })
    }
  },

  'contention: what one connection completed the other replays': async ({ store, reopen }) => {
    const other = await reopen()
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    answered(await other.claim(claimRequest(id)), 'in-progress')
    assert.equal(await other.complete(ownership, outcomeOf('from the other side')), 'done')
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcomeOf('from the other side'))
  },

  'contention: of 20 takeovers over two connections exactly one wins': async ({ store, reopen, advance }) => {
    const stores = [store, await reopen()] as const
    const id = newId()
    await acquire(store, claimRequest(id))
    await advance(leaseMs + 5_000)
    const answers = await Promise.all(times(20, (index) => oneOf(stores, index).claim(claimRequest(id))))
    assert.deepEqual(tally(answers), { acquired: 1, 'in-progress': 19 })
  },

  'contention: two sweepers remove each record once': async ({ store, reopen, advance }) => {
    const other = await reopen()
    for (let count = 0; count < 20; count++) await completedRecord(store, claimRequest(newId()))
    await advance(10 * 86_400_000)
    const batches = await Promise.all([store.sweep({ batchMax: 100 }), other.sweep({ batchMax: 100 })])
    const left = await store.sweep({ batchMax: 100 })
    assert.equal(
      batches.reduce((sum, { removed }) => sum + removed, left.removed),
      20,
    )
    assert.equal((await store.stats()).records, 0)
  },
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

function oneOf(stores: readonly [Store, Store], index: number): Store {
  return index % 2 === 0 ? stores[0] : stores[1]
}

function tally(answers: readonly ClaimAnswer[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { word } of answers) counts[word] = (counts[word] ?? 0) + 1
  return counts
}
