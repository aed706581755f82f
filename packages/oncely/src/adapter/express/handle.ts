import type { Request, RequestHandler } from 'express'
import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { answerRequest, type HttpOptions, type HttpResponse, HttpRoute, sendResponse } from '../../http/index.ts'
import { type CallerOptions, expressFacts } from './express-facts.ts'

/** Options of `handle`. */
export interface HandleOptions extends CallerOptions, HttpOptions {
  /**
   * Turns an error it knows into an answer, which counts as thrown: rows of a transaction are rolled back. Undefined for any other
   * error, so that a conflict of the database is repeated and the rest reaches the application's own error handler.
   */
  onError?(error: unknown): HttpResponse | undefined
}

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
  options: HandleOptions,
  handler: (context: HandlerContext<Input, Tx, B>, request: Request) => Promise<HttpResponse> | HttpResponse,
): RequestHandler {
  const route = new HttpRoute<Tx>(operation, options)
  const { bodyBytesMax } = route.engine.parts.limits
  const transaction = operation.definition.bind === 'transaction'
  const call = handler as (context: unknown, request: Request) => Promise<HttpResponse> | HttpResponse
  const onError = options.onError?.bind(options)
  return (request, response, next) => {
    answerRequest(
      route,
      expressFacts(request, options, bodyBytesMax),
      (context, tx, input) => call(transaction ? { ...context, input, tx } : { ...context, input }, request),
      onError,
    )
      .then((answer) => sendResponse(request, response, answer))
      .catch(next)
  }
}
