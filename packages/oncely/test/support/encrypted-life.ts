import { createOncely, type Oncely, type Store } from 'oncely'
import { expect } from 'vitest'
import { codecIds, type Outcome, sealOutcome } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import type { StoreHarness } from '../../src/testing/index.ts'

const secret = (id: number) => ({ id, key: new Uint8Array(32).fill(id) })
const answer = { card: '4242 4242' }
const callOf = (key: string) => ({ principal: 'acme', key, input: { amount: 5 } })
const never = (): never => {
  throw new TypeError('it ran again')
}

/** An instance that reads the store each time, under these secrets. */
function instance(store: Store, ...ids: number[]) {
  const oncely = createOncely({
    namespace: 'n',
    store,
    secrets: ids.map(secret),
    encrypt: true,
    limits: { recentOutcomesMax: 0 },
  }) as Oncely<never>
  return { oncely, charge: oncely.operation('charge', { bind: 'lease', policy: ['standard', { survives: 'nothing' }] }) }
}

async function storedOutcome(store: Store, id: Uint8Array): Promise<Outcome> {
  const record = await store.read(id)
  if (record?.state !== 'completed' || record.outcome === undefined) throw new TypeError(`the record is ${record?.state}`)
  return record.outcome
}

/** A store keeps encrypted outcomes as it got them: read after a rotation, never as another record's, a typed error without their key. */
export async function encryptedLife<Tx>({ store, reopen, close }: StoreHarness<Tx>): Promise<'passed' | 'failed'> {
  let ended: 'passed' | 'failed' = 'failed'
  try {
    const first = instance(store, 1)
    const idOf = (key: string): Uint8Array => first.oncely.recordId(callOf(key))
    expect(await first.charge.run(callOf('k1'), () => answer)).toMatchObject({ status: 'done' })
    const stored = await storedOutcome(store, idOf('k1'))
    expect([stored.codec, Buffer.from(stored.bytes).includes('4242')]).toEqual([codecIds.encrypted, false])

    const rotated = instance(await reopen(), 2, 1)
    expect(await rotated.charge.run(callOf('k1'), never)).toEqual({ status: 'replayed', value: answer })
    await rotated.charge.run(callOf('k2'), () => ({ other: 'answer' }))
    expect((await storedOutcome(store, idOf('k2'))).bytes[2]).toBe(2)

    // Somebody with access to the tables puts one record's outcome under another.
    await rotated.charge.run(callOf('k3'), () => Promise.reject(new Error('lost'))).catch(() => {})
    const doubtful = await store.read(idOf('k3'))
    if (doubtful?.state !== 'uncertain') throw new TypeError(`the record is ${doubtful?.state}`)
    const expected = { state: 'uncertain', token: doubtful.token } as const
    const moved = sealOutcome(stored, nodeHasher)
    await store.resolve(idOf('k3'), { expected, verdict: { applied: true, outcome: moved }, by: 'mallory', reason: 'swap' })
    await expect(rotated.charge.run(callOf('k3'), never)).rejects.toMatchObject({ code: 'ONCELY_OUTCOME_CORRUPT' })

    const lost = instance(store, 2)
    expect(await lost.charge.run(callOf('k1'), never)).toMatchObject({ status: 'unavailable', cause: { code: 'ONCELY_SECRET_MISSING' } })
    await expect(lost.oncely.outcome(idOf('k1'))).rejects.toMatchObject({ code: 'ONCELY_SECRET_MISSING', secretId: 1 })
    ended = 'passed'
  } finally {
    await close(ended)
  }
  return ended
}
