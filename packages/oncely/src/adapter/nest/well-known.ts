import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Oncely } from '../../core/index.ts'
import { reply, sendResponse, specification, specificationPath, targetFacts } from '../../http/index.ts'

/**
 * Publishes how this service treats keys, made from what runs, at `/.well-known/idempotency`
 * (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2).
 *
 * @example app.use(wellKnown(oncely))
 */
export function wellKnown<Tx>(
  oncely: Oncely<Tx>,
  options: { readonly problemBase?: string } = {},
): (request: IncomingMessage, response: ServerResponse, next: () => void) => void {
  return (request, response, next) => {
    const { originalUrl = request.url as string } = request as { originalUrl?: string }
    const published = targetFacts(originalUrl).route === specificationPath
    if (!published || (request.method !== 'GET' && request.method !== 'HEAD')) return next()
    sendResponse(request, response, reply(200, specification(oncely, options), { 'cache-control': 'public, max-age=300' }))
  }
}
