import assert from 'node:assert/strict'
import { isOncelyError } from '../../core/index.ts'
import type { TransactionCases, TransactionSubject } from '../store-harness.ts'
import { acquired, answered, assertSame, newId, outcomeOf } from './claim-request.ts'
import { boundRequest, commit, pay, refusedWith, transactionOptions } from './transaction-cases.ts'

/** The same claim inside a transaction that the user opened and ends. */
export const withinCases: TransactionCases = {
  "within: claim, effect and outcome are final with the user's commit, and not before": async (subject) => {
    const { harness, store, transactional } = subject
    const id = newId()
    const other = await harness.reopen()
    const user = await transactional.begin()
    const scope = store.within(user.tx)
    const { ownership, attempt } = acquired(await scope.claim(boundRequest(id)))
    assert.equal(attempt, 1)
    await transactional.effects.add(user.tx, 'paid')
    assert.equal(await scope.complete(ownership, outcomeOf('paid')), 'done')
    assert.equal(await other.read(id), undefined)
    assert.deepEqual(await transactional.effects.list(), [])
    await user.commit()
    assert.deepEqual(await transactional.effects.list(), ['paid'])
    assertSame(answered(await other.claim(boundRequest(id)), 'replay').outcome, outcomeOf('paid'))
  },

  "within: the user's roll-back leaves the key free": async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const user = await transactional.begin()
    await claimAndPay(subject, user.tx, id, 'undone')
    await user.rollback()
    assert.deepEqual(await transactional.effects.list(), [])
    assert.equal(await store.read(id), undefined)
    assert.equal((await pay(subject, id, 'of another payload', 'other')).word, 'committed')
  },

  "within: rolling back undoes claim and effect, and the user's other rows stay": async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const user = await transactional.begin()
    await transactional.effects.add(user.tx, 'before')
    const scope = store.within(user.tx)
    acquired(await scope.claim(boundRequest(id)))
    await transactional.effects.add(user.tx, 'undone')
    await scope.rollBack()
    await transactional.effects.add(user.tx, 'after')
    await user.commit()
    assert.deepEqual(await transactional.effects.list(), ['before', 'after'])
    assertSame([await store.read(id), await store.trail(id)], [undefined, []])
    assert.equal((await pay(subject, id, 'of another payload', 'other')).word, 'committed')
  },

  'within: after rolling back the same scope may claim again, to record a refusal': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const user = await transactional.begin()
    const scope = store.within(user.tx)
    const first = acquired(await scope.claim(boundRequest(id)))
    await transactional.effects.add(user.tx, 'undone')
    await scope.rollBack()
    const second = acquired(await scope.claim(boundRequest(id)))
    assert.equal(await scope.complete(first.ownership, outcomeOf('of the first')), 'lost')
    assert.equal(await scope.complete(second.ownership, outcomeOf('refused')), 'done')
    await user.commit()
    assert.deepEqual(await transactional.effects.list(), [])
    assertSame(answered(await store.claim(boundRequest(id)), 'replay').outcome, outcomeOf('refused'))
  },

  "within: a duplicate is answered from the record, and the user's transaction lives on": async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    await pay(subject, id, 'paid')
    const user = await transactional.begin()
    assertSame(answered(await store.within(user.tx).claim(boundRequest(id)), 'replay').outcome, outcomeOf('paid'))
    answered(await store.within(user.tx).claim(boundRequest(id, 'other')), 'mismatch')
    await transactional.effects.add(user.tx, 'unrelated')
    await user.commit()
    assert.deepEqual(await transactional.effects.list(), ['paid', 'unrelated'])
  },

  'within: two keys in one transaction are two records': async (subject) => {
    const { store, transactional } = subject
    const [one, two] = [newId(), newId()]
    const user = await transactional.begin()
    await claimAndPay(subject, user.tx, one, 'one')
    await claimAndPay(subject, user.tx, two, 'two')
    await user.commit()
    assert.deepEqual(await transactional.effects.list(), ['one', 'two'])
    for (const id of [one, two]) assert.equal((await store.read(id))?.state, 'completed')
  },

  'within: one key used again while it runs in the same transaction is in progress': async ({ store, transactional }) => {
    const id = newId()
    const user = await transactional.begin()
    const scope = store.within(user.tx)
    const { ownership } = acquired(await scope.claim(boundRequest(id)))
    answered(await store.within(user.tx).claim(boundRequest(id)), 'in-progress')
    assert.equal(await scope.complete(ownership, outcomeOf('paid')), 'done')
    await user.commit()
    answered(await store.claim(boundRequest(id)), 'replay')
  },

  "within: a handler's own key used again in its transaction is in progress": async ({ store }) => {
    const id = newId()
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      answered(await store.within(tx).claim(boundRequest(id)), 'in-progress')
      return commit(outcomeOf('paid'))
    })
    assert.deepEqual(result, { word: 'committed', value: 'value', alone: false })
    assertSame(answered(await store.claim(boundRequest(id)), 'replay').outcome, outcomeOf('paid'))
  },

  "within: another key in a handler's transaction commits and rolls back with it": async (subject) => {
    const { store, transactional } = subject
    const [outer, inner] = [newId(), newId()]
    for (const end of [{ end: 'roll-back', value: 'value' } as const, commit()]) {
      await store.transact(boundRequest(outer), transactionOptions, async ({ tx }) => {
        await claimAndPay(subject, tx, inner, 'inner')
        return end
      })
      assert.deepEqual(await transactional.effects.list(), end.end === 'commit' ? ['inner'] : [])
    }
    for (const id of [outer, inner]) assert.equal((await store.read(id))?.state, 'completed')
  },

  'within: completing twice with equal bytes is done, with others a conflict': async ({ store, transactional }) => {
    const id = newId()
    const user = await transactional.begin()
    const scope = store.within(user.tx)
    const { ownership } = acquired(await scope.claim(boundRequest(id)))
    assert.equal(await scope.complete(ownership, outcomeOf('first')), 'done')
    await user.commit()
    assert.equal(await store.complete(ownership, outcomeOf('first')), 'done')
    assert.equal(await store.complete(ownership, outcomeOf('second')), 'conflict')
  },

  'within: a claim that the user commits without its outcome is uncertain': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const user = await transactional.begin()
    acquired(await store.within(user.tx).claim(boundRequest(id)))
    await transactional.effects.add(user.tx, 'paid')
    await user.commit()
    assert.equal(await refusedWith(subject, id), 'uncertain')
    assert.deepEqual(await transactional.effects.list(), ['paid'])
  },
}

/** Where the store can tell its database from another. */
export const withinForeignCases: TransactionCases = {
  'within: a transaction of another database is refused by name': async ({ store, transactional }) => {
    const other = await transactional.foreign?.()
    assert.ok(other !== undefined, 'the harness has no foreign()')
    try {
      const claimed = Promise.resolve().then(() => store.within(other.tx).claim(boundRequest(newId())))
      await assert.rejects(claimed, (error) => isOncelyError(error) && error.code === 'ONCELY_FOREIGN_TRANSACTION')
    } finally {
      await other.close()
    }
  },
}

async function claimAndPay({ store, transactional }: TransactionSubject, tx: never, id: Uint8Array, effect: string): Promise<void> {
  const scope = store.within(tx)
  const { ownership } = acquired(await scope.claim(boundRequest(id)))
  await transactional.effects.add(tx, effect)
  assert.equal(await scope.complete(ownership, outcomeOf(effect)), 'done')
}
