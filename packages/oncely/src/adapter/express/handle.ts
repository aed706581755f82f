import type { Request, RequestHandler } from 'express'
import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { type HandleOptions, type HttpResponse, returningRoute, sendAnswer } from '../../http/index.ts'
import { expressFacts } from './express-facts.ts'

/**
 * A route's handler that returns its answer, run once for each key. It is the shape for `bind: 'transaction'`, where it may be
 * called again after a serialization failure, and works for leases too. The answer is stored before it is sent.
 *
 * Errors that the handler throws go to the application's error handler after the record is settled. A route that is set up wrong
 * (`PrincipalMissing`, `BodyNotCaptured`) does the same.
 *
 * @example app.post('/payments', handle(createPayment, { principal: (req) => req.user.id }, async ({ tx, input }) => reply(201, await insertPayment(tx, input))))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<Request>,
  handler: (context: HandlerContext<Input, Tx, B>, request: Request) => Promise<HttpResponse> | HttpResponse,
): RequestHandler {
  const route = returningRoute(operation, options, handler)
  return (request, response, next) =>
    sendAnswer(request, response, () => route.answer(expressFacts(request, options, route.bodyBytesMax), request), next)
}
