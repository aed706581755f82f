import type { OncelyRecord, RecordEvent } from '../core/index.ts'

/**
 * Mistakes that a store could make. A simulation that does not notice one of them proves nothing, so each is planted by a test
 * that wants to see it found.
 */
export type PlantedBug =
  /** Completions and releases are not compared with the newest token and attempt. */
  | 'unfenced'
  /** `begin()` is not compared with the newest token and attempt. */
  | 'begins-unfenced'
  /** A claim is granted while another attempt runs. */
  | 'grants-while-running'
  /** A lost lease is taken over although effects may have started. */
  | 'takes-over-begun'
  /** Some commits are answered, but nothing is kept. */
  | 'commit-forgotten'
  /** A later outcome replaces the recorded one. */
  | 'outcome-overwritten'
  /** Another payload under the same key counts as the same. */
  | 'payload-ignored'
  /** Rows of the user's transaction survive its roll-back. */
  | 'rows-outlive-roll-back'
  /** Completed records are swept before their retention ends. */
  | 'swept-early'

export const plantedBugs: readonly PlantedBug[] = [
  'unfenced',
  'begins-unfenced',
  'grants-while-running',
  'takes-over-begun',
  'commit-forgotten',
  'outcome-overwritten',
  'payload-ignored',
  'rows-outlive-roll-back',
  'swept-early',
]

/** The event and the record as a store with this bug sees them. */
export function misread(
  bug: PlantedBug | undefined,
  record: OncelyRecord | undefined,
  event: RecordEvent,
): { readonly record: OncelyRecord | undefined; readonly event: RecordEvent } {
  if (bug === undefined || record === undefined) return { record, event }
  const { token, attemptId } = record
  if (bug === 'unfenced' && (event.type === 'complete' || event.type === 'release')) {
    return { record, event: { ...event, ownership: { ...event.ownership, token, attemptId } } }
  }
  if (bug === 'begins-unfenced' && event.type === 'renew' && event.begun) {
    return { record, event: { ...event, ownership: { ...event.ownership, token, attemptId } } }
  }
  if (bug === 'outcome-overwritten' && event.type === 'complete' && record.state === 'completed') {
    const { completedAtMs: _, outcome: __, ...rest } = record
    return {
      record: { ...rest, state: 'running', leaseEndMs: 0 },
      event: { ...event, ownership: { ...event.ownership, token, attemptId } },
    }
  }
  if (event.type !== 'claim') return { record, event }
  switch (bug) {
    case 'grants-while-running':
      return { record: record.state === 'running' ? { ...record, leaseEndMs: 0, begunAttempt: 0 } : record, event }
    case 'takes-over-begun':
      return { record, event: { ...event, request: { ...event.request, rerunnable: true } } }
    case 'payload-ignored': {
      const { version, keyId, digest } = record.fingerprint
      const fingerprint = { version, plain: digest, keyed: [{ keyId, digest }] }
      return { record, event: { ...event, request: { ...event.request, fingerprint } } }
    }
    default:
      return { record, event }
  }
}
