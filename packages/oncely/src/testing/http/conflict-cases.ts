import assert from 'node:assert/strict'
import { reply } from '../../http/index.ts'
import { deferred } from '../store/deferred.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases, interposed } from './http-world.ts'

/** One key twice: with another payload, and at the same time. */
export const conflictCases: HttpCases = {
  'R8: the same key with another payload is a mismatch, and the record stands': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const first = await app.post(key, { amount: 1 })
    const answer = await app.post(key, { amount: 2 })
    assertProblem(answer, 422, 'mismatch')
    assert.equal(answer.header('idempotency-status'), 'mismatch')
    assertReplay(first, await app.post(key, { amount: 1 }))
    assert.equal(app.runs, 1)
  },

  'R9: a mismatch is told while the first request still runs': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      handler: async () => {
        started.resolve()
        await gate.promise
        return reply(201)
      },
    })
    const key = freshKey()
    const first = app.post(key, { amount: 1 })
    await started.promise
    assertProblem(await app.post(key, { amount: 2 }), 422, 'mismatch')
    gate.resolve()
    assert.equal((await first).status, 201)
    assert.equal(app.runs, 1)
  },

  'R10: a duplicate in flight is told to retry the same key after at least a second': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      handler: async () => {
        started.resolve()
        await gate.promise
        return reply(201)
      },
    })
    const key = freshKey()
    const first = app.post(key)
    await started.promise
    const answer = await app.post(key)
    const body = assertProblem(answer, 409, 'in-progress')
    assert.deepEqual([body['retryable'], body['same_key'], body['safe_new_key'], body['operation_state']], [true, true, false, 'running'])
    assert.match(answer.header('retry-after') ?? '', /^[1-9]\d{0,4}$/)
    assert.equal(answer.header('idempotency-status'), 'conflict')
    gate.resolve()
    assertReplay(await first, await app.post(key))
    assert.equal(app.runs, 1)
  },

  'R11: of 100 requests at once over two instances one runs': async (world) => {
    const apps = [await world.start(), await world.start()]
    const key = freshKey()
    const answers = await Promise.all(Array.from({ length: 100 }, (_, nth) => (apps[nth % 2] as (typeof apps)[number]).post(key)))
    const results = answers.filter(({ status }) => status === 201)
    for (const answer of answers) {
      if (answer.status === 201) assert.deepEqual(answer.body, results[0]?.body)
      else assertProblem(answer, 409, 'in-progress')
    }
    assert.equal(results.filter((answer) => answer.header('idempotent-replayed') === undefined).length, 1)
    assert.equal(
      apps.reduce((sum, app) => sum + app.runs, 0),
      1,
    )
  },

  'R12: a duplicate that may wait gets the replay': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      policy: { onConcurrent: 'wait', wait: '10s' },
      handler: async () => {
        started.resolve()
        await gate.promise
        return reply(201, 'done')
      },
    })
    const key = freshKey()
    const first = app.post(key)
    await started.promise
    const second = app.post(key)
    gate.resolve()
    assertReplay(await first, await second)
    assert.equal(app.runs, 1)
  },

  'R12: a wait is bounded, and ends with 409': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      policy: { onConcurrent: 'wait', wait: '50ms' },
      handler: async () => {
        started.resolve()
        await gate.promise
        return reply(201)
      },
    })
    const key = freshKey()
    const first = app.post(key)
    await started.promise
    assertProblem(await app.post(key), 409, 'in-progress')
    gate.resolve()
    assert.equal((await first).status, 201)
  },

  'R13: a loser whose winner has finished by the time it looks gets the replay, or the mismatch': async (world) => {
    const held = deferred<void>()
    const arrived = deferred<void>()
    const hold = async (): Promise<void> => {
      arrived.resolve()
      await held.promise
    }
    const late = await world.start({
      store: (store) =>
        interposed(store, (methods) => ({
          claim: (request) => hold().then(() => methods.claim.call(store, request)),
          transact: (...args) => hold().then(() => methods.transact.apply(store, args)),
        })),
    })
    const app = await world.start()
    const key = freshKey()
    const same = late.post(key, { amount: 1 })
    const other = late.post(key, { amount: 2 })
    await arrived.promise
    const first = await app.post(key, { amount: 1 })
    held.resolve()
    assertReplay(first, await same)
    assertProblem(await other, 422, 'mismatch')
    assert.equal(late.runs, 0)
  },
}
