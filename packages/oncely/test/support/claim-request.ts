import { type ClaimRequest, policyPresets, recordPolicy } from '../../src/core/index.ts'

let attempts = 0

/** A claim of one record with every field filled in; a new attempt id each time. */
export function claimRequest(own: Partial<ClaimRequest> = {}): ClaimRequest {
  const digest = new Uint8Array(32).fill(7)
  return {
    id: new Uint8Array(32).fill(1),
    operation: 'charge',
    bind: 'lease',
    principal: new Uint8Array(32).fill(2),
    actor: new Uint8Array(0),
    fingerprint: { version: 1, plain: digest, keyed: [{ keyId: 0, digest }] },
    policy: recordPolicy(policyPresets.standard),
    leaseMs: 30_000,
    attemptId: `00000000-0000-4000-8000-${String(++attempts).padStart(12, '0')}`,
    begun: false,
    rerunnable: false,
    resolverMs: 0,
    owner: 'test',
    traceId: '',
    ...own,
  }
}
