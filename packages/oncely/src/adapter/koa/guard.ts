import type { Context, Middleware } from 'koa'
import type { Operation } from '../../core/index.ts'
import { type CallerOptions, type GuardHttpOptions, GuardRoute, guardRequest, keepAttempt, sendResponse } from '../../http/index.ts'
import { koaFacts, respond } from './koa-facts.ts'

/** Options of `guard`. */
export interface GuardOptions extends CallerOptions<Context>, GuardHttpOptions {}

/**
 * Middleware around existing ones: whatever the response becomes (`ctx.body`, a stream, `ctx.res`) is held back where Koa writes it,
 * stored and then sent. For operations with `bind: 'lease'`. A response that is too large to store goes through whole, and a retry
 * learns that it was not kept; so does an event stream, which is never held back.
 *
 * Koa writes a response after all its middleware: a store that breaks then is answered by `ctx.onerror`, past middleware outside.
 *
 * @example router.post('/legacy', auth, guard(legacyOperation, { principal: (ctx) => ctx.state.user.id }), existingHandler)
 * @throws ConfigurationError for an operation bound to a transaction, and for options that cannot work or are not safe.
 */
export function guard<Input, Output, Tx>(operation: Operation<Input, Output, Tx, 'lease'>, options: GuardOptions): Middleware {
  const route = new GuardRoute<Tx>(operation, options)
  const { bodyBytesMax } = route.engine.parts.limits
  return (ctx, next) =>
    new Promise((resolve, reject) => {
      let proceeded = false
      void guardRequest(route, koaFacts(ctx, options, bodyBytesMax), {
        response: ctx.res,
        proceed: (context) => {
          proceeded = true
          keepAttempt(ctx, context)
          next()
            .finally(() => keepWritable(ctx))
            .then(resolve, reject)
        },
        send: (answer) => {
          // Once the middleware has run, Koa writes no other response.
          if (proceeded) return sendResponse(ctx.req, ctx.res, answer)
          respond(ctx, answer)
          resolve(undefined)
        },
        fail: (error) => (proceeded ? ctx.onerror(error as Error) : reject(error)),
      })
    })
}

/** Makes Koa write the response also where its client is gone: it is stored for the retry. */
function keepWritable(ctx: Context): void {
  Object.defineProperty(ctx, 'writable', { configurable: true, get: () => !ctx.res.writableEnded })
}
