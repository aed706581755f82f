import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { ClaimRequest, Outcome, TransactionOptions } from '../../src/core/index.ts'

export function newId(): Uint8Array {
  return new Uint8Array(randomBytes(32))
}

export function digestOf(text: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(text).digest())
}

export function claimOf(id: Uint8Array, own: Partial<ClaimRequest> & { readonly payload?: string } = {}): ClaimRequest {
  const { payload = 'payload', ...rest } = own
  const plain = digestOf(payload)
  return {
    id,
    operation: 'create-payment',
    bind: 'lease',
    principal: digestOf('principal'),
    actor: new Uint8Array(0),
    fingerprint: { version: 1, plain, keyed: [{ keyId: 0, digest: plain }] },
    policy: {
      name: 'standard',
      retentionMs: 86_400_000,
      tombstoneMs: 3 * 86_400_000,
      attemptsMax: 5,
      onLostLease: 'uncertain',
      effectTimeoutMs: 60_000,
    },
    leaseMs: 30_000,
    attemptId: randomUUID(),
    begun: true,
    rerunnable: false,
    resolverMs: 0,
    owner: 'test',
    traceId: '',
    ...rest,
  }
}

export function outcomeOf(text: string): Outcome {
  return { codec: 1, bytes: new TextEncoder().encode(text), checksum: digestOf(text).subarray(0, 16) }
}

export const inTransaction: TransactionOptions = { lockTimeoutMs: 2_000, idleTimeoutMs: 10_000, isolation: 'default' }
