import type { AddressInfo } from 'node:net'
import fastify, { type FastifyReply, type FastifyRequest, type preHandlerHookHandler } from 'fastify'
import { capture, guard, handle, wellKnown } from '../../src/adapter/fastify/index.ts'
import type { SuiteApplication, SuiteMiddleware, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { capturing, optionsOf } from './suite-server.ts'

/** The suite's routes as a Fastify application, with its JSON parser or with none that reads. */
export async function serveFastify({ oncely, routes }: SuiteApplication, parses: boolean): Promise<SuiteServer> {
  const app = fastify()
  app.addHook('onRequest', capture(capturing(routes)))
  app.addHook('onRequest', wellKnown(oncely))
  if (!parses) app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => reply.code(error.statusCode ?? 500).send({ error: 'suite' }))
  for (const route of routes) {
    app.route({
      method: route.method === 'ALL' ? [...app.supportedMethods] : route.method,
      url: route.path,
      ...hooksOf(route),
    })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    port: (app.server.address() as AddressInfo).port,
    close: async () => {
      app.server.closeAllConnections()
      await app.close()
    },
  }
}

function hooksOf(route: SuiteRoute) {
  const options = optionsOf(route, (request: FastifyRequest) => (name) => request.headers[name] as string | undefined)
  const { before } = route
  const front = before === undefined ? [] : [onNode(before)]
  if (route.kind === 'handle') return { preHandler: front, handler: handle(route.operation, options, route.handler) }
  const inside = route.inside === undefined ? [] : [onNode(route.inside)]
  return {
    preHandler: [...front, guard(route.operation, options), ...inside],
    handler: (request: FastifyRequest, reply: FastifyReply) => route.handler(request.raw, reply.raw),
  }
}

/** Middleware of Node as a hook. */
function onNode(middleware: SuiteMiddleware): preHandlerHookHandler {
  return (request, reply, done) => middleware(request.raw, reply.raw, done)
}
