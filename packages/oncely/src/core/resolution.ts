import type { Work } from './attempt.ts'
import type { EngineParts } from './engine-parts.ts'
import type { OncelyEventType } from './event.ts'
import { sealing, storable } from './lease-attempt.ts'
import type { Resolver } from './operation.ts'
import type { Prepared } from './preparation.ts'
import { compareTokens } from './record.ts'
import type { RecordSummary } from './store.ts'
import { bounded } from './store-call.ts'

/**
 * Runs the operation's resolver for an uncertain record, as the one caller that may. Its verdict is compare-and-set on (state,
 * token), so a late owner can still finish. Answers whether the record moved; a resolver that fails or does not know leaves it.
 */
export async function resolveUncertain<R, Tx>(
  parts: EngineParts,
  prepared: Prepared,
  record: RecordSummary,
  work: Work<R, Tx>,
  tell: (type: OncelyEventType, reason: string, error?: unknown) => void,
): Promise<boolean> {
  const { clock, limits, store, outcomes } = parts
  const resolver = prepared.operation.resolver as Resolver<R> | undefined
  if (resolver === undefined) return false
  try {
    const { idHex: id, call, deriveKey } = prepared
    const settled = await isSettled(parts, prepared, record)
    const found = await bounded(clock, prepared.operation.policy.leaseMs, 'the resolver', () =>
      resolver({ id, key: call.key, attempt: record.attempt, createdAtMs: record.createdAtMs, input: call.input, deriveKey }),
    )
    if (found.verdict === 'unknown') {
      tell('uncertain', 'the resolver does not know')
      return false
    }
    if (found.verdict === 'not-applied' && !settled) {
      tell('resolved', 'not-applied: early')
      return false
    }
    const verdict =
      found.verdict === 'applied'
        ? ({ applied: true, outcome: outcomes.seal(storable(prepared, parts, work.encode(found.value)), sealing(prepared)) } as const)
        : ({ applied: false } as const)
    const expected = { state: 'uncertain', token: record.token } as const
    const answer = await bounded(clock, limits.storeTimeoutMs, 'a resolution', () =>
      store.resolve(prepared.id, { expected, verdict, by: 'resolver', reason: found.verdict }),
    )
    tell('resolved', `${found.verdict}: ${answer.word}`)
    return answer.word !== 'early'
  } catch (error) {
    tell('uncertain', 'the resolver failed', error)
    return false
  }
}

/**
 * Whether a look-up that begins now sees every effect there will be. The store compares the moment in which a verdict arrives, but
 * an effect may arrive between the look-up and that; so what counts is the store's time at which this caller was let in.
 */
async function isSettled({ clock, limits, store }: EngineParts, { id, request }: Prepared, { token }: RecordSummary): Promise<boolean> {
  const found = await bounded(clock, limits.storeTimeoutMs, 'a read', () => store.read(id))
  if (found?.state !== 'uncertain' || compareTokens(found.token, token) !== 0) return false
  return found.resolverUntilMs - request.resolverMs >= found.leaseEndMs + found.policy.effectTimeoutMs
}
