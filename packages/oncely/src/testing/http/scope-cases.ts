import assert from 'node:assert/strict'
import { anonymous, type StandardSchema } from '../../core/index.ts'
import { reply } from '../../http/index.ts'
import { deferred } from '../store/deferred.ts'
import type { Exchanged } from './exchange.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases } from './http-world.ts'

const as = (account: string) => ({ headers: { 'x-account': account } })

/** Whose key it is, and who may have its answer. */
export const scopeCases: HttpCases = {
  'R15: two callers with one key and one body are two requests': async (world) => {
    const app = await world.start()
    const key = freshKey()
    const alice = await app.post(key, { amount: 1 }, as('alice'))
    const bob = await app.post(key, { amount: 1 }, as('bob'))
    assert.equal(bob.status, 201)
    assert.notDeepEqual(bob.body, alice.body)
    assertReplay(alice, await app.post(key, { amount: 1 }, as('alice')))
    assertReplay(bob, await app.post(key, { amount: 1 }, as('bob')))
    assert.equal(app.runs, 2)
  },

  'R16: without a resolved caller nothing runs': async (world) => {
    const app = await world.start({ caller: { principal: (header) => header('x-account') } })
    for (const account of [undefined, '']) {
      const answer = await app.post(freshKey(), {}, account === undefined ? {} : as(account))
      assert.ok(answer.status === 401 || answer.status === 500, `status ${answer.status}`)
    }
    assert.equal(app.runs, 0)
    assert.equal((await world.harness.store.stats()).records, 0)
  },

  'R16: an anonymous route says so, and is nobody named so': async (world) => {
    const app = await world.start({ caller: { principal: (header) => (header('x-account') === undefined ? anonymous : 'anonymous') } })
    const key = freshKey()
    assertReplay(await app.post(key), await app.post(key))
    assert.equal((await app.post(key, undefined, as('anonymous'))).header('idempotent-replayed'), undefined)
    assert.equal(app.runs, 2)
  },

  'R17: no caller and key can be put together to another pair': async (world) => {
    const app = await world.start()
    const pairs = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['ab', 'c'],
      ['a', 'bc'],
      ['A', 'bc'],
      ['a', 'bC'],
    ] as const
    for (const [account, key] of pairs) assert.equal((await app.post(key, {}, as(account))).header('idempotent-replayed'), undefined)
    assert.equal(app.runs, pairs.length)
  },

  'R18: the right to call is asked for again at each replay': async (world) => {
    let allowed = true
    const app = await world.start({
      caller: {
        before: (_request, response, next) => {
          if (allowed) return next()
          response.statusCode = 403
          response.end('no longer')
        },
      },
    })
    const key = freshKey()
    const first = await app.post(key)
    allowed = false
    const refused = await app.post(key)
    assert.equal(refused.status, 403)
    assert.equal(refused.body.toString('utf8'), 'no longer')
    allowed = true
    assertReplay(first, await app.post(key))
  },

  'R18: a route may refuse a replay by what is recorded': async (world) => {
    const seen: string[] = []
    const app = await world.start({
      caller: {
        authorizeReplay: (header, record) => {
          seen.push(record.operation)
          return header('x-revoked') === undefined
        },
      },
    })
    const key = freshKey()
    const first = await app.post(key)
    assertProblem(await app.post(key, undefined, { headers: { 'x-revoked': '1' } }), 403, 'replay-forbidden')
    assertReplay(first, await app.post(key))
    assert.deepEqual(seen, ['create-payment', 'create-payment'])
  },

  'R18: where the answer is the actor’s own, another actor of the same account does not get it': async (world) => {
    const app = await world.start({ policy: { replayTo: 'actor' }, caller: { actor: (header) => header('x-user') } })
    const key = freshKey()
    const by = (user: string) => app.post(key, undefined, { headers: { 'x-user': user } })
    const first = await by('ann')
    assertProblem(await by('ben'), 403, 'replay-forbidden')
    assertReplay(first, await by('ann'))
    assert.equal(app.runs, 1)
  },

  'R51: keys and bodies are in no problem and no event': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      limits: { bodyBytesMax: 200 },
      secrets: [{ id: 1, key: 'a secret of the suite, long enough' }],
      operation: { input: refusing('never') },
      handler: async () => {
        started.resolve()
        await gate.promise
        return reply(201)
      },
    })
    const key = `secret-key-${freshKey()}`
    const card = { card: 'secret-card-4111' }
    const first = app.post(key, card)
    await started.promise
    const problems: Exchanged[] = [
      await app.post(key, card),
      await app.post(key, { card: 'secret-card-4222' }),
      await app.post(`"${key}`, card),
      await app.post(freshKey(), { never: 'secret-card-4333' }),
      await app.post(freshKey(), '{"card":"secret-card-4444"'),
      await app.post(freshKey(), { card: `secret-card-${'4'.repeat(300)}` }),
    ]
    gate.resolve()
    await first
    assert.deepEqual(
      problems.map(({ status }) => status),
      [409, 422, 400, 400, 400, 413],
    )
    const told = [
      ...problems.map((answer) => answer.body.toString('utf8') + JSON.stringify(answer.headers)),
      JSON.stringify(app.events),
    ].join('\n')
    assert.ok(!/secret-(key|card)/.test(told), told)
  },

  'R53: a key that another caller used and one that nobody used cannot be told apart': async (world) => {
    const app = await world.start({ handler: ({ input }) => reply(201, input) })
    const foreign = freshKey()
    await app.post(foreign, { amount: 1 }, as('alice'))
    const [known, unknown] = [await app.post(foreign, { amount: 2 }, as('bob')), await app.post(freshKey(), { amount: 2 }, as('bob'))]
    assert.equal(known.status, unknown.status)
    assert.deepEqual(known.body, unknown.body)
    const shape = ({ headers }: Exchanged): unknown => Object.entries(headers).filter(([name]) => name !== 'date')
    assert.deepEqual(shape(known), shape(unknown))
  },
}

/** A schema that refuses an object with this member, and says nothing about its value. */
export function refusing(member: string): StandardSchema {
  const validate = (value: unknown) =>
    typeof value === 'object' && value !== null && member in value ? { issues: [{ message: 'is not allowed', path: [member] }] } : { value }
  return { '~standard': { version: 1, vendor: 'suite', validate } }
}
