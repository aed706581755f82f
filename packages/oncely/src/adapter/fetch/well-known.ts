import type { Oncely } from '../../core/index.ts'
import { reply, specification, webResponse } from '../../http/index.ts'

/**
 * Publishes how this service treats keys, made from what runs (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2). Serve it for
 * GET at `/.well-known/idempotency`.
 *
 * @example export const GET = wellKnown(oncely)
 */
export function wellKnown<Tx>(oncely: Oncely<Tx>, options: { readonly problemBase?: string } = {}): () => Response {
  return () => webResponse(reply(200, specification(oncely, options), { 'cache-control': 'public, max-age=300' }))
}
