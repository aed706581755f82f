import type { FastifyRequest, preHandlerHookHandler } from 'fastify'
import type { Operation } from '../../core/index.ts'
import {
  type CallerOptions,
  reply as failure,
  type GuardHttpOptions,
  GuardRoute,
  guardRequest,
  keepAttempt,
  rememberHeaders,
  sendReply,
  sendResponse,
} from '../../http/index.ts'
import { fastifyFacts } from './fastify-facts.ts'

/** Options of `guard`. */
export interface GuardOptions extends CallerOptions<FastifyRequest>, GuardHttpOptions {}

/**
 * A `preHandler` hook around an existing handler: whatever it sends (`reply.send`, a returned value, a stream, `reply.raw`) is held
 * back, stored and then sent. For operations with `bind: 'lease'`. A response that is too large to store goes through whole, and a
 * retry learns that it was not kept; so does an event stream, which is never held back.
 *
 * @example app.post('/legacy', { preHandler: [auth, guard(legacyOperation, { principal: (req) => req.user.id })] }, existingHandler)
 * @throws ConfigurationError for an operation bound to a transaction, and for options that cannot work or are not safe.
 */
export function guard<Input, Output, Tx>(operation: Operation<Input, Output, Tx, 'lease'>, options: GuardOptions): preHandlerHookHandler {
  const route = new GuardRoute<Tx>(operation, options)
  const { bodyBytesMax } = route.engine.parts.limits
  return (request, reply, done) => {
    let undo = (): void => {}
    void guardRequest(route, fastifyFacts(request, options, bodyBytesMax), {
      response: reply.raw,
      proceed: (context) => {
        undo = rememberHeaders(reply)
        keepAttempt(request, context)
        done()
      },
      // When the handler's answer has been taken back, the reply is open again; unless the handler had hijacked it.
      send: (answer) => {
        if (reply.sent) return sendResponse(request.raw, reply.raw, answer)
        undo()
        sendReply(request.raw, reply, answer)
      },
      fail: (error) => {
        undo()
        if (!reply.sent) return void reply.send(error)
        request.log.error(error)
        sendResponse(request.raw, reply.raw, failure(500))
      },
    })
  }
}
