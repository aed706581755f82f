import assert from 'node:assert/strict'
import type { Outcome, Store, TransactionEnd, TransactionOptions, TransactionResult } from '../../core/index.ts'
import { isOncelyError } from '../../core/index.ts'
import type { TransactionCases, TransactionSubject } from '../store-harness.ts'
import { acquire, answered, assertSame, claimRequest, newId, outcomeOf, payload } from './claim-request.ts'
import { deferred } from './deferred.ts'

export const transactionOptions: TransactionOptions = { lockTimeoutMs: 2_000, idleTimeoutMs: 30_000, isolation: 'default' }

/** A claim as an operation bound to a transaction makes it. */
export function boundRequest(id: Uint8Array, payloadText = 'same'): ReturnType<typeof claimRequest> {
  return claimRequest(id, { bind: 'transaction', fingerprint: payload(payloadText) })
}

export function commit(outcome: Outcome = outcomeOf('done')): TransactionEnd<string> {
  return { end: 'commit', outcome, value: 'value' }
}

const rollBack: TransactionEnd<string> = { end: 'roll-back', value: 'value' }

/** Adds one effect and commits. */
export function pay(
  { store, transactional }: Pick<TransactionSubject, 'store' | 'transactional'>,
  id: Uint8Array,
  effect: string,
  payloadText = 'same',
): Promise<TransactionResult<string>> {
  return store.transact(boundRequest(id, payloadText), transactionOptions, async ({ tx }) => {
    await transactional.effects.add(tx, effect)
    return commit(outcomeOf(effect))
  })
}

/** The word of a refused transaction; fails when its body ran. */
export async function refusedWith(
  subject: Pick<TransactionSubject, 'store'>,
  id: Uint8Array,
  payloadText = 'same',
  lockTimeoutMs = 200,
): Promise<string> {
  const result = await subject.store.transact(boundRequest(id, payloadText), { ...transactionOptions, lockTimeoutMs }, async () => {
    assert.fail('a refused claim called the body')
  })
  assert.equal(result.word, 'refused')
  return result.word === 'refused' ? result.answer.word : ''
}

/** Claim, the user's rows and the outcome are one commit. */
export const transactionCases: TransactionCases = {
  'transaction: claim, effect and outcome are there together after the commit': async (subject) => {
    const id = newId()
    assert.deepEqual(await pay(subject, id, 'paid'), { word: 'committed', value: 'value', alone: false })
    assert.deepEqual(await subject.transactional.effects.list(), ['paid'])
    const record = await subject.store.read(id)
    assert.equal(record?.bind, 'transaction')
    assertSame(answered(await subject.store.claim(boundRequest(id)), 'replay').outcome, outcomeOf('paid'))
  },

  'transaction: the handler learns its claim': async ({ store }) => {
    const request = boundRequest(newId())
    await store.transact(request, transactionOptions, async ({ claim }) => {
      assertSame(
        [claim?.word, claim?.attempt, claim?.takeover, claim?.ownership.id, claim?.ownership.attemptId],
        ['acquired', 1, false, request.id, request.attemptId],
      )
      return commit()
    })
    assert.equal((await store.read(request.id))?.attemptId, request.attemptId)
  },

  'transaction: nothing is visible before the commit': async ({ harness, store, transactional }) => {
    const id = newId()
    const other = await harness.reopen()
    await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'paid')
      assert.equal(await other.read(id), undefined)
      assert.deepEqual(await transactional.effects.list(), [])
      return commit()
    })
    assert.equal((await other.read(id))?.state, 'completed')
  },

  'transaction: a roll-back leaves nothing: no effect, no record, no trail, a free key': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      return rollBack
    })
    assert.deepEqual(result, { word: 'rolled-back', value: 'value' })
    assert.deepEqual(await transactional.effects.list(), [])
    assertSame([await store.read(id), await store.trail(id)], [undefined, []])
    assert.equal((await pay(subject, id, 'of another payload', 'other')).word, 'committed')
    assert.deepEqual(await transactional.effects.list(), ['of another payload'])
  },

  'transaction: what the body throws comes out, and nothing is committed': async ({ store, transactional }) => {
    const id = newId()
    const error = new Error('out of stock')
    const attempt = store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      throw error
    })
    await assert.rejects(attempt, (thrown) => thrown === error)
    assert.deepEqual(await transactional.effects.list(), [])
    assert.equal(await store.read(id), undefined)
  },

  'transaction: a duplicate is answered from the record, and its body is not called': async (subject) => {
    const id = newId()
    await pay(subject, id, 'paid')
    assert.equal(await refusedWith(subject, id), 'replay')
    assert.equal(await refusedWith(subject, id, 'other'), 'mismatch')
    assert.deepEqual(await subject.transactional.effects.list(), ['paid'])
  },

  'transaction: a record that another bind left is respected': async (subject) => {
    const { store } = subject
    const [running, sealed, released] = [newId(), newId(), newId()]
    await acquire(store, claimRequest(running))
    assert.equal(await refusedWith(subject, running), 'in-progress')
    const { ownership } = await acquire(store, claimRequest(sealed))
    await store.seal(ownership, { reason: 'in doubt' })
    assert.equal(await refusedWith(subject, sealed), 'uncertain')
    const freed = await acquire(store, claimRequest(released))
    await store.release(freed.ownership, { reason: 'failed' })
    assert.equal((await pay(subject, released, 'paid')).word, 'committed')
  },

  'transaction: a roll-back brings the record back that was there before': async ({ store, transactional }) => {
    const id = newId()
    const { ownership } = await acquire(store, claimRequest(id))
    await store.release(ownership, { reason: 'failed' })
    const before = await store.read(id)
    await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      return rollBack
    })
    assertSame(await store.read(id), before)
    await acquire(store, claimRequest(id))
  },

  'transaction: without a request it is the plain transaction of the database': async ({ store, transactional }) => {
    const committed = await store.transact(undefined, transactionOptions, async ({ tx, claim }) => {
      assert.equal(claim, undefined)
      await transactional.effects.add(tx, 'kept')
      return { end: 'commit', outcome: undefined, value: 1 }
    })
    assert.deepEqual(committed, { word: 'committed', value: 1, alone: false })
    const undone = await store.transact(undefined, transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      return { end: 'roll-back', value: 2 }
    })
    assert.deepEqual(undone, { word: 'rolled-back', value: 2 })
    assert.deepEqual(await transactional.effects.list(), ['kept'])
    assert.equal((await store.stats()).records, 0)
  },

  'transaction: the trail is committed with it': async (subject) => {
    const id = newId()
    await pay(subject, id, 'paid')
    assert.deepEqual(
      (await subject.store.trail(id)).map(({ event }) => event),
      ['claimed', 'completed'],
    )
  },

  'transaction: of 20 at once under one key one body runs': async (subject) => {
    const { harness, transactional } = subject
    const id = newId()
    const stores: readonly Store[] = [subject.store, await harness.reopen()]
    let bodies = 0
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (stores[index % 2] as TransactionSubject['store']).transact(
          boundRequest(id),
          { ...transactionOptions, lockTimeoutMs: 10_000 },
          async ({ tx }) => {
            bodies++
            await transactional.effects.add(tx, 'paid')
            return commit()
          },
        ),
      ),
    )
    assert.equal(bodies, 1)
    assert.equal(results.filter(({ word }) => word === 'committed').length, 1)
    for (const result of results) if (result.word === 'refused') assert.match(result.answer.word, /^(replay|in-progress)$/)
    assert.deepEqual(await transactional.effects.list(), ['paid'])
  },

  'transaction: other keys go on while one handler runs, or wait for it': async (subject) => {
    const results = await Promise.all(['a', 'b', 'c', 'd'].map((effect) => pay({ ...subject }, newId(), effect)))
    assert.deepEqual(
      results.map(({ word }) => word),
      ['committed', 'committed', 'committed', 'committed'],
    )
    assert.deepEqual([...(await subject.transactional.effects.list())].sort(), ['a', 'b', 'c', 'd'])
  },
}

/** Handlers that do what only the library should, and errors of the database. */
export const transactionMistakeCases: TransactionCases = {
  'transaction: a handler that commits itself and returns is recorded after it': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'paid')
      await transactional.end(tx)
      return commit(outcomeOf('paid'))
    })
    assert.deepEqual(result, { word: 'committed', value: 'value', alone: true })
    assertSame(answered(await store.claim(boundRequest(id)), 'replay').outcome, outcomeOf('paid'))
    assert.deepEqual(await transactional.effects.list(), ['paid'])
  },

  'transaction: a handler that commits itself and fails has escaped; its record is uncertain and its effect stands once': async (
    subject,
  ) => {
    const { store, transactional } = subject
    const id = newId()
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'paid')
      await transactional.end(tx)
      return rollBack
    })
    assert.deepEqual(result, { word: 'escaped', value: 'value' })
    assert.equal(await refusedWith(subject, id), 'uncertain')
    assert.equal(await refusedWith(subject, id, 'other'), 'mismatch')
    assert.deepEqual(await transactional.effects.list(), ['paid'])
  },

  'transaction: a duplicate that meets what a handler committed itself runs nothing, and the handler still completes it': async (
    subject,
  ) => {
    const { harness, store, transactional } = subject
    const id = newId()
    const other = (await harness.reopen()) as TransactionSubject['store']
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'paid')
      await transactional.end(tx)
      // A store with one writer makes a duplicate wait for the handler; nobody runs either way.
      assert.match(await refusedWith({ store: other }, id), /^(uncertain|in-progress)$/)
      return commit(outcomeOf('paid'))
    })
    assert.deepEqual(result, { word: 'committed', value: 'value', alone: true })
    assert.equal(await refusedWith(subject, id), 'replay')
  },

  'transaction: a failed statement that the handler swallowed is found at the end, and nothing is committed': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const attempt = store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      await assert.rejects(transactional.breakStatement(tx))
      return commit()
    })
    await assert.rejects(attempt, (error) => isOncelyError(error) && error.code === 'ONCELY_TRANSACTION_DEAD')
    assert.deepEqual(await transactional.effects.list(), [])
    assert.equal((await pay(subject, id, 'paid', 'other')).word, 'committed')
  },

  'transaction: a failed statement that the handler lets pass rolls back': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    let broken: unknown
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      broken = await transactional.breakStatement(tx).catch((error: unknown) => error)
      return rollBack
    })
    assert.equal(result.word, 'rolled-back')
    assert.equal(store.classify(broken), 'theirs')
    assert.deepEqual(await transactional.effects.list(), [])
    assert.equal((await pay(subject, id, 'paid')).word, 'committed')
  },

  "transaction: an error that is not the database's is the user's own": async ({ store }) => {
    assert.equal(store.classify(new Error('out of stock')), 'theirs')
    assert.equal(store.classify(undefined), 'theirs')
    assert.equal(store.classify('text'), 'theirs')
  },
}

/** Where the harness can give the record a newer token from inside. */
export const transactionFenceCases: TransactionCases = {
  'transaction: a fenced one never commits': async (subject) => {
    const { store, transactional } = subject
    const id = newId()
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'undone')
      await transactional.supersede?.(tx, id)
      return commit()
    })
    assert.deepEqual(result, { word: 'fenced' })
    assert.deepEqual(await transactional.effects.list(), [])
    assert.equal((await pay(subject, id, 'paid')).word, 'committed')
  },
}

/** A duplicate while the first transaction runs, where it can be told apart at once. */
export const openTransactionCases: TransactionCases = {
  'transaction: a duplicate while the first runs is in progress, another payload a mismatch, both at once': async (subject) => {
    const other = { store: (await subject.harness.reopen()) as TransactionSubject['store'] }
    const { running, end } = await runningTransaction(subject)
    for (const duplicate of [subject, other]) {
      const beforeMs = performance.now()
      assert.equal(await refusedWith(duplicate, running, 'same', 10_000), 'in-progress')
      assert.equal(await refusedWith(duplicate, running, 'other', 10_000), 'mismatch')
      assert.ok(performance.now() - beforeMs < 5_000, 'a duplicate waited for the lock')
    }
    assert.equal((await end(commit(outcomeOf('paid')))).word, 'committed')
    assert.equal(await refusedWith(other, running), 'replay')
    assert.deepEqual(await subject.transactional.effects.list(), ['paid'])
  },

  'transaction: a handler that commits itself and is overtaken changes nothing more': async ({ harness, store, transactional }) => {
    const id = newId()
    const other = await harness.reopen()
    const result = await store.transact(boundRequest(id), transactionOptions, async ({ tx }) => {
      await transactional.effects.add(tx, 'paid')
      await transactional.end(tx)
      await other.forget(id, { reason: 'test' })
      const next = await acquire(other, claimRequest(id))
      assert.equal(await other.complete(next.ownership, outcomeOf('of the next owner')), 'done')
      return commit(outcomeOf('of the first owner'))
    })
    assert.equal(result.word, 'fenced')
    assertSame(answered(await store.claim(claimRequest(id)), 'replay').outcome, outcomeOf('of the next owner'))
  },

  'transaction: after the first rolled back, another payload is no mismatch': async (subject) => {
    const { running, end } = await runningTransaction(subject)
    assert.equal(await refusedWith(subject, running, 'other'), 'mismatch')
    assert.equal((await end(rollBack)).word, 'rolled-back')
    assert.equal((await pay(subject, running, 'of another payload', 'other')).word, 'committed')
  },
}

/** The same where a duplicate must wait for the first transaction to learn what it is. */
export const waitingTransactionCases: TransactionCases = {
  'transaction: a duplicate waits for the first in bounds, and is answered in progress when it takes longer': async (subject) => {
    const other = { store: (await subject.harness.reopen()) as TransactionSubject['store'] }
    const { running, end } = await runningTransaction(subject)
    assert.equal(await refusedWith(other, running, 'same', 150), 'in-progress')
    assert.equal(await refusedWith(other, running, 'other', 150), 'in-progress')
    assert.equal((await end(commit(outcomeOf('paid')))).word, 'committed')
    assert.equal(await refusedWith(other, running), 'replay')
    assert.equal(await refusedWith(other, running, 'other'), 'mismatch')
    assert.deepEqual(await subject.transactional.effects.list(), ['paid'])
  },
}

/** A transaction whose handler has added its effect and waits to be told how to end. */
async function runningTransaction({ store, transactional }: TransactionSubject): Promise<{
  readonly running: Uint8Array
  end(how: TransactionEnd<string>): Promise<TransactionResult<string>>
}> {
  const running = newId()
  const entered = deferred<void>()
  const ending = deferred<TransactionEnd<string>>()
  const result = store.transact(boundRequest(running), transactionOptions, async ({ tx }) => {
    await transactional.effects.add(tx, 'paid')
    entered.resolve()
    return ending.promise
  })
  await Promise.race([entered.promise, result])
  return {
    running,
    end: (how) => {
      ending.resolve(how)
      return result
    },
  }
}
