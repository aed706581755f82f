import type { Call } from './attempt.ts'
import { sleep } from './clock.ts'
import type { Engine } from './engine.ts'
import { StoreUnavailable, TransactionConflict } from './errors.ts'
import type { OperationDefinition } from './operation.ts'
import { prepare } from './preparation.ts'
import type { TransactionalStore } from './transaction.ts'

/** What a call's record answered to being quarantined. Something was written with the first three only. */
export type QuarantineWord = 'quarantined' | 'mismatch' | 'uncertain' | 'completed' | 'in-progress' | 'unreadable'

export interface QuarantineCall<Tx> {
  readonly operation: OperationDefinition
  readonly call: Call
  readonly reason: string
  /** Writes what belongs to it, in the same transaction. May be called again after a conflict, in a new one. */
  readonly write: (tx: Tx, word: 'quarantined' | 'mismatch' | 'uncertain') => Promise<void>
}

const repeatsMax = 5

/**
 * Takes a call's record out of circulation: claimed and quarantined in one commit with what `write` adds, so that no attempt can
 * complete beside it. A record that says something else is left as it is, and its word is the answer.
 *
 * @throws StoreUnavailable when nobody can know, or the transaction conflicted again and again.
 */
export async function quarantineRecord<Tx>(
  engine: Engine<Tx>,
  { operation, call, reason, write }: QuarantineCall<Tx>,
): Promise<QuarantineWord> {
  const store = engine.parts.store as TransactionalStore<Tx>
  const { request } = prepare(engine.parts, operation, call)
  return transactPlainly<Tx, QuarantineWord>(engine, operation, async (tx) => {
    const scope = store.within(tx)
    // A claim that never runs a handler: no effect can begin under it.
    const answer = await scope.claim({ ...request, bind: 'transaction', begun: false, attemptId: engine.parts.random.uuid() })
    switch (answer.word) {
      case 'acquired': {
        if ((await scope.quarantine(answer.ownership, { reason })) !== 'done') return { end: 'roll-back', value: 'in-progress' }
        await write(tx, 'quarantined')
        return { end: 'commit', value: 'quarantined' }
      }
      case 'quarantined':
      case 'mismatch':
      case 'uncertain':
        await write(tx, answer.word)
        return { end: 'commit', value: answer.word }
      case 'replay':
      case 'expired':
        return { end: 'roll-back', value: 'completed' }
      case 'in-progress':
      case 'unreadable':
        return { end: 'roll-back', value: answer.word }
      default:
        return answer satisfies never
    }
  })
}

/**
 * A transaction without a record, repeated after conflicts.
 *
 * @throws StoreUnavailable, and what `body` throws.
 */
export async function transactPlainly<Tx, R>(
  engine: Engine<Tx>,
  operation: OperationDefinition,
  body: (tx: Tx) => Promise<{ readonly end: 'commit' | 'roll-back'; readonly value: R }>,
): Promise<R> {
  const { clock, random, limits } = engine.parts
  const store = engine.parts.store as TransactionalStore<Tx>
  const options = { lockTimeoutMs: limits.storeTimeoutMs, idleTimeoutMs: operation.policy.leaseMs, isolation: operation.isolation }
  for (let again = 0; ; again++) {
    try {
      const result = await store.transact<R>(undefined, options, async ({ tx }) => {
        const { end, value } = await body(tx)
        return end === 'commit' ? { end, outcome: undefined, value } : { end, value }
      })
      if (result.word === 'committed' || result.word === 'rolled-back') return result.value
      throw new StoreUnavailable('The database ended a transaction of the inbox by itself.', { applied: 'unknown' })
    } catch (error) {
      if (!(error instanceof TransactionConflict)) throw error
      if (again >= repeatsMax)
        throw new StoreUnavailable(
          'A transaction of the inbox conflicted with others again and again.',
          { applied: 'no' },
          { cause: error },
        )
      await sleep(clock, Math.min(200, 5 * 2 ** again) * random.fraction())
    }
  }
}
