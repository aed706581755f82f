import { randomBytes, randomUUID } from 'node:crypto'
import {
  type ClaimAnswer,
  type ClaimFingerprint,
  type ClaimRequest,
  codecIds,
  type Outcome,
  type RecordPolicy,
  sealOutcome,
  type TransactionalStore,
  type TransactionEnd,
  type TransactionOptions,
  type TransactionResult,
  type TransactionWork,
} from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'

export const policy: RecordPolicy = {
  name: 'test',
  retentionMs: 86_400_000,
  tombstoneMs: 259_200_000,
  attemptsMax: 100,
  onLostLease: 'uncertain',
  effectTimeoutMs: 60_000,
}

export const options: TransactionOptions = { lockTimeoutMs: 10_000, idleTimeoutMs: 30_000, isolation: 'default' }

export function newId(): Uint8Array {
  return new Uint8Array(randomBytes(32))
}

export function sha256(text: string): Uint8Array {
  return nodeHasher.sha256(new TextEncoder().encode(text))
}

export function payload(text: string): ClaimFingerprint {
  const plain = sha256(text)
  return { version: 1, plain, keyed: [{ keyId: 0, digest: plain }] }
}

/** A claim bound to a transaction, with a fresh attempt id. */
export function request(id: Uint8Array, payloadText = 'same', change: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id,
    operation: 'create-payment',
    bind: 'transaction',
    principal: sha256('tenant'),
    actor: sha256('actor'),
    fingerprint: payload(payloadText),
    policy,
    leaseMs: 30_000,
    attemptId: randomUUID(),
    begun: false,
    rerunnable: false,
    resolverMs: 0,
    owner: 'host:1',
    traceId: 'trace',
    ...change,
  }
}

/** The same under a lease. */
export function leaseRequest(id: Uint8Array, change: Partial<ClaimRequest> = {}): ClaimRequest {
  return request(id, 'same', { bind: 'lease', ...change })
}

export function outcomeOf(text: string): Outcome {
  return sealOutcome({ codec: codecIds.bytes, bytes: new TextEncoder().encode(text) }, nodeHasher)
}

export function commit(text = 'done'): TransactionEnd<string> {
  return { end: 'commit', outcome: outcomeOf(text), value: text }
}

export type Acquired = Extract<ClaimAnswer, { word: 'acquired' }>

export function acquired(answer: ClaimAnswer): Acquired {
  if (answer.word !== 'acquired') throw new TypeError(`the claim answered ${answer.word}`)
  return answer
}

type Body<Tx> = (work: TransactionWork<Tx>) => Promise<TransactionEnd<string>>

/** A transaction whose body waits until it is told how to end. */
export interface RunningTransaction<Tx> {
  readonly work: TransactionWork<Tx>
  end(how?: TransactionEnd<string>): Promise<TransactionResult<string>>
}

export async function runningTransaction<Tx>(
  store: TransactionalStore<Tx>,
  claim: ClaimRequest,
  first: Body<Tx> = async () => commit(),
): Promise<RunningTransaction<Tx>> {
  let entered: (work: TransactionWork<Tx>) => void = () => {}
  let finish: (how: TransactionEnd<string>) => void = () => {}
  const inside = new Promise<TransactionWork<Tx>>((resolve) => {
    entered = resolve
  })
  const told = new Promise<TransactionEnd<string>>((resolve) => {
    finish = resolve
  })
  const result = store.transact<string>(claim, options, async (work) => {
    await first(work)
    entered(work)
    return told
  })
  result.catch(() => {})
  const work = await Promise.race([inside, result.then(({ word }) => Promise.reject(new TypeError(`the transaction answered ${word}`)))])
  return {
    work,
    end: (how = commit()) => {
      finish(how)
      return result
    },
  }
}

/** The word of a transaction's claim, whose body must not run. */
export async function refusal<Tx>(
  store: TransactionalStore<Tx>,
  claim: ClaimRequest,
  change: Partial<TransactionOptions> = {},
): Promise<string> {
  const result = await store.transact<string>(claim, { ...options, ...change }, async () => {
    throw new TypeError('a refused claim called its body')
  })
  return result.word === 'refused' ? result.answer.word : result.word
}
