import type { anonymous } from './attempt.ts'

/**
 * Taking over from a table of one's own: what it answers is answered from then on, and what is new is written to it too for as long
 * as somebody may have to go back.
 */
export interface Adoption<Output> {
  /** What the old table knows of the key; undefined when nothing. It must only read, and is asked before every first claim. */
  readonly find: (call: AdoptedCall) => Promise<Adopted<Output> | undefined>
  /**
   * Writes a new value to the old table, so that the old code finds it. In transaction mode it runs in the transaction (`tx`), after
   * the handler: where the old table's unique key refuses the row, everything is rolled back.
   */
  readonly write?: (call: AdoptedCall & { readonly value: Output; readonly tx: unknown }) => Promise<void>
}

/** Whose key it is, as the call gave it. */
export interface AdoptedCall {
  readonly principal: string | typeof anonymous
  readonly key: string
  readonly input: unknown
}

/** What the old table says: done with this value, still running there, or a key that stands for another payload. */
export type Adopted<Output> =
  | { readonly state: 'completed'; readonly value: Output }
  | { readonly state: 'running' }
  | { readonly state: 'mismatch' }
