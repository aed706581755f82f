import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import {
  callerFacts,
  type HandleOptions,
  type HttpResponse,
  type RequestBody,
  readWebBody,
  returningRoute,
  webFacts,
  webResponse,
} from '../../http/index.ts'

/** A handler as Fetch-style frameworks call it; what comes after the request (Next's route context) is handed on. */
export type FetchHandler<Rest extends readonly unknown[]> = (request: Request, ...rest: Rest) => Promise<Response>

/**
 * A function from `Request` to `Response` that runs its handler once for each key. It is the shape of a Next route handler and of
 * `fetch` servers. The answer is stored before the promise resolves. The path of the URL counts as the route.
 *
 * Fetch joins the lines of a repeated field with ", ". Two `Idempotency-Key` lines therefore arrive as one value, which is refused
 * as a list (400); they cannot be told from one line that has the list in it. The handler may read the request's body itself.
 *
 * Errors that the handler throws reject the promise after the record is settled, and are the server's to answer. A route that is
 * set up wrong (`PrincipalMissing`, `BodyNotCaptured`) does the same.
 *
 * @example export const POST = handle(createPayment, { principal: accountOf }, async ({ tx, input }) => reply(201, await insertPayment(tx, input)))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind, Rest extends readonly unknown[]>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<Request>,
  handler: (context: HandlerContext<Input, Tx, B>, request: Request, ...rest: Rest) => Promise<HttpResponse> | HttpResponse,
): FetchHandler<Rest> {
  const route = returningRoute(operation, options, handler)
  return async (request, ...rest) => {
    let body: Promise<RequestBody> | undefined
    const facts = {
      ...webFacts(request),
      ...callerFacts(options, request),
      body: () => {
        body ??= readWebBody(request, route.bodyBytesMax)
        return body
      },
    }
    return webResponse(await route.answer(facts, request, ...rest))
  }
}
