import type { RequestHandler } from 'express'
import type { Oncely } from '../../core/index.ts'
import { specification, specificationPath } from '../../http/index.ts'

/**
 * Publishes how this service treats keys, made from what runs: key format, scope, retention, fingerprint, what duplicates are told
 * and the types of problems (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2).
 *
 * @example app.use(wellKnown(oncely))
 */
export function wellKnown<Tx>(oncely: Oncely<Tx>, options: { readonly problemBase?: string } = {}): RequestHandler {
  return (request, response, next) => {
    if (request.path !== specificationPath || (request.method !== 'GET' && request.method !== 'HEAD')) return next()
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.setHeader('cache-control', 'public, max-age=300')
    response.end(JSON.stringify(specification(oncely, options)))
  }
}
