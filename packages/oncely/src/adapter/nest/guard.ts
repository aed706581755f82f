import { type CallHandler, type ExecutionContext, Logger, type NestInterceptor } from '@nestjs/common'
import { ConfigurationError, type Operation } from '../../core/index.ts'
import {
  type CallerOptions,
  type GuardHttpOptions,
  GuardRoute,
  guardRequest,
  keepAttempt,
  rememberHeaders,
  reply,
} from '../../http/index.ts'
import { isReply, type NestRequest, type NestResponse, nestFacts, sendNest } from './nest-facts.ts'

/** Options of `guard`. */
export interface GuardOptions<Request extends NestRequest> extends CallerOptions<Request>, GuardHttpOptions {}

type Handled = ReturnType<CallHandler['handle']>

/**
 * An interceptor around an existing method of a controller: whatever leaves for its request (a returned value, `@Res()`, a
 * `StreamableFile`, the answer of an exception filter) is held back, stored and then sent. For operations with `bind: 'lease'`. A
 * response that is too large to store goes through whole, and a retry learns that it was not kept; so does an event stream, which is
 * never held back. Guards run before it, and again for a replay; make it the first of the interceptors.
 *
 * A store that breaks after the method has answered is logged with Nest's `Logger` and answered with 500: exception filters come
 * before that.
 *
 * @example \@UseInterceptors(guard(legacyOperation, { principal: (req: Request) => req.user.id }))
 * @throws ConfigurationError for an operation bound to a transaction, and for options that cannot work or are not safe.
 */
export function guard<Input, Output, Tx, Request extends NestRequest = NestRequest>(
  operation: Operation<Input, Output, Tx, 'lease'>,
  options: GuardOptions<Request>,
): NestInterceptor {
  const route = new GuardRoute<Tx>(operation, options)
  const { bodyBytesMax } = route.engine.parts.limits
  return {
    intercept: (execution, next) => {
      const [request, response] = exchangeOf<Request>(execution, operation.definition.name)
      // A request that is answered here never reaches the method: Nest waits for an answer that it need not send, and forgets it.
      return new Promise<Handled>((resolve, reject) => {
        let undo: (() => void) | undefined
        void guardRequest(route, nestFacts(request, options, bodyBytesMax), {
          response: isReply(response) ? response.raw : response,
          proceed: (context) => {
            undo = isReply(response) ? rememberHeaders(response) : () => {}
            keepAttempt(request, context)
            resolve(next.handle())
          },
          send: (answer) => {
            if (isReply(response) && !response.sent) undo?.()
            sendNest(request, response, answer)
          },
          fail: (error) => {
            if (undo === undefined) return reject(error)
            Logger.error(error, 'oncely')
            if (isReply(response) && !response.sent) undo()
            sendNest(request, response, reply(500))
          },
        })
      })
    },
  }
}

function exchangeOf<Request>(execution: ExecutionContext, operation: string): readonly [Request, NestResponse] {
  if (execution.getType() !== 'http') {
    throw new ConfigurationError(
      `guard() of "${operation}" is around a handler of "${execution.getType()}"; it protects HTTP routes. Call operation.run() in the handler instead.`,
    )
  }
  const http = execution.switchToHttp()
  return [http.getRequest<Request>(), http.getResponse<NestResponse>()]
}
