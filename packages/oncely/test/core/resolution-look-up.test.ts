import { memoryStore } from 'oncely/store/memory'
import { ManualClock } from 'oncely/testing'
import { expect, test } from 'vitest'
import { Oncely, type ResolverVerdict, type Store } from '../../src/core/index.ts'
import { nodeHasher, nodeRandom } from '../../src/platform/index.ts'
import { deferred } from '../support/deferred.ts'
import { faultStore } from '../support/fault-store.ts'

const call = { principal: 'acme', key: 'k1', input: { amount: 5 } }

test('a look-up that began while an effect could still arrive never frees the key, however late its verdict comes', async () => {
  const clock = new ManualClock()
  const store = memoryStore({ clock })
  const provider: string[] = []
  const lookUp = deferred()
  const charge = (through: Store, resolver: () => Promise<ResolverVerdict<string>>) =>
    new Oncely<never>({ clock, random: nodeRandom, hasher: nodeHasher }, { namespace: 'test', store: through }).operation<unknown, string>(
      'charge',
      { bind: 'lease', policy: ['standard', { survives: 'nothing', lease: '30s', effectTimeout: '30s' }], resolver },
    )

  // An owner that can renew nothing more: its effect is on the way, and arrives 20 s after its lease.
  const cut = faultStore(store, () => new Error('not planned'))
  cut.plan('renew', ...Array<'hangs'>(20).fill('hangs'))
  void charge(cut.store, async () => ({ verdict: 'unknown' })).run(call, () => new Promise<never>(() => {}))
  await clock.advance(30_500)

  const retry = charge(store, async () => {
    const found = provider.length > 0
    await lookUp.promise
    return found ? { verdict: 'applied', value: 'first' } : { verdict: 'not-applied' }
  }).run(call, () => {
    provider.push('second')
    return 'second'
  })
  await clock.advance(20_000)
  provider.push('first')
  await clock.advance(9_800)
  lookUp.resolve()
  await clock.advance(100)

  expect(await retry).toMatchObject({ status: 'uncertain' })
  expect(provider).toEqual(['first'])
  await clock.advance(30_000)
  const later = charge(store, async () => (provider.length > 0 ? { verdict: 'applied', value: 'first' } : { verdict: 'not-applied' }))
  expect(await later.run(call, () => 'second')).toEqual({ status: 'replayed', value: 'first' })
})
