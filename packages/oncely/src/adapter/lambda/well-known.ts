import type { Oncely } from '../../core/index.ts'
import { reply, specification } from '../../http/index.ts'
import type { LambdaEvent, LambdaResult } from './lambda-event.ts'
import { lambdaResult } from './lambda-facts.ts'

/**
 * Publishes how this service treats keys, made from what runs (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2). A function for
 * `GET /.well-known/idempotency`.
 *
 * @example export const handler = wellKnown(oncely)
 */
export function wellKnown<Tx>(
  oncely: Oncely<Tx>,
  options: { readonly problemBase?: string } = {},
): <Event extends LambdaEvent>(event: Event) => Promise<LambdaResult<Event>> {
  return async (event) => lambdaResult(event, reply(200, specification(oncely, options), { 'cache-control': 'public, max-age=300' }))
}
