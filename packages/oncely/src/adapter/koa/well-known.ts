import type { Middleware } from 'koa'
import type { Oncely } from '../../core/index.ts'
import { reply, specification, specificationPath } from '../../http/index.ts'
import { respond } from './koa-facts.ts'

/**
 * Publishes how this service treats keys, made from what runs, at `/.well-known/idempotency`
 * (draft-ietf-httpapi-idempotency-key-header-07 §2.5.2).
 *
 * @example app.use(wellKnown(oncely))
 */
export function wellKnown<Tx>(oncely: Oncely<Tx>, options: { readonly problemBase?: string } = {}): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== specificationPath || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    respond(ctx, reply(200, specification(oncely, options), { 'cache-control': 'public, max-age=300' }))
  }
}
