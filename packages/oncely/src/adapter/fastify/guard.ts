import type { FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import type { Operation } from '../../core/index.ts'
import { type CallerOptions, type GuardHttpOptions, GuardRoute, guardRequest, keepAttempt } from '../../http/index.ts'
import { fastifyFacts, sendReply } from './fastify-facts.ts'

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
    const undo = undoing(reply)
    void guardRequest(route, fastifyFacts(request, options, bodyBytesMax), {
      response: reply.raw,
      proceed: (context) => {
        keepAttempt(request, context)
        done()
      },
      // After the handler ended, its answer has been taken back and the reply is open again.
      send: (answer) => {
        undo()
        sendReply(request, reply, answer)
      },
      fail: (error) => {
        undo()
        reply.send(error)
      },
    })
  }
}

/** Puts the headers of a reply back as they are now. */
function undoing(reply: FastifyReply): () => void {
  const before = reply.getHeaders()
  return () => {
    for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
    reply.headers(before)
  }
}
