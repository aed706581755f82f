import type { ClaimRequest, RecordPolicy } from '../../core/index.ts'
import { flag, integer, text } from './sql-literal.ts'

/** The small numbers that stand for an operation's name and a policy's numbers in every record. */
export interface DictionaryIds {
  readonly operation: number
  readonly policy: number
}

/**
 * Registers operations and policies the first time this process meets them, in statements committed by themselves: a transaction
 * that is rolled back takes no dictionary row along.
 */
export class Dictionary {
  readonly #register: (given: readonly string[]) => Promise<DictionaryIds>
  readonly #known = new Map<string, DictionaryIds>()
  readonly #asked = new Map<string, Promise<DictionaryIds>>()

  constructor(register: (given: readonly string[]) => Promise<DictionaryIds>) {
    this.#register = register
  }

  /** Answers without a wait for what is known. */
  find({ operation, policy }: ClaimRequest): DictionaryIds | Promise<DictionaryIds> {
    const key = keyOf(operation, policy)
    return this.#known.get(key) ?? this.#asked.get(key) ?? this.#ask(key, operation, policy)
  }

  #ask(key: string, operation: string, policy: RecordPolicy): Promise<DictionaryIds> {
    const asked = this.#register([text(operation), ...policyArguments(policy)])
      .then((ids) => {
        this.#known.set(key, ids)
        return ids
      })
      .finally(() => this.#asked.delete(key))
    this.#asked.set(key, asked)
    return asked
  }
}

function policyArguments(policy: RecordPolicy): readonly string[] {
  return [
    text(policy.name),
    integer(policy.retentionMs),
    integer(policy.tombstoneMs),
    integer(Math.min(policy.attemptsMax, 2_147_483_647)),
    flag(policy.onLostLease === 'takeover'),
    integer(policy.effectTimeoutMs),
  ]
}

function keyOf(operation: string, policy: RecordPolicy): string {
  const { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs } = policy
  return [operation, name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs].join('\u0000')
}
