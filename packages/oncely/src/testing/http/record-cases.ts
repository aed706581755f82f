import assert from 'node:assert/strict'
import { StoreTooWeak } from '../../core/index.ts'
import { nodeClock } from '../../platform/index.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases, interposed } from './http-world.ts'

const clockSkewMs = 60_000
const secretOf = (id: number) => ({ id, key: new Uint8Array(32).fill(id) })

/** What nodes that differ in clock, secret or store make of each other's records. */
export const recordCases: HttpCases = {
  'R46: a store that survives less than the policy needs is refused, and nothing runs': async (world) => {
    const app = await world.start({
      policy: { survives: 'power' },
      store: (store) =>
        interposed(store, (real) => ({
          open: async () => ({ ...(await real.open()), survives: 'nothing', survivesBecause: 'it keeps records in memory' }),
        })),
    })
    await assert.rejects(app.oncely.open(), StoreTooWeak)
    assert.equal((await app.post(freshKey())).status, 500)
    assert.equal(app.runs, 0)
    assert.equal((await world.harness.store.stats()).records, 0)
  },

  'R48: a node or client whose clock is a minute off changes no outcome': async (world) => {
    const skewed = (ms: number) => ({ ...nodeClock, nowMs: () => nodeClock.nowMs() + ms })
    const apps = await Promise.all([0, clockSkewMs, -clockSkewMs].map((ms) => world.start({ clock: skewed(ms) })))
    for (const first of apps) {
      const key = freshKey()
      const answer = await first.post(key)
      assert.equal(answer.status, 201)
      for (const app of apps) {
        for (const ms of [clockSkewMs, -clockSkewMs]) {
          const date = new Date(nodeClock.nowMs() + ms).toUTCString()
          assertReplay(answer, await app.post(key, undefined, { headers: { date } }))
        }
        assertProblem(await app.post(key, { amount: 1 }), 422, 'mismatch')
      }
    }
    assert.deepEqual(
      apps.map(({ runs }) => runs),
      [1, 1, 1],
    )
  },

  'R48: the store decides when an answer ages, whatever clock the asking node has': async (world) => {
    const skewed = (ms: number) => ({ ...nodeClock, nowMs: () => nodeClock.nowMs() + ms })
    // Without the nearest tier, which answers for up to a minute by itself.
    const options = { policy: { retention: '24h', tombstone: '72h' }, limits: { recentOutcomesMax: 0 } } as const
    const apps = await Promise.all([0, clockSkewMs, -clockSkewMs].map((ms) => world.start({ ...options, clock: skewed(ms) })))
    const [writer] = apps as [(typeof apps)[number]]
    const key = freshKey()
    const answer = await writer.post(key)
    await world.harness.advance(86_400_000 - clockSkewMs / 2)
    for (const app of apps) assertReplay(answer, await app.post(key))
    await world.harness.advance(clockSkewMs)
    for (const app of apps) assertProblem(await app.post(key), 410, 'expired')
    assert.deepEqual(
      apps.map(({ runs }) => runs),
      [1, 0, 0],
    )
  },

  'R54: a node that lacks the secret of a record refuses, and runs nothing': async (world) => {
    const writer = await world.start({ secrets: [secretOf(1)] })
    const stranger = await world.start({ secrets: [secretOf(2)] })
    const key = freshKey()
    const first = await writer.post(key)
    assert.equal(first.status, 201)
    assert.equal(assertProblem(await stranger.post(key), 503, 'unavailable')['reason'], 'fingerprint-secret')
    assert.equal(stranger.runs, 0)
    const rotated = await world.start({ secrets: [secretOf(2), secretOf(1)] })
    assertReplay(first, await rotated.post(key))
    assert.equal(rotated.runs, 0)
  },
}

/** The rules of another version, put between a node and its store where a claim is a step of its own. */
export const leaseRecordCases: HttpCases = {
  'R54: a node with other fingerprint rules refuses, and runs nothing': async (world) => {
    const writer = await world.start()
    const newer = await world.start({
      store: (store) =>
        interposed(store, (real) => ({
          claim: (request) => real.claim({ ...request, fingerprint: { ...request.fingerprint, version: request.fingerprint.version + 1 } }),
        })),
    })
    const key = freshKey()
    const first = await writer.post(key)
    assert.equal(first.status, 201)
    assert.equal(assertProblem(await newer.post(key), 503, 'unavailable')['reason'], 'fingerprint-version')
    assert.equal(newer.runs, 0)
    assertReplay(first, await writer.post(key))
  },
}
