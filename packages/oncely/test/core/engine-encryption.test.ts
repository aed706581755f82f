import { memoryStore } from 'oncely/store/memory'
import { describe, expect, test } from 'vitest'
import { codecIds, decodeValue, Oncely, Rejection, SecretMissing } from '../../src/core/index.ts'
import { nodeClock, nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { cacheWorld, claims, never, policy } from '../support/cache-world.ts'
import { engineWorld, oneCall } from '../support/engine-world.ts'

const secret = (id: number) => ({ id, key: new Uint8Array(32).fill(id) })
const answer = { card: '4242 4242' }

/** Processes over one store that read it every time. */
function encryptedWorld() {
  const world = engineWorld()
  return {
    ...world,
    process: (ids: readonly number[], encrypt = true) => {
      const started = world.start({ secrets: ids.map(secret), encrypt, limits: { recentOutcomesMax: 0 } })
      return { ...started, charge: started.oncely.operation('charge', { bind: 'lease', policy }) }
    },
  }
}

const shows = (bytes: Uint8Array | undefined): boolean => Buffer.from(bytes ?? []).includes('4242')

describe('encryption of outcomes', () => {
  test('keeps them from whoever reads the store, and replays them', async () => {
    const { process, store } = encryptedWorld()
    const { oncely, charge } = process([1])
    await charge.run(oneCall, () => answer)
    const id = oncely.recordId(oneCall)
    const record = await store.read(id)
    if (record?.state !== 'completed') throw new TypeError('not completed')
    expect([record.outcome?.codec, shows(record.outcome?.bytes)]).toEqual([codecIds.encrypted, false])
    expect(await charge.run(oneCall, never)).toEqual({ status: 'replayed', value: answer })
    expect(decodeValue((await oncely.outcome(id)) ?? { codec: 0, bytes: new Uint8Array() })).toEqual(answer)
  })

  test('covers rejections and what an operator decides', async () => {
    const { process, store } = encryptedWorld()
    const { oncely, charge } = process([1])
    const refuse = (): never => {
      throw new Rejection(answer)
    }
    await charge.run(oneCall, refuse)
    expect(await charge.run(oneCall, never)).toMatchObject({ status: 'rejected', value: answer })
    const second = { ...oneCall, key: 'k2' }
    await expect(charge.run(second, () => Promise.reject(new Error('lost')))).rejects.toThrow('lost')
    const record = await oncely.read(oncely.recordId(second))
    if (record === undefined) throw new TypeError('no record')
    await oncely.resolve(record, { applied: true, value: answer, by: 'ada', reason: 'seen' })
    expect(await charge.run(second, never)).toEqual({ status: 'replayed', value: answer })
    for (const key of ['k1', 'k2']) {
      const stored = await store.read(oncely.recordId({ ...oneCall, key }))
      expect(stored?.state === 'completed' && stored.outcome?.codec).toBe(codecIds.encrypted)
    }
  })

  test('is there in the shared cache as well', async () => {
    const { a, b, cache } = cacheWorld({ encrypt: true })
    await a.charge.run(oneCall, () => answer)
    expect(await b.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: answer })
    expect([claims(b), cache.outcomes.length, cache.outcomes.some(shows)]).toEqual([0, 1, false])
  })

  test('can be turned on and off: both kinds of records are read', async () => {
    const { process } = encryptedWorld()
    const [on, off] = [process([1]), process([1], false)]
    await off.charge.run(oneCall, () => answer)
    await on.charge.run({ ...oneCall, key: 'k2' }, () => answer)
    expect(await on.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: answer })
    expect(await off.charge.run({ ...oneCall, key: 'k2' }, never)).toEqual({ status: 'replayed', value: answer })
  })

  test('rotates its key: records of before are read, new ones have the newest', async () => {
    const { process, store } = encryptedWorld()
    await process([1]).charge.run(oneCall, () => answer)
    const rotated = process([2, 1])
    expect(await rotated.charge.run(oneCall, never)).toEqual({ status: 'replayed', value: answer })
    await rotated.charge.run({ ...oneCall, key: 'k2' }, () => answer)
    const record = await store.read(rotated.oncely.recordId({ ...oneCall, key: 'k2' }))
    expect(record?.state === 'completed' && record.outcome?.bytes[2]).toBe(2)
  })

  test('whose key is lost never runs again: the caller gets a typed error', async () => {
    const { process } = encryptedWorld()
    await process([1]).charge.run(oneCall, () => answer)
    const { charge, oncely } = process([2])
    const told = await charge.run(oneCall, never)
    expect(told).toMatchObject({ status: 'unavailable', reason: 'fingerprint-secret' })
    expect(told.status === 'unavailable' && told.cause).toBeInstanceOf(SecretMissing)
    await expect(oncely.outcome(oncely.recordId(oneCall))).rejects.toMatchObject({ code: 'ONCELY_SECRET_MISSING', secretId: 1 })
  })

  test('is chosen by the operation, else by the instance', async () => {
    const { oncely } = engineWorld().start({ secrets: [secret(1)], encrypt: true })
    const encrypts = (name: string, own: { encrypt?: boolean } = {}) =>
      oncely.operation(name, { bind: 'lease', policy, ...own }).definition.encrypt
    expect([encrypts('a'), encrypts('b', { encrypt: false })]).toEqual([true, false])
  })

  test('is refused without secrets, and where the platform has no cipher', () => {
    const world = engineWorld()
    expect(() => world.start({ encrypt: true })).toThrow(/This instance has encrypt: true, but there are no secrets/)
    expect(() => world.start().oncely.operation('charge', { bind: 'lease', policy, encrypt: true })).toThrow(
      /Operation "charge" has encrypt/,
    )
    const platform = { clock: nodeClock, random: nodeRandom, hasher: nodeHasher }
    expect(() => new Oncely(platform, { namespace: 'n', store: memoryStore(), secrets: [secret(1)], encrypt: true })).toThrow(/no cipher/)
  })
})
