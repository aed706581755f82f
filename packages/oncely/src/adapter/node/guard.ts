import type { IncomingMessage } from 'node:http'
import type { Operation } from '../../core/index.ts'
import { type CallerOptions, type GuardHttpOptions, GuardRoute, guardRequest, keepAttempt, sendResponse } from '../../http/index.ts'
import { type NodeMiddleware, nodeFacts } from './node-facts.ts'

/** Options of `guard`. */
export interface GuardOptions extends CallerOptions<IncomingMessage>, GuardHttpOptions {}

/**
 * Middleware around an existing handler, which is what `next` calls: whatever it writes is held back, stored and then sent. For
 * operations with `bind: 'lease'`. A response that is too large to store goes through whole, and a retry learns that it was not
 * kept; so does an event stream, which is never held back. `next(error)` may come after the handler ended: nothing has been sent.
 *
 * @example const guarded = guard(legacyOperation, { principal: accountOf })
 * @throws ConfigurationError for an operation bound to a transaction, and for options that cannot work or are not safe.
 */
export function guard<Input, Output, Tx>(operation: Operation<Input, Output, Tx, 'lease'>, options: GuardOptions): NodeMiddleware {
  const route = new GuardRoute<Tx>(operation, options)
  const { bodyBytesMax } = route.engine.parts.limits
  return (request, response, next) => {
    void guardRequest(route, nodeFacts(request, options, bodyBytesMax), {
      response,
      proceed: (context) => {
        keepAttempt(request, context)
        next()
      },
      send: (answer) => sendResponse(request, response, answer),
      fail: next,
    })
  }
}
