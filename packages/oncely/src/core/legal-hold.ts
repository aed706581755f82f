import { Unsupported } from './errors.ts'
import type { HoldTarget, Store } from './store.ts'

/**
 * The tombstone of a record under a legal hold, a hundred years: it ends in no sweep and its key is never new again. A store
 * gives it to what a hold covers, and gives the policy's own back when the hold is lifted.
 */
export const heldTombstoneMs = 3_155_760_000_000

/** The store, as one that knows legal holds. */
export function holdingStore(store: Store): Required<Pick<Store, 'hold' | 'holds'>> {
  const { hold, holds } = store
  if (hold === undefined || holds === undefined)
    throw new Unsupported(
      `The store ${store.name} knows no legal hold. Use postgres, sqlite or memory, or export the record before its policy ends.`,
    )
  return { hold: hold.bind(store), holds: holds.bind(store) }
}

/** What the target names, as one word and a digest. */
export function holdParts(target: HoldTarget): { readonly kind: 'record' | 'principal'; readonly digest: Uint8Array } {
  return 'record' in target ? { kind: 'record', digest: target.record } : { kind: 'principal', digest: target.principal }
}
