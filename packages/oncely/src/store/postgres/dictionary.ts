import type { ClaimRequest, RecordPolicy } from '../../core/index.ts'
import { flag, integer, type SqlCall, sqlCall, text } from './sql-call.ts'

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
  readonly #register: (call: SqlCall) => Promise<DictionaryIds>
  readonly #function: string
  readonly #known = new Map<string, DictionaryIds>()
  readonly #asked = new Map<string, Promise<DictionaryIds>>()

  constructor(name: string, register: (call: SqlCall) => Promise<DictionaryIds>) {
    this.#function = name
    this.#register = register
  }

  /** Answers without a wait for what is known. */
  find(request: ClaimRequest): DictionaryIds | Promise<DictionaryIds> {
    const key = keyOf(request)
    return this.#known.get(key) ?? this.#asked.get(key) ?? this.#ask(key, request)
  }

  #ask(key: string, request: ClaimRequest): Promise<DictionaryIds> {
    const { operation, policy } = request
    const asked = this.#register(sqlCall(this.#function, [text(operation), ...policyArguments(policy)]))
      .then((ids) => {
        this.#known.set(key, ids)
        return ids
      })
      .finally(() => this.#asked.delete(key))
    this.#asked.set(key, asked)
    return asked
  }
}

function policyArguments(policy: RecordPolicy): Parameters<typeof sqlCall>[1] {
  return [
    text(policy.name),
    integer(policy.retentionMs),
    integer(policy.tombstoneMs),
    integer(Math.min(policy.attemptsMax, 2_147_483_647)),
    flag(policy.onLostLease === 'takeover'),
    integer(policy.effectTimeoutMs),
  ]
}

function keyOf({ operation, policy }: ClaimRequest): string {
  const { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs } = policy
  return [operation, name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs].join('\u0000')
}
