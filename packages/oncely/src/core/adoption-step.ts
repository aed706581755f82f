import type { AdoptedCall, Adoption } from './adoption.ts'
import type { Execution, Work } from './attempt.ts'
import type { EngineParts, Tell } from './engine-parts.ts'
import { StoreUnavailable } from './errors.ts'
import { sealing, storable } from './lease-attempt.ts'
import type { Prepared } from './preparation.ts'
import { insist } from './store-call.ts'

/** What asking the old table came to: nothing there, a record made of it or there already, or what stands in the way of a claim. */
export type AdoptionStep =
  | { readonly word: 'absent' | 'adopted' | 'present'; readonly execution: undefined }
  | { readonly word: 'running' | 'mismatch' | 'unavailable'; readonly execution: Execution<never> }

/**
 * Asks the old table before a first claim. A value that it has becomes a completed record, under the payload of this call, and the
 * claim that follows replays it.
 */
export async function adopt<R, Tx>(parts: EngineParts, prepared: Prepared, work: Work<R, Tx>, tell: Tell): Promise<AdoptionStep> {
  const { operation, idHex: record } = prepared
  const adoption = operation.adopt as Adoption<R> | undefined
  const found = await adoption?.find(adoptedCall(prepared))
  switch (found?.state) {
    case undefined:
      return { word: 'absent', execution: undefined }
    case 'running':
      tell('in-progress', prepared, 0, 'adopted')
      return { word: 'running', execution: { status: 'in-progress', retryAfterMs: 1_000, record } }
    case 'mismatch':
      tell('mismatch', prepared, 0, 'adopted')
      return { word: 'mismatch', execution: { status: 'mismatch', record } }
    case 'completed':
      try {
        const kept = await keepAdopted(parts, prepared, work, found.value)
        if (kept) tell('adopted', prepared, 1, '')
        return { word: kept ? 'adopted' : 'present', execution: undefined }
      } catch (cause) {
        if (!(cause instanceof StoreUnavailable)) throw cause
        tell('unavailable', prepared, 0, 'store', cause)
        return { word: 'unavailable', execution: { status: 'unavailable', reason: 'store', retryAfterMs: 1_000, cause, record } }
      }
    default:
      throw new TypeError(
        `adopt.find of "${operation.name}" answered the state ${JSON.stringify((found as { state: unknown }).state)}; it is completed, running or mismatch.`,
      )
  }
}

/** The work of an operation as it declares it: what is stored is redacted, and new values are written to the table adopted from. */
export function declaredWork<R, Tx>(prepared: Prepared, work: Work<R, Tx>): Work<R, Tx> {
  const { redact, adopt: adoption } = prepared.operation
  if (redact === undefined && adoption?.write === undefined) return work
  const redacted = <V>(value: V): V => (redact === undefined ? value : (redact(value as never) as V))
  const write = adoption?.write as Adoption<R>['write']
  return {
    run: async (context, tx, ...rest) => {
      const value = await work.run(context, tx, ...rest)
      if (write !== undefined && work.judge(value) === 'complete') await write({ ...adoptedCall(prepared), value, tx })
      return value
    },
    encode: (value) => work.encode(redacted(value)),
    encodeRejection: (value) => work.encodeRejection(redacted(value)),
    judge: (value) => work.judge(value),
  }
}

function adoptedCall({ call: { principal, key, input } }: Prepared): AdoptedCall {
  return { principal, key, input }
}

/** Claims under a lease, whatever the operation is bound to: nothing runs, and a crash in between frees the key for the next one. */
async function keepAdopted<R, Tx>(parts: EngineParts, prepared: Prepared, work: Work<R, Tx>, value: R): Promise<boolean> {
  const { store, limits, outcomes, random } = parts
  const outcome = outcomes.seal(storable(prepared, parts, work.encode(value)), sealing(prepared))
  const request = { ...prepared.request, bind: 'lease', begun: false, attemptId: random.uuid(), resolverMs: 0, owner: 'adoption' } as const
  const claim = await insist(parts, limits.storeTimeoutMs, 'a claim', () => store.claim(request))
  if (claim.word !== 'acquired') return false
  return (await insist(parts, limits.storeTimeoutMs, 'a completion', () => store.complete(claim.ownership, outcome))) === 'done'
}
