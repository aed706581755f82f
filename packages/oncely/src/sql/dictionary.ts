import type { ClaimRequest, RecordPolicy } from '../core/index.ts'

/** The small numbers that stand for an operation's name and a policy's numbers in every record. */
export interface DictionaryIds {
  readonly operation: number
  readonly policy: number
}

/** Registers both in the database, committed by itself; answers the two numbers in one line. */
export type Register = (operation: string, policy: RecordPolicy) => Promise<string>

/**
 * Registers operations and policies the first time this process meets them, in statements committed by themselves: a transaction
 * that is rolled back takes no dictionary row along.
 */
export class Dictionary {
  readonly #register: Register
  readonly #known = new Map<string, DictionaryIds>()
  readonly #asked = new Map<string, Promise<DictionaryIds>>()

  constructor(register: Register) {
    this.#register = register
  }

  /** Answers without a wait for what is known. */
  find(request: ClaimRequest): DictionaryIds | Promise<DictionaryIds> {
    const key = keyOf(request)
    return this.#known.get(key) ?? this.#asked.get(key) ?? this.#ask(key, request)
  }

  #ask(key: string, { operation, policy }: ClaimRequest): Promise<DictionaryIds> {
    const asked = this.#register(operation, policy)
      .then((line) => {
        const [operationId, policyId] = line.split(' ').map(Number) as [number, number]
        const ids = { operation: operationId, policy: policyId }
        this.#known.set(key, ids)
        return ids
      })
      .finally(() => this.#asked.delete(key))
    this.#asked.set(key, asked)
    return asked
  }
}

function keyOf({ operation, policy }: ClaimRequest): string {
  const { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs } = policy
  return [operation, name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs].join('\u0000')
}
