import assert from 'node:assert/strict'
import { type BucketLease, type OutboxDraft, type OutboxStore, outboxBuckets, outboxRow, type StoredMessage } from '../core/index.ts'
import { nodeHasher } from '../platform/index.ts'
import type { OutboxHarness } from './outbox-harness.ts'
import { type Cases, declareCases, type Skips, type TestRunner } from './runner.ts'

export interface OutboxSuiteOptions<Tx> {
  /** `test` of vitest or of `node:test`. */
  readonly test: TestRunner
  /** A harness with an empty outbox; called once for each case. */
  readonly open: () => Promise<OutboxHarness<Tx>>
  /** Cases that cannot hold here, by their full name, with the reason. */
  readonly skip?: Skips
}

/**
 * Declares the contract of a store's outbox as tests: messages commit with their transaction, buckets are leased once and every
 * write proves its lease, order and head of line within an aggregate, parking and redriving, statistics.
 *
 * @throws TypeError when a skip names no case, or gives no reason.
 */
export function outboxSuite<Tx>({ test, open, skip = {} }: OutboxSuiteOptions<Tx>): void {
  declareCases(test, skip, cases, async (body) => {
    const harness = (await open()) as unknown as OutboxHarness
    await body(harness).catch(async (error: unknown) => {
      await harness.close('failed')
      throw error
    })
    await harness.close('passed')
  })
}

const leaseMs = 10_000
const sinks = ['', 'other']
let origins = 0

/** Commits messages in one transaction. */
async function send(harness: OutboxHarness, ...drafts: readonly OutboxDraft[]): Promise<readonly string[]> {
  const origin = `origin ${++origins}`
  const rows = drafts.map((draft, index) => outboxRow(nodeHasher, origin, index, draft))
  await harness.inTransaction(async (tx) => {
    await harness.outbox.enqueue(tx, rows)
    return 'commit'
  })
  return rows.map(({ id }) => id)
}

function about(aggregate: string, payload: unknown): OutboxDraft {
  return { topic: 'payments', aggregate, payload }
}

function lease(outbox: OutboxStore<never>, owner = 'relay 1', bucketsMax: number = outboxBuckets): Promise<readonly BucketLease[]> {
  return outbox.lease({ owner, leaseMs, bucketsMax, sinks })
}

async function leaseOne(outbox: OutboxStore<never>, owner?: string): Promise<BucketLease> {
  const [one, ...more] = await lease(outbox, owner)
  assert.ok(one !== undefined && more.length === 0, 'one bucket holds something due')
  return one
}

async function read(outbox: OutboxStore<never>, held: BucketLease, messagesMax = 100): Promise<readonly StoredMessage[]> {
  const messages = await outbox.read(held, { leaseMs, messagesMax, sinks })
  assert.notEqual(messages, 'lost', 'the lease is ours')
  return messages as readonly StoredMessage[]
}

function positions(messages: readonly StoredMessage[]): bigint[] {
  return messages.map(({ position }) => position)
}

function values(messages: readonly StoredMessage[]): unknown[] {
  return messages.map(({ payload }) => JSON.parse(new TextDecoder().decode(payload)))
}

/** Holds the aggregate of a message, or parks it. */
function held({ sink, aggregate, position, attempt }: StoredMessage, delayMs: number | undefined) {
  return { sink, aggregate, position, attempts: attempt, delayMs, error: 'status 503' }
}

const writing: Cases<OutboxHarness> = {
  'outbox: a message is there once its transaction has committed, byte for byte': async (harness) => {
    const payload = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const headers = { 'x-trace': 'Grüße \\ "quoted" \'too\' ?', 'x-empty': '' }
    const aggregate = ' Kunde Ä 1; -- $1 ? '
    const [id] = await send(harness, { topic: 'T', aggregate, type: 'made', payload, contentType: 'image/png', headers, sink: 'other' })
    const [message] = await read(harness.outbox, await leaseOne(harness.outbox))
    assert.ok(message !== undefined)
    assert.deepEqual(new Uint8Array(message.payload), payload)
    assert.deepEqual({ ...message.headers }, headers)
    const { topic, type, contentType, sink, attempt } = message
    assert.deepEqual(
      { topic, type, contentType, sink, attempt },
      { topic: 'T', type: 'made', contentType: 'image/png', sink: 'other', attempt: 1 },
    )
    assert.deepEqual([message.id, message.aggregate], [id, aggregate])
  },
  'outbox: names that differ in case or in blanks at the end are different aggregates': async (harness) => {
    const names = ['a', 'A', 'a ', 'á']
    await send(harness, ...names.map((name) => about(name, name)))
    const seen: string[] = []
    for (const one of await lease(harness.outbox)) {
      const messages = await read(harness.outbox, one)
      seen.push(...messages.map(({ aggregate }) => aggregate))
      const [first] = messages
      if (first?.aggregate === 'a') await harness.outbox.settle(one, { sent: [], freed: [], held: [held(first, 60_000)] })
      await harness.outbox.release(one)
    }
    assert.deepEqual(seen.sort(), [...names].sort())
    const left: string[] = []
    for (const one of await lease(harness.outbox)) left.push(...(await read(harness.outbox, one)).map(({ aggregate }) => aggregate))
    assert.deepEqual(left.sort(), names.slice(1).sort())
  },
  'outbox: a message of a transaction that rolls back never was': async (harness) => {
    await harness.inTransaction(async (tx) => {
      await harness.outbox.enqueue(tx, [outboxRow(nodeHasher, 'rolled back', 0, about('a', 1))])
      return 'roll-back'
    })
    assert.deepEqual(await harness.outbox.stats(), { backlog: 0, oldestMs: 0, parked: 0 })
    assert.deepEqual(await lease(harness.outbox), [])
  },
  'outbox: messages of an aggregate are read in the order in which they were sent, over transactions': async (harness) => {
    await send(harness, about('a', 1), about('a', 2))
    await send(harness, about('a', 3))
    await send(harness, about('a', 4), about('a', 5))
    const one = await leaseOne(harness.outbox)
    assert.deepEqual(values(await read(harness.outbox, one, 3)), [1, 2, 3])
    await harness.outbox.settle(one, { sent: positions(await read(harness.outbox, one, 3)), freed: [], held: [] })
    assert.deepEqual(values(await read(harness.outbox, one)), [4, 5])
  },
}

const leasing: Cases<OutboxHarness> = {
  'lease: a bucket is one relay’s until it is given back': async (harness) => {
    await send(harness, about('a', 1))
    const one = await leaseOne(harness.outbox)
    assert.deepEqual(await lease(harness.outbox, 'relay 2'), [])
    await harness.outbox.release(one)
    const two = await leaseOne(harness.outbox, 'relay 2')
    assert.ok(two.token > one.token, 'the token grows')
  },
  'lease: a relay that is gone keeps its buckets for the lease and no longer': async (harness) => {
    await send(harness, about('a', 1))
    const gone = await leaseOne(harness.outbox)
    await harness.advance(leaseMs - 2_000)
    assert.deepEqual(await lease(harness.outbox, 'relay 2'), [])
    await harness.advance(2_001)
    const two = await leaseOne(harness.outbox, 'relay 2')
    assert.equal(await harness.outbox.read(gone, { leaseMs, messagesMax: 1, sinks }), 'lost')
    await harness.outbox.release(gone)
    assert.equal((await read(harness.outbox, two)).length, 1)
  },
  'lease: reading prolongs it': async (harness) => {
    await send(harness, about('a', 1))
    const one = await leaseOne(harness.outbox)
    await harness.advance(leaseMs - 2_000)
    await read(harness.outbox, one)
    await harness.advance(leaseMs - 2_000)
    assert.deepEqual(await lease(harness.outbox, 'relay 2'), [])
  },
  'lease: a late settlement changes nothing': async (harness) => {
    await send(harness, about('a', 1), about('a', 2))
    const late = await leaseOne(harness.outbox)
    const [first] = await read(harness.outbox, late)
    assert.ok(first !== undefined)
    await harness.advance(leaseMs + 1)
    const two = await leaseOne(harness.outbox, 'relay 2')
    assert.equal(await harness.outbox.settle(late, { sent: [first.position], freed: [], held: [] }), 'lost')
    assert.equal(await harness.outbox.settle(late, { sent: [], freed: [], held: [held(first, undefined)] }), 'lost')
    assert.deepEqual(values(await read(harness.outbox, two)), [1, 2])
    assert.deepEqual(await harness.outbox.parked(10), [])
  },
  'lease: only buckets with something for the relay’s sinks, as many as it asks for': async (harness) => {
    await send(harness, ...Array.from({ length: 40 }, (_, index) => about(`a${index}`, index)))
    await send(harness, { ...about('b', 1), sink: 'foreign' })
    const three = await lease(harness.outbox, 'relay 1', 3)
    assert.equal(three.length, 3)
    const rest = await lease(harness.outbox)
    const read = await Promise.all([...three, ...rest].map((one) => harness.outbox.read(one, { leaseMs, messagesMax: 100, sinks })))
    assert.deepEqual(
      read.flatMap((messages) => values(messages as StoredMessage[]) as number[]).sort((a, b) => a - b),
      Array.from({ length: 40 }, (_, index) => index),
    )
  },
  'lease: relays that ask at once never get the same bucket': async (harness) => {
    await send(harness, ...Array.from({ length: 100 }, (_, index) => about(`a${index}`, index)))
    const leased = await Promise.all(Array.from({ length: 8 }, (_, index) => lease(harness.outbox, `relay ${index}`, 16)))
    const buckets = leased.flat().map(({ bucket }) => bucket)
    assert.equal(new Set(buckets).size, buckets.length)
    assert.ok(buckets.length > 0)
  },
}

const holding: Cases<OutboxHarness> = {
  'held: the aggregate waits as a whole, and nobody else does': async (harness) => {
    const sameBucket = twoOfOneBucket()
    await send(harness, about(sameBucket[0], 1), about(sameBucket[1], 'other'), about(sameBucket[0], 2))
    const one = await leaseOne(harness.outbox)
    const [first] = await read(harness.outbox, one)
    assert.ok(first !== undefined)
    assert.equal(await harness.outbox.settle(one, { sent: [], freed: [], held: [held(first, 30_000)] }), 'done')
    assert.deepEqual(values(await read(harness.outbox, one)), ['other'])
    await harness.advance(30_001)
    const again = await read(harness.outbox, (await lease(harness.outbox))[0] ?? one)
    assert.deepEqual(values(again), [1, 'other', 2])
    assert.deepEqual(
      again.map(({ attempt }) => attempt),
      [2, 1, 1],
    )
  },
  'held: a bucket with nothing else is not leased before the time': async (harness) => {
    await send(harness, about('a', 1))
    const one = await leaseOne(harness.outbox)
    const [first] = await read(harness.outbox, one)
    assert.ok(first !== undefined)
    await harness.outbox.settle(one, { sent: [], freed: [], held: [held(first, 5_000)] })
    await harness.outbox.release(one)
    assert.deepEqual(await lease(harness.outbox), [])
    await harness.advance(5_001)
    await leaseOne(harness.outbox)
  },
  'held: sent at last, it counts from one again': async (harness) => {
    await send(harness, about('a', 1), about('a', 2))
    const one = await leaseOne(harness.outbox)
    const [first] = await read(harness.outbox, one)
    assert.ok(first !== undefined)
    await harness.outbox.settle(one, { sent: [], freed: [], held: [held(first, 1)] })
    await harness.advance(1_000)
    await harness.outbox.settle(one, { sent: [first.position], freed: [{ sink: first.sink, aggregate: first.aggregate }], held: [] })
    const [second] = await read(harness.outbox, one)
    assert.equal(second?.attempt, 1)
    assert.equal((await harness.outbox.stats()).backlog, 1)
  },
  'parked: the aggregate waits for an operator, and with it what comes later': async (harness) => {
    await send(harness, about('a', 1), about('a', 2))
    const one = await leaseOne(harness.outbox)
    const [first] = await read(harness.outbox, one)
    assert.ok(first !== undefined)
    assert.equal(await harness.outbox.settle(one, { sent: [], freed: [], held: [held(first, undefined)] }), 'done')
    await harness.outbox.release(one)
    await send(harness, about('a', 3))
    await harness.advance(86_400_000)
    assert.deepEqual(await lease(harness.outbox), [])
    assert.deepEqual(await harness.outbox.stats(), { backlog: 3, oldestMs: 0, parked: 3 })
    const [{ parkedAtMs = 0, ...parked } = {}] = await harness.outbox.parked(10)
    assert.deepEqual(parked, { sink: '', aggregate: 'a', attempts: 1, error: 'status 503', messages: 3 })
    assert.ok(parkedAtMs > 0)
  },
  'parked: redriven, it goes on where it stood, in order': async (harness) => {
    await send(harness, about('a', 1), about('a', 2), about('b', 'b'))
    for (const one of await lease(harness.outbox)) {
      const parked = (await read(harness.outbox, one)).filter(
        ({ aggregate }, at, all) => all.findIndex((other) => other.aggregate === aggregate) === at,
      )
      await harness.outbox.settle(one, { sent: [], freed: [], held: parked.map((message) => held(message, undefined)) })
      await harness.outbox.release(one)
    }
    await send(harness, about('a', 3))
    assert.equal(await harness.outbox.redrive({ sink: '', aggregate: 'nobody' }), false)
    assert.equal(await harness.outbox.redrive({ sink: '', aggregate: 'a' }), true)
    assert.equal(await harness.outbox.redrive({ sink: '', aggregate: 'a' }), false)
    const messages = await read(harness.outbox, await leaseOne(harness.outbox))
    assert.deepEqual(values(messages), [1, 2, 3])
    assert.equal(messages[0]?.attempt, 1)
    assert.equal((await harness.outbox.stats()).parked, 1)
  },
}

const counting: Cases<OutboxHarness> = {
  'stats: the backlog and the age of the oldest message': async (harness) => {
    assert.deepEqual(await harness.outbox.stats(), { backlog: 0, oldestMs: 0, parked: 0 })
    await send(harness, about('a', 1))
    await harness.advance(60_000)
    await send(harness, about('b', 2))
    const { backlog, oldestMs, parked } = await harness.outbox.stats()
    assert.deepEqual({ backlog, parked }, { backlog: 2, parked: 0 })
    assert.ok(oldestMs >= 60_000 && oldestMs < 120_000, `the oldest is ${oldestMs} ms old`)
  },
}

const cases: Cases<OutboxHarness> = { ...writing, ...leasing, ...holding, ...counting }

/** Two aggregates that share a bucket. */
function twoOfOneBucket(): readonly [string, string] {
  const bucketOf = (aggregate: string): number => outboxRow(nodeHasher, '', 0, about(aggregate, 0)).bucket
  const wanted = bucketOf('a')
  for (let number = 1; ; number++) if (bucketOf(`n${number}`) === wanted) return ['a', `n${number}`]
}
