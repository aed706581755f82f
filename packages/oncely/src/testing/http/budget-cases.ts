import assert from 'node:assert/strict'
import { reply } from '../../http/index.ts'
import { deferred } from '../store/deferred.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

/** How much of the layer one caller may use up. */
export const budgetCases: HttpCases = {
  'R49: over its budget of new keys a caller gets 429, its old keys are answered, and other callers are not touched': async (world) => {
    const app = await world.start({ budget: { newKeysMax: 2, window: '1h', runningMax: 10 }, limits: { recentOutcomesMax: 0 } })
    const keys = [freshKey(), freshKey()] as const
    const first = await app.post(keys[0])
    assertReplay(first, await app.post(keys[0]))
    await app.post(keys[1])
    const refused = await app.post(freshKey())
    const body = assertProblem(refused, 429, 'over-budget')
    assert.deepEqual([body['retryable'], body['same_key'], body['safe_new_key']], [true, true, false])
    const retryAfter = Number(refused.header('retry-after'))
    assert.ok(retryAfter >= 1 && retryAfter <= 3_600, String(retryAfter))
    assert.equal(app.runs, 2)
    assertReplay(first, await app.post(keys[0]))
    assertProblem(await app.post(keys[1], { amount: 7 }), 422, 'mismatch')
    assert.equal((await app.post(freshKey(), undefined, { headers: { 'x-account': 'account-2' } })).status, 201)
    assert.equal(app.runs, 3)
  },

  'R49: over its budget of running keys a caller gets 429 until one of them ends': async (world) => {
    const entered = deferred<void>()
    const end = deferred<void>()
    let first = true
    const app = await world.start({
      budget: { newKeysMax: 10, runningMax: 1 },
      handler: async () => {
        if (first) {
          first = false
          entered.resolve()
          await end.promise
        }
        return reply(201, 'ran')
      },
    })
    const running = app.post(freshKey())
    await entered.promise
    const waiting = freshKey()
    assert.equal(assertProblem(await app.post(waiting), 429, 'over-budget')['retryable'], true)
    // In a database of one writer a second transaction would wait for the first.
    if (world.bind === 'lease') assert.equal((await app.post(freshKey(), undefined, { headers: { 'x-account': 'account-2' } })).status, 201)
    end.resolve()
    assert.equal((await running).status, 201)
    assert.equal((await app.post(waiting)).status, 201)
  },
}
