import type { Context, Middleware } from 'koa'
import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { type HandleOptions, type HttpResponse, returningRoute } from '../../http/index.ts'
import { koaFacts, respond } from './koa-facts.ts'

/**
 * A handler that returns its answer, run once for each key. The answer is stored before it is sent, as `ctx.body`: middleware
 * outside works as ever. The path of the request counts as the route.
 *
 * Errors that the handler throws go through the middleware outside after the record is settled. A route that is set up wrong
 * (`PrincipalMissing`, `BodyNotCaptured`) does the same.
 *
 * @example router.post('/payments', handle(createPayment, { principal: (ctx) => ctx.state.user.id }, async ({ tx, input }) => reply(201, await insertPayment(tx, input))))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<Context>,
  handler: (context: HandlerContext<Input, Tx, B>, ctx: Context) => Promise<HttpResponse> | HttpResponse,
): Middleware {
  const route = returningRoute(operation, options, handler)
  return async (ctx) => respond(ctx, await route.answer(koaFacts(ctx, options, route.bodyBytesMax), ctx))
}
