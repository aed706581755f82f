import type { IncomingMessage } from 'node:http'
import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { type HandleOptions, type HttpResponse, returningRoute, sendAnswer } from '../../http/index.ts'
import { type NodeMiddleware, nodeFacts } from './node-facts.ts'

/**
 * A handler that returns its answer, run once for each key, for Node's own server and for frameworks that call middleware as
 * Connect does. The answer is stored before it is sent. The path of the request counts as the route.
 *
 * Errors that the handler throws go to `next` after the record is settled; nothing has been sent then. A route that is set up wrong
 * (`PrincipalMissing`, `BodyNotCaptured`) does the same.
 *
 * @example const payments = handle(createPayment, { principal: accountOf }, async ({ tx, input }) => reply(201, await insertPayment(tx, input)))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<IncomingMessage>,
  handler: (context: HandlerContext<Input, Tx, B>, request: IncomingMessage) => Promise<HttpResponse> | HttpResponse,
): NodeMiddleware {
  const route = returningRoute(operation, options, handler)
  return (request, response, next) =>
    sendAnswer(request, response, () => route.answer(nodeFacts(request, options, route.bodyBytesMax), request), next)
}
