import { describe, expect, test } from 'vitest'
import { openOutcome } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import { acquired, leaseRequest, newId, outcomeOf } from '../support/transaction-claim.ts'
import { inPlace } from './postgres-fixture.ts'

describe('what the running server survives', () => {
  test(
    'with durable defaults: the loss of power, in the words of its settings',
    inPlace(async (place) => {
      expect(await place.store.open()).toMatchObject({
        survives: 'power',
        survivesBecause: expect.stringContaining('synchronous_commit = on'),
      })
    }),
  )

  test(
    'with asynchronous commits for this role: a clean restart only',
    inPlace(async (place) => {
      const { store } = place.another({ pool: { options: '-c synchronous_commit=off' } })
      expect(await store.open()).toMatchObject({ survives: 'restart', survivesBecause: 'synchronous_commit = off' })
    }),
  )

  test(
    'with an unlogged table: nothing',
    inPlace(async (place) => {
      await place.sql('ALTER TABLE {keys} SET UNLOGGED')
      expect(await place.store.open()).toMatchObject({ survives: 'nothing', survivesBecause: expect.stringContaining('oncely_keys') })
    }),
  )
})

describe('fencing tokens over a restart, a promotion and a restore', () => {
  test(
    'a server that was started since raises the epoch before the next claim of a lease',
    inPlace(async (place) => {
      const before = acquired(await place.store.claim(leaseRequest(newId()))).ownership.token
      const { instanceId } = await place.store.open()
      await place.sql("UPDATE {instance} SET started = started - interval '1 hour'")
      const after = acquired(await place.store.claim(leaseRequest(newId()))).ownership.token
      expect(after.epoch).toBe(before.epoch + 1)
      expect((await place.store.open()).instanceId).toBe(instanceId)
      expect(acquired(await place.store.claim(leaseRequest(newId()))).ownership.token.epoch).toBe(after.epoch)
    }),
  )

  test(
    'another timeline or cluster is another instance',
    inPlace(async (place) => {
      const before = await place.store.open()
      await place.sql("UPDATE {instance} SET origin = 'another'")
      const after = await place.store.open()
      expect(after.instanceId).not.toBe(before.instanceId)
      expect((await place.store.open()).instanceId).toBe(after.instanceId)
    }),
  )
})

describe('an outcome that is not what was stored', () => {
  test(
    'missing before its retention ended, or changed: an error, and nothing runs',
    inPlace(async (place) => {
      for (const damage of ['DELETE FROM {outcomes}', "UPDATE {outcomes} SET bytes = '\\x00'", 'UPDATE {outcomes} SET codec = codec + 1']) {
        const id = newId()
        const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
        await place.store.complete(ownership, outcomeOf('paid'))
        await place.sql(damage)
        const answer = await place.store.claim(leaseRequest(id))
        expect(answer.word).toBe('replay')
        const replay = answer as Extract<typeof answer, { word: 'replay' }>
        expect(() => openOutcome(replay.outcome, nodeHasher)).toThrow(expect.objectContaining({ code: 'ONCELY_OUTCOME_CORRUPT' }))
      }
    }),
  )

  test(
    'of megabytes and of no bytes: comes back byte for byte',
    inPlace(async (place) => {
      for (const bytes of [new Uint8Array(0), new Uint8Array(Buffer.alloc(2_000_000, 'fox'))]) {
        const id = newId()
        const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
        await place.store.complete(ownership, { ...outcomeOf(''), bytes })
        const answer = await place.store.claim(leaseRequest(id))
        expect(answer.word === 'replay' && answer.outcome !== undefined && Buffer.compare(answer.outcome.bytes, bytes)).toBe(0)
      }
    }),
  )
})

test(
  'text that the server cannot store is kept legible, and quotes end nothing',
  inPlace(async (place) => {
    const id = newId()
    const { ownership } = acquired(
      await place.store.claim(leaseRequest(id, { owner: "o'; DROP TABLE x; --\\", traceId: 'a\u0000b\ud800 ü' })),
    )
    await place.store.release(ownership, { reason: 'nul \u0000 and \u{1f600}' })
    const [claimed, released] = await place.store.trail(id)
    expect(claimed).toMatchObject({ owner: "o'; DROP TABLE x; --\\", traceId: 'a\ufffdb\ufffd ü' })
    expect(released).toMatchObject({ reason: 'nul \ufffd and \u{1f600}' })
  }),
)
