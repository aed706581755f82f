import assert from 'node:assert/strict'
import { assertReplay, freshKey, type HttpCases, interposed } from './http-world.ts'

/** Answers that another region may still win over. */
export const settledCases: HttpCases = {
  'R62: an answer says that it is not settled for as long as its store does, and is kept nowhere else': async (world) => {
    let settled = false
    const app = await world.start({
      // As a store that decides for its region alone, until the others have agreed.
      store: (store) =>
        interposed(store, (below) => ({
          claim: async (request) => {
            const answer = await below.claim(request)
            if (settled) return answer
            if (answer.word === 'acquired') return { ...answer, settled: false }
            return answer.word === 'replay' ? { ...answer, record: { ...answer.record, settled: false } } : answer
          },
        })),
    })
    const key = freshKey()
    const first = await app.post(key)
    assert.equal(first.header('idempotency-settled'), '?0')
    const again = await app.post(key)
    assertReplay(first, again)
    assert.equal(again.header('idempotency-settled'), '?0')
    settled = true
    const last = await app.post(key)
    assertReplay(first, last)
    assert.equal(last.header('idempotency-settled'), undefined)
    assert.equal(app.runs, 1)
  },
}
