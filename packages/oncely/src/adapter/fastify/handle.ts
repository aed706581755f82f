import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Bind, HandlerContext, Operation } from '../../core/index.ts'
import { type HandleOptions, type HttpResponse, returningRoute, sendReply } from '../../http/index.ts'
import { fastifyFacts } from './fastify-facts.ts'

/**
 * A route's handler that returns its answer, run once for each key. The answer is stored before it is sent, with `reply.send`:
 * `onSend` hooks run as for any other answer.
 *
 * Errors that the handler throws go to the application's error handler after the record is settled. A route that is set up wrong
 * (`PrincipalMissing`, `BodyNotCaptured`) does the same. What Fastify's own parser refuses never reaches the route.
 *
 * @example app.post('/payments', handle(createPayment, { principal: (req) => req.user.id }, async ({ tx, input }) => reply(201, await insertPayment(tx, input))))
 * @throws ConfigurationError for options that cannot work or are not safe.
 */
export function handle<Input, Output, Tx, B extends Bind>(
  operation: Operation<Input, Output, Tx, B>,
  options: HandleOptions<FastifyRequest>,
  handler: (context: HandlerContext<Input, Tx, B>, request: FastifyRequest) => Promise<HttpResponse> | HttpResponse,
): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply> {
  const route = returningRoute(operation, options, handler)
  return async (request, reply) =>
    sendReply(request.raw, reply, await route.answer(fastifyFacts(request, options, route.bodyBytesMax), request))
}
