import type { MiddlewareHandler } from 'hono'
import type { Oncely } from '../../core/index.ts'
import { reply, specification, specificationPath } from '../../http/index.ts'
import { respond } from './handle.ts'

/**
 * Publishes how this service treats keys, made from what runs, at `/.well-known/idempotency`
 * (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2).
 *
 * @example app.use(wellKnown(oncely))
 */
export function wellKnown<Tx>(oncely: Oncely<Tx>, options: { readonly problemBase?: string } = {}): MiddlewareHandler {
  return async (c, next) => {
    if (c.req.path !== specificationPath || (c.req.method !== 'GET' && c.req.method !== 'HEAD')) return next()
    return respond(c, reply(200, specification(oncely, options), { 'cache-control': 'public, max-age=300' }))
  }
}
