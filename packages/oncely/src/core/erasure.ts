import { Unsupported } from './errors.ts'
import type { Hasher } from './hasher.ts'
import { toHex } from './hex.ts'
import { lengthPrefixed } from './length-prefix.ts'
import type { Secret } from './preparation.ts'
import type { Store } from './store.ts'

/** What was erased for whom, to be kept by whoever asked. It names the principal by its digest only. */
export interface ErasureReceipt {
  /** Digest of namespace and principal, in hexadecimal. */
  readonly principal: string
  readonly by: string
  readonly reason: string
  readonly startedAtMs: number
  readonly endedAtMs: number
  /** The store it happened in. */
  readonly store: string
  readonly instanceId: string
  readonly erased: number
  /** Records that a legal hold keeps. */
  readonly held: number
  /** Records that have not ended; erase again once they have. */
  readonly kept: number
  /** SHA-256 over the sorted ids of the erased records: who has the keys can show which they were. */
  readonly recordsDigest: string
  /** Which secret signed the receipt; 0 and no signature without secrets. */
  readonly secretId: number
  /** HMAC-SHA-256 over everything above. */
  readonly signature: string
}

/** What an erasure is made with. */
export interface ErasureParts {
  readonly store: Store
  readonly hasher: Hasher
  readonly secrets: readonly Secret[]
  readonly nowMs: () => number
  /** Lets go of a record outside the store: the cache and the process. */
  readonly forgetCopies: (id: Uint8Array) => Promise<void>
}

const batchMax = 500

/** Erases what has ended of a principal's records, and what the cache and this process hold of them. */
export async function erasePrincipal(
  parts: ErasureParts,
  principal: Uint8Array,
  { by, reason }: { readonly by: string; readonly reason: string },
): Promise<ErasureReceipt> {
  const { store, hasher, nowMs } = parts
  if (store.erasePrincipal === undefined)
    throw new Unsupported(
      `The store ${store.name} cannot find records by their principal. Erase them by key: oncely.forget(oncely.recordId({ principal, key })).`,
    )
  const { instanceId } = await store.open()
  const startedAtMs = nowMs()
  const ids: string[] = []
  let batch = await store.erasePrincipal(principal, { reason: `${by}: ${reason}`, batchMax })
  for (; batch.erased.length > 0; batch = await store.erasePrincipal(principal, { reason: `${by}: ${reason}`, batchMax })) {
    for (const id of batch.erased) {
      await parts.forgetCopies(id)
      ids.push(toHex(id))
    }
  }
  const facts = {
    principal: toHex(principal),
    by,
    reason,
    startedAtMs,
    endedAtMs: nowMs(),
    store: store.name,
    instanceId,
    erased: ids.length,
    held: batch.held,
    kept: batch.kept,
    recordsDigest: toHex(hasher.sha256(lengthPrefixed(ids.sort()))),
  }
  return { ...facts, ...signed(facts, parts) }
}

/** Whether this receipt was made by an instance with one of these secrets, and not changed since. */
export function isGenuineReceipt(
  { secretId, signature, ...facts }: ErasureReceipt,
  parts: Pick<ErasureParts, 'hasher' | 'secrets'>,
): boolean {
  const secret = parts.secrets.find(({ id }) => id === secretId)
  return secret !== undefined && signed(facts, { ...parts, secrets: [secret] }).signature === signature
}

function signed(
  facts: Omit<ErasureReceipt, 'secretId' | 'signature'>,
  { hasher, secrets }: Pick<ErasureParts, 'hasher' | 'secrets'>,
): Pick<ErasureReceipt, 'secretId' | 'signature'> {
  const [secret] = secrets
  if (secret === undefined) return { secretId: 0, signature: '' }
  const { principal, by, reason, startedAtMs, endedAtMs, store, instanceId, erased, held, kept, recordsDigest } = facts
  const numbers = [startedAtMs, endedAtMs, erased, held, kept, secret.id].map(String)
  const text = lengthPrefixed(['oncely erasure receipt 1', principal, by, reason, store, instanceId, recordsDigest, numbers])
  return { secretId: secret.id, signature: toHex(hasher.hmacSha256(secret.key, text)) }
}
