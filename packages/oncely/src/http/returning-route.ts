import { type Bind, ConfigurationError, contextWith, type Eventually, type HandlerContext, type Operation } from '../core/index.ts'
import { answerDelivery } from './answer-delivery.ts'
import type { CallerOptions } from './caller.ts'
import { answerRequest } from './contract.ts'
import type { MessageSource } from './message-source.ts'
import type { RequestFacts } from './request-facts.ts'
import type { HttpResponse } from './response.ts'
import type { ReturningHandler } from './returning-work.ts'
import { type HttpOptions, HttpRoute } from './route.ts'

/** Options of a route whose handler returns its answer. */
export interface HandleOptions<Request> extends CallerOptions<Request>, HttpOptions {
  /**
   * Turns an error it knows into an answer, which counts as thrown: rows of a transaction are rolled back. Undefined for any other
   * error, so that a conflict of the database is repeated and the rest reaches the application's own error handler.
   */
  onError?(error: unknown): HttpResponse | undefined
  /** Takes key, caller and input from signed messages (see `oncely/webhook`) instead of an `Idempotency-Key`. */
  readonly source?: MessageSource
}

/** A route with its handler, ready for requests. */
export interface ReturningRoute<Arguments extends readonly unknown[]> {
  /** The instance's limit, for the adapter that reads the body. */
  readonly bodyBytesMax: number
  /**
   * The answer to one request, at once where this process remembers it; `request` is what the framework hands to its handlers.
   * Rejects with what the handler throws; throws, or rejects with, the typed error of a route that is set up wrong.
   */
  answer(facts: RequestFacts, ...request: Arguments): Eventually<HttpResponse>
}

/**
 * Puts an operation, its options and its handler together, for every adapter's `handle`.
 *
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function returningRoute<Input, Output, Tx, B extends Bind, Arguments extends readonly unknown[]>(
  operation: Operation<Input, Output, Tx, B>,
  options: Pick<HandleOptions<never>, 'onError' | 'source'> & HttpOptions,
  handler: (context: HandlerContext<Input, Tx, B>, ...request: Arguments) => Promise<HttpResponse> | HttpResponse,
): ReturningRoute<Arguments> {
  const route = new HttpRoute<Tx>(operation, options)
  const transaction = operation.definition.bind === 'transaction'
  const call = handler as (context: unknown, ...request: Arguments) => Promise<HttpResponse> | HttpResponse
  const onError = options.onError?.bind(options)
  const { source } = options
  if (source !== undefined && options.methods !== undefined) {
    throw new ConfigurationError(
      `Route of "${operation.definition.name}": methods is for routes with an Idempotency-Key; every delivery of ${source.name} is protected. Leave it out.`,
    )
  }
  return {
    bodyBytesMax: route.engine.parts.limits.bodyBytesMax,
    answer: (facts, ...request) => {
      const handle: ReturningHandler<Tx> = (context, tx, input, outbox) =>
        call(contextWith(context, transaction ? { input, tx, outbox } : { input }), ...request)
      return source === undefined ? answerRequest(route, facts, handle, onError) : answerDelivery(route, source, facts, handle, onError)
    },
  }
}
