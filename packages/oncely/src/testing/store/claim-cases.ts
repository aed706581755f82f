import assert from 'node:assert/strict'
import type { StoreCases } from '../store-harness.ts'
import {
  acquire,
  acquired,
  answered,
  assertNewer,
  assertSame,
  claimRequest,
  leaseMs,
  newId,
  payload,
  suitePolicy,
} from './claim-request.ts'

/** Who may run, and what the record keeps of it. */
export const claimCases: StoreCases = {
  'claim: a free key goes to its first caller': async ({ store, nowMs }) => {
    const request = claimRequest(newId())
    const beforeMs = await nowMs()
    const { ownership, attempt, begunAttempt, takeover, createdAtMs } = acquired(await store.claim(request))
    assertSame({ id: ownership.id, attemptId: ownership.attemptId }, { id: request.id, attemptId: request.attemptId })
    assert.deepEqual({ attempt, begunAttempt, takeover }, { attempt: 1, begunAttempt: 0, takeover: false })
    // A server may round to the millisecond in either direction.
    assert.ok(createdAtMs >= beforeMs - 2 && createdAtMs <= (await nowMs()) + 2, `created at ${createdAtMs}, claimed at ${beforeMs}`)
  },

  'claim: a second caller learns that it is in progress, and for how long at most': async ({ store }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    const { retryAfterMs } = answered(await store.claim(claimRequest(id)), 'in-progress')
    assert.ok(retryAfterMs > 0 && retryAfterMs <= leaseMs, `retry after ${retryAfterMs}`)
  },

  'claim: the record keeps everything that the claim said': async ({ store }) => {
    const policy = { ...suitePolicy, name: 'financial*', attemptsMax: 7, onLostLease: 'takeover', effectTimeoutMs: 1 } as const
    const request = claimRequest(newId(), { policy, bind: 'steps', begun: true, fingerprint: payload('same', 3, 2) })
    const { ownership, createdAtMs } = await acquire(store, request)
    const { id, operation, bind, principal, actor } = request
    assertSame(await store.read(id), {
      state: 'running',
      ...{ id, operation, bind, principal, actor, policy, createdAtMs },
      fingerprint: { version: request.fingerprint.version, keyId: 3, digest: request.fingerprint.keyed[0]?.digest },
      ...{ token: ownership.token, attemptId: request.attemptId, attempt: 1, begunAttempt: 1 },
      leaseEndMs: createdAtMs + leaseMs,
    })
  },

  'claim: a caller without an actor leaves it empty': async ({ store }) => {
    const id = newId()
    await acquire(store, claimRequest(id, { actor: new Uint8Array(0) }))
    assertSame((await store.read(id))?.actor, new Uint8Array(0))
  },

  'claim: names in any script and of any usual length come back whole': async ({ store }) => {
    const request = claimRequest(newId(), {
      operation: `créer-paiement-支払い-💶-${'o'.repeat(160)}`,
      owner: "o'Brien\\host:1",
      traceId: 't'.repeat(64),
    })
    await acquire(store, request)
    assert.equal((await store.read(request.id))?.operation, request.operation)
    const [claimed] = await store.trail(request.id)
    assert.deepEqual({ owner: claimed?.owner, traceId: claimed?.traceId }, { owner: request.owner, traceId: request.traceId })
  },

  'claim: an attempt that begins with its claim has begun from the start': async ({ store }) => {
    const { begunAttempt } = await acquire(store, claimRequest(newId(), { begun: true }))
    assert.equal(begunAttempt, 1)
  },

  'claim: a retry of an own claim whose answer was lost is the same claim': async ({ store }) => {
    const request = claimRequest(newId())
    const first = await acquire(store, request)
    assertSame(await store.claim(request), first)
    assert.equal((await store.read(request.id))?.attempt, 1)
    assert.equal((await store.trail(request.id)).length, 1)
  },

  'claim: an own claim is recognised after its lease, too': async ({ store, advance }) => {
    const request = claimRequest(newId())
    const first = await acquire(store, request)
    await advance(leaseMs + 5_000)
    const again = await acquire(store, request)
    assertSame([again.ownership, again.attempt, again.takeover], [first.ownership, 1, false])
  },

  'claim: an own claim that arrives after its attempt released the key grants nothing': async ({ store }) => {
    const request = claimRequest(newId())
    const { ownership } = await acquire(store, request)
    await store.release(ownership, { reason: 'given up' })
    answered(await store.claim(request), 'in-progress')
    assert.equal((await store.read(request.id))?.state, 'released')
    await acquire(store, claimRequest(request.id))
  },

  'claim: an own attempt id with another payload is a mismatch': async ({ store }) => {
    const request = claimRequest(newId())
    await acquire(store, request)
    answered(await store.claim({ ...request, fingerprint: payload('other') }), 'mismatch')
  },

  'claim: ids that differ in one bit at either end are two records': async ({ store }) => {
    const last = newId()
    const first = last.slice()
    const other = last.slice()
    first[0] = (first[0] as number) ^ 0x80
    other[31] = (other[31] as number) ^ 0x01
    for (const id of [last, first, other]) await acquire(store, claimRequest(id))
    for (const id of [last, first, other]) assertSame((await store.read(id))?.id, id)
  },

  'claim: an id is bytes: zeros, high bytes, letters of both cases and blanks stay apart': async ({ store }) => {
    const ids = [0x00, 0x20, 0x41, 0x61, 0x80, 0xff].map((byte) => new Uint8Array(32).fill(byte))
    for (const id of ids) await acquire(store, claimRequest(id))
    for (const id of ids) assertSame((await store.read(id))?.id, id)
  },

  'claim: two callers with one key of their own never meet': async ({ store }) => {
    const [one, two] = [newId(), newId()]
    const first = await acquire(store, claimRequest(one, { fingerprint: payload('one') }))
    await acquire(store, claimRequest(two, { fingerprint: payload('two') }))
    assert.equal(await store.release(first.ownership, { reason: 'failed' }), 'done')
    assert.equal((await store.read(two))?.state, 'running')
    await store.forget(one, { reason: 'test' })
    assert.equal((await store.read(two))?.state, 'running')
  },

  'claim: the newest attempt replaces what the record said of the one before': async ({ store }) => {
    const id = newId()
    const first = await acquire(store, claimRequest(id, { actor: new Uint8Array(32).fill(1) }))
    await store.release(first.ownership, { reason: 'failed' })
    const second = claimRequest(id, { actor: new Uint8Array(32).fill(2) })
    const { ownership, createdAtMs } = await acquire(store, second)
    const record = await store.read(id)
    assertSame([record?.actor, record?.attemptId, record?.token], [second.actor, second.attemptId, ownership.token])
    assert.equal(createdAtMs, first.createdAtMs)
    assertNewer(ownership.token, first.ownership.token)
  },
}

/** On a clock that only the case moves, boundaries are exact to the millisecond. */
export const claimClockCases: StoreCases = {
  'claim: in progress lasts to the last millisecond of the lease and not longer': async ({ store, advance }) => {
    const id = newId()
    await acquire(store, claimRequest(id))
    assert.equal(answered(await store.claim(claimRequest(id)), 'in-progress').retryAfterMs, leaseMs)
    await advance(leaseMs - 1)
    assert.equal(answered(await store.claim(claimRequest(id)), 'in-progress').retryAfterMs, 1)
    await advance(1)
    assert.equal((await acquire(store, claimRequest(id))).takeover, true)
  },

  'claim: a record is dated by the clock that was handed in': async ({ store, nowMs }) => {
    const { createdAtMs } = await acquire(store, claimRequest(newId()))
    assert.equal(createdAtMs, await nowMs())
  },
}
