import { type Bind, ConfigurationError, formatDuration, type HandlerContext, type Operation } from '../../core/index.ts'
import { type HandleOptions, type HttpResponse, returningRoute } from '../../http/index.ts'
import type { LambdaContext, LambdaEvent, LambdaResult } from './lambda-event.ts'
import { lambdaFacts, lambdaResult } from './lambda-facts.ts'

/** A function as the runtime of Lambda calls it. */
export type LambdaHandler<Event extends LambdaEvent> = (event: Event, context: LambdaContext) => Promise<LambdaResult<Event>>

/**
 * A Lambda function behind API Gateway (HTTP API and function URL, REST API) that runs its handler once for each key. The answer is
 * stored, and the counts of duplicates are written, before the promise resolves: nothing is left to timers that freeze.
 *
 * The function's timeout must leave the operation's lease time to end or to be completed: a function that is killed cannot release
 * it, and retries would be told "in progress" for longer than anything could run. An invocation with less time left than the lease
 * rejects with `ConfigurationError` before anything runs.
 *
 * Errors that the handler throws reject the promise after the record is settled, which API Gateway answers with 502. `onError` can
 * turn them into answers.
 *
 * @example export const handler = handle(createPayment, { principal: accountOf }, async ({ input }) => reply(201, await charge(input)))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind, Event extends LambdaEvent = LambdaEvent>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<Event>,
  handler: (context: HandlerContext<Input, Tx, B>, event: Event, lambda: LambdaContext) => Promise<HttpResponse> | HttpResponse,
): LambdaHandler<Event> {
  const route = returningRoute(operation, options, handler)
  const { name, policy } = operation.definition
  return async (event, context) => {
    const remainingMs = context.getRemainingTimeInMillis()
    if (policy.leaseMs > remainingMs) {
      throw new ConfigurationError(
        `Operation "${name}": policy.lease is ${formatDuration(policy.leaseMs)}, and this invocation has ${remainingMs} ms left; nothing ran. Set policy.lease some seconds below the function's timeout, or raise the timeout.`,
      )
    }
    try {
      return lambdaResult(event, await route.answer(lambdaFacts(event, options, route.bodyBytesMax), event, context))
    } finally {
      await operation.engine.duplicates.flush()
    }
  }
}
