import { randomBytes, randomUUID } from 'node:crypto'
import { type ClaimRequest, codecIds, type Outcome, sealOutcome } from '../../src/core/index.ts'
import { nodeHasher } from '../../src/platform/index.ts'
import { claimRequest as anyClaim } from '../support/claim-request.ts'

export function newId(): Uint8Array {
  return new Uint8Array(randomBytes(32))
}

/** A claim with an attempt id that no other process has. */
export function claimRequest(id: Uint8Array, change: Partial<ClaimRequest> = {}): ClaimRequest {
  return anyClaim({ id, attemptId: randomUUID(), ...change })
}

export function outcomeOf(text: string): Outcome {
  return sealOutcome({ codec: codecIds.bytes, bytes: new TextEncoder().encode(text) }, nodeHasher)
}
