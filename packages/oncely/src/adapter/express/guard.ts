import type { Request, RequestHandler } from 'express'
import type { Operation } from '../../core/index.ts'
import { type CallerOptions, type GuardHttpOptions, GuardRoute, guardRequest, keepAttempt, sendResponse } from '../../http/index.ts'
import { expressFacts } from './express-facts.ts'

/** Options of `guard`. */
export interface GuardOptions extends CallerOptions<Request>, GuardHttpOptions {}

/**
 * Middleware around an existing handler: whatever it writes (`send`, `json`, `end`, `write`, `pipe`, `sendFile`) is held back,
 * stored and then sent. For operations with `bind: 'lease'`. A response that is too large to store goes through whole, and a
 * retry learns that it was not kept; so does an event stream, which is never held back.
 *
 * @example app.post('/legacy', auth, guard(legacyOperation, { principal: (req) => req.user.id }), existingHandler)
 * @throws ConfigurationError for an operation bound to a transaction, and for options that cannot work or are not safe.
 */
export function guard<Input, Output, Tx>(operation: Operation<Input, Output, Tx, 'lease'>, options: GuardOptions): RequestHandler {
  const route = new GuardRoute<Tx>(operation, options)
  const { bodyBytesMax } = route.engine.parts.limits
  return (request, response, next) => {
    void guardRequest(route, expressFacts(request, options, bodyBytesMax), {
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
