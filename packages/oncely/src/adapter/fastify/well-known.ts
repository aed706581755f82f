import type { onRequestHookHandler } from 'fastify'
import type { Oncely } from '../../core/index.ts'
import { reply as answer, sendReply, specification, specificationPath, targetFacts } from '../../http/index.ts'

/**
 * Publishes how this service treats keys, made from what runs, at `/.well-known/idempotency`
 * (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2).
 *
 * @example app.addHook('onRequest', wellKnown(oncely))
 */
export function wellKnown<Tx>(oncely: Oncely<Tx>, options: { readonly problemBase?: string } = {}): onRequestHookHandler {
  return (request, reply, done) => {
    const published = targetFacts(request.originalUrl).route === specificationPath
    if (!published || (request.method !== 'GET' && request.method !== 'HEAD')) return done()
    sendReply(request.raw, reply, answer(200, specification(oncely, options), { 'cache-control': 'public, max-age=300' }))
  }
}
