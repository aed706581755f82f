import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { type HandleOptions, type HttpResponse, returningRoute } from '../../http/index.ts'
import { type NestRequest, type NestResponse, nestFacts, sendNest } from './nest-facts.ts'

/**
 * A function that answers a request with what its handler returns, run once for each key. A controller's method calls it with Nest's
 * own `@Req()` and `@Res()`, so guards, pipes and interceptors of the route run before it as ever, and again for a replay. The
 * answer is stored before it is sent.
 *
 * Errors that the handler throws reject the promise after the record is settled and go to Nest's exception filters, an
 * `HttpException` too: `throw reject(402, …)` is the refusal that is stored. A route that is set up wrong (`PrincipalMissing`,
 * `BodyNotCaptured`) does the same.
 *
 * @example
 * readonly #create = handle(createPayment, { principal: (req: Request) => req.user.id }, async ({ tx, input }) => reply(201, await this.payments.insert(tx, input)))
 * \@Post() create(@Req() request: Request, @Res() response: Response) { return this.#create(request, response) }
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind, Request extends NestRequest = NestRequest>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<Request>,
  handler: (context: HandlerContext<Input, Tx, B>, request: Request) => Promise<HttpResponse> | HttpResponse,
): (request: Request, response: NestResponse) => Promise<void> {
  const route = returningRoute(operation, options, handler)
  return async (request, response) =>
    sendNest(request, response, await route.answer(nestFacts(request, options, route.bodyBytesMax), request))
}
