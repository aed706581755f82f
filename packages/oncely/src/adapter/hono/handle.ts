import type { Context, Handler } from 'hono'
import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { callerFacts, type HandleOptions, type HttpResponse, headerFields, returningRoute, webBody, webFacts } from '../../http/index.ts'
import { bodyOf } from './capture.ts'

/**
 * A route's handler that returns its answer, run once for each key. The answer is stored before it is sent, and carries the headers
 * that middleware set before (`c.header`). The path of the URL counts as the route.
 *
 * Repeated `Idempotency-Key` lines arrive joined with ", ", as Fetch does it, and are refused as a list (400). Errors that the
 * handler throws go to `app.onError` after the record is settled; so does a route that is set up wrong.
 *
 * @example app.post('/payments', handle(createPayment, { principal: (c) => c.get('account') }, async ({ tx, input }) => reply(201, await insertPayment(tx, input))))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<Context>,
  handler: (context: HandlerContext<Input, Tx, B>, c: Context) => Promise<HttpResponse> | HttpResponse,
): Handler {
  const route = returningRoute(operation, options, handler)
  return async (c) => {
    const facts = { ...webFacts(c.req.raw), ...callerFacts(options, c), body: () => bodyOf(c, route.bodyBytesMax) }
    return respond(c, await route.answer(facts, c))
  }
}

/** Through the context, so that headers which middleware set before are kept. */
export function respond(c: Context, response: HttpResponse): Response {
  return c.newResponse(webBody(response), response.status as never, Object.fromEntries(headerFields(response.headers)))
}
