import {
  clientName,
  derivedKey,
  type EngineParts,
  type OncelyRecord,
  type OperationDefinition,
  type Prepared,
  type StepHistory,
  toHex,
} from '../core/index.ts'

/**
 * The call that a record was made by, as far as the record knows it: the digests are the same, so the claim meets the same rules; the
 * key and the principal themselves are not stored.
 */
export function resumedCall(parts: EngineParts, operation: OperationDefinition, record: OncelyRecord, history: StepHistory): Prepared {
  const { id, actor, principal } = record
  const { version, keyId, digest } = record.fingerprint
  const idHex = toHex(id)
  const fingerprint = { version, plain: history.payload, keyed: [{ keyId, digest }] }
  const call = { principal: idHex, key: '', facts: { body: { kind: 'none' } } } as const
  return {
    operation,
    call,
    id,
    idHex,
    plain: history.payload,
    actor,
    client: clientName(parts.hasher, toHex(principal)),
    address: `resumed/${idHex}`,
    known: { operation, facts: call.facts, id, idHex, fingerprint },
    deriveKey: (name) => derivedKey(parts.hasher, undefined, id, name),
    request: {
      id,
      operation: operation.name,
      bind: 'steps',
      principal,
      actor,
      fingerprint,
      policy: record.policy,
      leaseMs: operation.policy.leaseMs,
      begun: false,
      rerunnable: true,
      resolverMs: 0,
      owner: `${parts.owner} completer`,
      traceId: '',
    },
  }
}
