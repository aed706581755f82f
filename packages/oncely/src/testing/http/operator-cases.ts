import assert from 'node:assert/strict'
import { reply } from '../../http/index.ts'
import { type App, assertProblem, assertReplay, freshKey, type HttpCases, type HttpWorld } from './http-world.ts'

const principal = 'account-1'
/** Longer than a lease and the time in which an effect may still arrive, together. */
const settledMs = 120_000

/** An application whose first run ends without anyone knowing its outcome. */
async function startUncertain(world: HttpWorld, key: string): Promise<App> {
  let failed = false
  const app = await world.start({
    handler: () => {
      if (failed) return reply(201, 'the second run')
      failed = true
      throw new Error('the connection to the provider broke')
    },
  })
  await app.post(key)
  assertProblem(await app.post(key), 409, 'uncertain')
  return app
}

/** Operators find a record by caller and key, and decide what nobody else can. */
export const operatorCases: HttpCases = {
  'R56: a key that is forgotten is new again, and its trail says why': async (world) => {
    const app = await world.start()
    const key = freshKey()
    assert.equal((await app.post(key)).status, 201)
    const id = app.oncely.recordId({ principal, key })
    assert.equal((await app.oncely.read(id))?.state, 'completed')
    assert.equal(await app.oncely.read(app.oncely.recordId({ principal: 'account-2', key })), undefined)
    assert.equal(await app.oncely.forget(id, 'ticket 7'), true)
    assert.equal(await app.oncely.read(id), undefined)
    assert.ok((await app.oncely.trail(id)).some(({ reason }) => reason.includes('ticket 7')))
    const again = await app.post(key)
    assert.equal(again.status, 201)
    assert.equal(again.header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 2)
  },
}

/** Only a lease leaves an outcome unknown; a transaction answers for itself. */
export const leaseOperatorCases: HttpCases = {
  'R56: what an operator found not applied may run again, once, and the trail says who decided': async (world) => {
    const key = freshKey()
    const app = await startUncertain(world, key)
    const id = app.oncely.recordId({ principal, key })
    const decision = { applied: false, by: 'operator-1', reason: 'the provider has no payment' }
    await world.harness.advance(settledMs)
    const record = await app.oncely.read(id)
    assert.ok(record)
    assert.equal((await app.oncely.resolve(record, decision)).word, 'resolved')
    const trail = await app.oncely.trail(id)
    assert.ok(trail.some(({ owner, reason }) => `${owner} ${reason}`.includes(decision.reason)))
    const next = await app.post(key)
    assert.equal(next.status, 201, next.body.toString('utf8'))
    assertReplay(next, await app.post(key))
    assert.equal(app.runs, 2)
  },

  'R56: what an operator found applied never runs again': async (world) => {
    const key = freshKey()
    const app = await startUncertain(world, key)
    const id = app.oncely.recordId({ principal, key })
    const decision = { applied: true, value: { payment: 'p-1' }, by: 'operator-1', reason: 'the provider has p-1' }
    const record = await app.oncely.read(id)
    assert.ok(record)
    assert.equal((await app.oncely.resolve(record, decision)).word, 'resolved')
    const next = await app.post(key)
    assert.equal(next.status, 200, next.body.toString('utf8'))
    assert.deepEqual(next.json(), { payment: 'p-1' })
    assert.equal(app.runs, 1)
  },
}
